import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runners } from "../support/program.ts";
import { checkClient, type Run } from "./echo.ts";

const CHECKS = [
  "text",
  "binary",
  "fragments",
  "ping and pong",
  "order",
  "close by the client",
  "close by the server",
  "end without a Close",
  "subprotocol and origin",
];

const [, ...node] = runners.find(([name]) => name === "Node 24")!;

const trust = { NODE_EXTRA_CA_CERTS: fileURLToPath(new URL("../tls/ca.pem", import.meta.url)) };

const RUNS: [title: string, run: Run][] = [
  ["event style", {}],
  ["event style, over TLS", { secure: true }],
  ["coroutine style", { style: "coroutine" }],
  ["coroutine style, compressed", { style: "coroutine", compresses: true, args: ["permessage-deflate"] }],
];

for (const [title, run] of RUNS) {
  test(`the client of the package ws on Node, ${title}`, async () => {
    const heard = await checkClient(node, "./ws_client.mjs", CHECKS, { ...run, env: trust });
    assertEquals(heard.pongs, ["are-you-there", "nobody asked"]);
    // A Close without a code counts as 1000.
    assertEquals(heard.closes, ["4321 bye für now", "1000 ", "4001 that is enough", "1000 "]);
    assertEquals(heard.ended, 7); // the refused one is a connection too
  });
}
