import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runners } from "../support/program.ts";
import { checkClient } from "./echo.ts";

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

for (const secure of [false, true]) {
  test(`the client of the package ws on Node${secure ? " over TLS" : ""}`, async () => {
    const trust = { NODE_EXTRA_CA_CERTS: fileURLToPath(new URL("../tls/ca.pem", import.meta.url)) };
    const heard = await checkClient(node, "./ws_client.mjs", CHECKS, secure, trust);
    assertEquals(heard.pongs, ["are-you-there", "nobody asked"]);
    // A Close without a code counts as 1000.
    assertEquals(heard.closes, ["4321 bye für now", "1000 ", "4001 that is enough", "1000 "]);
    assertEquals(heard.ended, 7); // the refused one is a connection too
  });
}
