/**
 * The coroutine style: a handler runs as long as its WebSocket is open. The server also serves a page that connects and logs the
 * messages it receives.
 *
 * Start it with `deno run -A examples/coroutine_echo.ts`, `bun run examples/coroutine_echo.ts` or `node
 * examples/coroutine_echo.ts`, then open the printed address and look at the browser's console.
 *
 * @module
 */

import { CloseFrame } from "../mod.ts";
import { HttpServer } from "../src/coroutine/mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const PAGE = `<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<h1>Swoole WebSocket Server</h1>
<script>
  const websocket = new WebSocket(location.origin.replace(/^http/, "ws") + "/websocket");
  websocket.onopen = () => {
    console.log("Connected to WebSocket server.");
    websocket.send("hello");
  };
  websocket.onclose = () => console.log("Disconnected");
  websocket.onmessage = (event) => console.log("Retrieved data from server: " + event.data);
  websocket.onerror = () => console.log("Error occurred");
</script>
`;

const server = new HttpServer(HOST, PORT);

server.handle("/websocket", async (_request, ws) => {
  if (!await ws.upgrade()) return; // not a WebSocket handshake; already answered
  while (true) {
    const frame = await ws.recv();
    if (frame === "") {
      ws.close();
      break;
    } else if (frame === false) {
      console.log(`errorCode: ${ws.getLastError()}`);
      ws.close();
      break;
    } else if (frame.data === "close" || frame instanceof CloseFrame) {
      ws.close();
      break;
    }
    await ws.push(`Hello ${frame.data}!`);
    await ws.push(`How are you, ${frame.data}?`);
  }
});

server.handle("/", (_request, response) => response.end(PAGE));

await server.start().catch(giveUp);
console.log(`The page is at http://localhost:${server.port}/, its WebSocket at ws://localhost:${server.port}/websocket`);
