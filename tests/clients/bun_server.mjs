// Bun's own server, which echoes and takes orders. Prints its port, then each Close that it gets.

const server = globalThis.Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 }),
  websocket: {
    perMessageDeflate: true,
    message(socket, data) {
      const [order, code, ...reason] = typeof data === "string" && data.length < 100 ? data.split(" ") : [];
      if (order === "disconnect") socket.close(Number(code), reason.join(" "));
      else if (order === "ping") socket.ping(code);
      else if (order === "drop") socket.terminate();
      else socket.send(data, true);
    },
    pong: (socket, payload) => void socket.send(`pong ${payload}`),
    close: (_socket, code, reason) => console.log(`${code} ${reason}`),
  },
});
console.log(server.port);
