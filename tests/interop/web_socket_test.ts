import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runners } from "../support/program.ts";
import { checkClient } from "./echo.ts";

/** What the clients do each in its own way: the code for a connection that ends without a Close, the answer to our Close. */
const HABITS: Record<string, [code: number, answer: string]> = {
  Deno: [0, "4001 that is enough"],
  Bun: [1006, "4001 that is enough"],
  Node: [1006, "4001 "],
};

const checks = (code: number) => [
  "text",
  "binary",
  "order",
  "ping",
  "close by the client",
  "close without a code",
  "close by the server",
  `end without a Close: ${code}`,
  "subprotocol",
];

const authority = fileURLToPath(new URL("../tls/ca.pem", import.meta.url));
const trust = { DENO_CERT: authority, NODE_EXTRA_CA_CERTS: authority };

for (const [name, ...command] of runners) {
  for (const [style, secure] of [["event", false], ["event", true], ["coroutine", false]] as const) {
    test(`the WebSocket of ${name}${secure ? " over TLS" : ""}, ${style} style`, async () => {
      const [code, answer] = HABITS[name.split(" ")[0]];
      const heard = await checkClient(command, "./web_socket_client.ts", checks(code), { style, secure, env: trust });
      assertEquals(heard.pongs, ["are-you-there"]);
      // A Close without a code counts as 1000.
      assertEquals(heard.closes, ["4321 bye für now", "1000 ", answer, "1000 "]);
      assertEquals(heard.ended, 5);
    });
  }
}
