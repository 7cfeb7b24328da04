// Deno's own server.

import { ready } from "./support.mjs";

const room = new Set<WebSocket>();

Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: (address) => ready(address.port) }, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  if (!request.url.endsWith("/broadcast")) {
    socket.onmessage = (event) => socket.send(event.data);
  } else {
    socket.onopen = () => room.add(socket);
    socket.onclose = () => room.delete(socket);
    socket.onmessage = (event) => {
      for (const one of room) one.send(event.data);
    };
  }
  return response;
});
