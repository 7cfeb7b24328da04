// Starts a server of each kind in the runtime that it is run in. Prints their ports in one line, then what each client has sent.

import { compressingServer, VARIANTS } from "../interop/compressed_servers.ts";

const ports: number[] = [];
for (const variant of VARIANTS) {
  const server = compressingServer(variant, (heard) => console.log(heard));
  await server.start();
  ports.push(server.port);
}
console.log(ports.join(" "));
