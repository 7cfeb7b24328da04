// How the servers under test compress, in the words of each: as the row says it, all with the same level where there is one.

import process from "node:process";

/** `"shared"`: no message refers to another; `"takeover"`: in both directions they may; `undefined`: no compression. */
const mode = process.env.BENCH_DEFLATE || undefined;
const LEVEL = 6;

/** Sluice's settings. */
export const compressionSettings = mode === undefined ? {} : {
  websocket_compression: true,
  websocket_compression_auto: true,
  websocket_compression_min_length: 0,
  websocket_compression_level: LEVEL,
  websocket_compression_send_takeover: mode === "takeover",
  websocket_compression_receive_takeover: mode === "takeover",
};

/** The `perMessageDeflate` of ws. */
export const wsOptions = mode !== undefined && {
  threshold: 0,
  zlibDeflateOptions: { level: LEVEL },
  serverNoContextTakeover: mode === "shared",
  clientNoContextTakeover: mode === "shared",
};

/** The `perMessageDeflate` of Bun.serve, which has a level of its own. */
export const bunOptions = mode !== undefined && {
  compress: mode === "takeover" ? "dedicated" : "shared",
  decompress: mode === "takeover" ? "dedicated" : "shared",
};
