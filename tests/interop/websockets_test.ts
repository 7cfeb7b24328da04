import { assertEquals } from "@std/assert";
import { checkClient, type Run } from "./echo.ts";
import { PYTHON, testWithPython } from "./python.ts";

const CHECKS = [
  "text",
  "binary",
  "fragments",
  "ping and pong",
  "order",
  "close by the client",
  "close by the server",
  "end without a Close",
  "subprotocol",
];

const RUNS: [title: string, run: Run][] = [
  ["event style", {}],
  ["coroutine style", { style: "coroutine" }],
  ["coroutine style, compressed", { style: "coroutine", compresses: true, args: ["permessage-deflate"] }],
];

for (const [title, run] of RUNS) {
  testWithPython(`the client of Python's websockets, ${title}`, async () => {
    const heard = await checkClient([PYTHON], "./websockets_client.py", CHECKS, run);
    assertEquals(heard.pongs, ["are-you-there", "nobody asked"]);
    assertEquals(heard.closes, ["4321 bye für now", "4001 that is enough", "1000 "]);
    assertEquals(heard.ended, 4);
  });
}
