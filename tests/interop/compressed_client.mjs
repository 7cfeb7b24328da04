// Talks to the servers at the given addresses with the WebSocket that this runtime has, or with the package ws. Prints what was
// agreed with each.

import { createRequire } from "node:module";
import process from "node:process";
import { talk } from "./compressed_talk.mjs";

const [, , client, ...urls] = process.argv;

for (const url of urls) {
  if (client === "own") {
    console.log(await talk(new WebSocket(url)));
  } else {
    const { WebSocket } = createRequire(new URL("../../tools/package.json", import.meta.url))("ws");
    const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0 } });
    let agreed;
    socket.on("upgrade", ({ headers }) => agreed = headers["sec-websocket-extensions"]);
    await talk(socket, (fragments) => fragments.forEach((part, i) => socket.send(part, { fin: i === 2, binary: false })));
    console.log(agreed);
  }
}
