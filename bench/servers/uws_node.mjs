// uWebSockets.js, which no package registry has: see bench/README.md.

import { createRequire } from "node:module";
import process from "node:process";
import { ready } from "./support.mjs";

const uws = createRequire(new URL("../../tools/package.json", import.meta.url))("uWebSockets.js");

const modes = {
  shared: uws.SHARED_COMPRESSOR | uws.SHARED_DECOMPRESSOR,
  takeover: uws.DEDICATED_COMPRESSOR | uws.DEDICATED_DECOMPRESSOR,
};
const compression = modes[process.env.BENCH_DEFLATE] ?? uws.DISABLED;
const compresses = compression !== uws.DISABLED;

const app = uws.App();
// By default it drops what a slow client does not take.
const common = { compression, maxBackpressure: 16 * 1024 * 1024, maxPayloadLength: 1024 * 1024 };
app.ws("/broadcast", {
  ...common,
  open: (ws) => ws.subscribe("all"),
  message: (_ws, data, binary) => app.publish("all", data, binary, compresses),
});
app.ws("/*", {
  ...common,
  message: (ws, data, binary) => ws.send(data, binary, compresses),
});
app.listen("127.0.0.1", 0, (token) => ready(uws.us_socket_local_port(token)));
