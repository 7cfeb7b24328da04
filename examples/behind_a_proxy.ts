/**
 * A server behind a proxy: it knows its visitors as the proxy has seen them.
 *
 * Start it with `deno run -A examples/behind_a_proxy.ts`, `bun run examples/behind_a_proxy.ts` or `node
 * examples/behind_a_proxy.ts`. docs/proxies.md has configurations of nginx and HAProxy. To be the proxy yourself:
 *
 *     curl -H "X-Forwarded-For: 203.0.113.7" -H "X-Forwarded-Proto: https" http://localhost:9501/
 *
 * @module
 */

import { WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new WebSocketServer(HOST, PORT);

server.set({ trusted_proxies: "loopback" }); // the proxy runs on this machine

server.on("request", (request, response) => {
  const { remote_addr, request_uri } = request.server;
  response.header("Content-Type", "text/plain; charset=utf-8");
  response.end(`${remote_addr} has asked for ${request.scheme}://${request.host}${request_uri}\n`);
});

server.on("open", (server, request) => server.push(request.fd, `Hello ${request.server.remote_addr}`));
server.on("message", (server, frame) => server.push(frame.fd, frame));

// A proxy that passes on bytes, and not requests, sends a header of the PROXY protocol before them. It connects to another port.
const port = server.listen(HOST, 0);
port.set({ open_websocket_protocol: true, proxy_protocol: true });

await server.start().catch(giveUp);
console.log(`For proxies: http://localhost:${server.port}/, and with the PROXY protocol, port ${port.port}`);
