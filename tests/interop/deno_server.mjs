// Deno's own server, which echoes and takes orders; it can neither ping nor drop. Prints its port, then each Close that it gets.

Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(port) }, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    const [order, code, ...reason] = typeof data === "string" && data.length < 100 ? data.split(" ") : [];
    if (order === "disconnect") socket.close(Number(code), reason.join(" "));
    else socket.send(data);
  };
  socket.onclose = ({ code, reason }) => console.log(`${code} ${reason}`);
  return response;
});
