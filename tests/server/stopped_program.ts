// A server that is stopped and continued: it pings every second, and gives up who does not respond within another one. Prints its port.

import { WebSocketServer } from "../../mod.ts";

const server = new WebSocketServer("127.0.0.1", 0);
server.set({ websocket_ping_interval: 1, websocket_ping_timeout: 1 });
server.on("message", () => {});
await server.start();
console.log(server.port);
