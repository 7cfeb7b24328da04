// An application in CommonJS.

const { WebSocketServer } = require("@sluice/server");
const { HttpClient } = require("@sluice/server/coroutine");

async function main() {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  await server.start();
  const client = new HttpClient("127.0.0.1", server.port);
  await client.upgrade("/");
  await client.push("required");
  console.log((await client.recv()).data);
  client.disconnect();
  server.shutdown();
  await server.finished;
}

main();
