// Bun's own servers, which echo and take orders. Each argument is the compression of one, as JSON. Prints their ports, then each
// Close that they get.

const [, , compression = "true", ...more] = process.argv;

for (const json of [compression, ...more]) {
  const server = globalThis.Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 }),
    websocket: {
      perMessageDeflate: JSON.parse(json),
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
}
