import { assertEquals, assertInstanceOf } from "@std/assert";
import { test } from "node:test";
import * as sluice from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { MemoryClient } from "../support/memory_client.ts";

test("servers, their ports and their connections are of the classes with these names", () => {
  const server = new sluice.WebSocketServer("127.0.0.1", 0);
  for (const type of [sluice.HttpServer, sluice.Server, sluice.ServerConnections]) assertInstanceOf(server, type);
  assertInstanceOf(server.connections, sluice.ConnectionList);
  assertInstanceOf(server.listen("127.0.0.1", 0), sluice.ServerPort);
});

test("what a request handler is given is an HttpRequest and an HttpResponse, files are of the class UploadedFile", async () => {
  const server = new sluice.HttpServer();
  server.set({ http_parse_files: true });
  server.on("request", (request, response) => {
    assertInstanceOf(request, sluice.HttpRequest);
    assertInstanceOf(request, sluice.BaseRequest);
    for (const type of [sluice.HttpResponse, sluice.WaitingResponse, sluice.BaseResponse]) assertInstanceOf(response, type);
    const { file } = request.files;
    assertInstanceOf(file, sluice.UploadedFile);
    assertInstanceOf(file, File);
    response.end(`${file.name}: ${file.size}, on ${request.fd} and ${response.fd}`);
  });
  const client = new MemoryClient(server);
  const part = '--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--B--\r\n';
  const type = "Content-Type: multipart/form-data; boundary=B";
  client.send(`POST / HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: ${part.length}\r\n\r\n${part}`);
  const { status, body } = await client.readAnswer();
  assertEquals([status, body], [200, "a.txt: 5, on 1 and 1"]);
  client.drop();
  server.shutdown();
  await server.finished;
});

test("the coroutine style has the same HttpRequest, and an HttpResponse of its own, both a WaitingResponse", async () => {
  const server = new coroutine.HttpServer("127.0.0.1");
  server.handle("/", (request, response) => {
    assertInstanceOf(request, sluice.HttpRequest);
    assertInstanceOf(response, coroutine.HttpResponse);
    assertInstanceOf(response, sluice.WaitingResponse);
    assertEquals(response instanceof (sluice.HttpResponse as unknown as typeof coroutine.HttpResponse), false);
    response.end("yes");
  });
  const client = new MemoryClient(server);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await client.readAnswer()).body, "yes");
  client.drop();
  server.shutdown();
  await server.finished;
});

test("an HttpServer of the coroutine style tells how it was made: host, port, ssl, settings", () => {
  const told = ({ host, port, ssl }: coroutine.HttpServer) => [host, port, ssl];
  assertEquals(told(new coroutine.HttpServer("127.0.0.1")), ["127.0.0.1", 0, false]);
  const server = new coroutine.HttpServer("::1", 9501, true);
  assertEquals(told(server), ["::1", 9501, true]);
  server.set({ ssl_cert_file: "cert.pem" });
  server.set({ ssl_key_file: "key.pem", max_connection: 5 });
  assertEquals(server.settings, { ssl_cert_file: "cert.pem", ssl_key_file: "key.pem", max_connection: 5 });
});

test("an HttpClient tells how it was made: host, port, ssl, setting", () => {
  const told = ({ host, port, ssl }: coroutine.HttpClient) => [host, port, ssl];
  assertEquals(told(new coroutine.HttpClient("127.0.0.1")), ["127.0.0.1", 80, false]);
  const client = new coroutine.HttpClient("::1", 9501, true);
  assertInstanceOf(client, coroutine.BaseClient);
  assertEquals(told(client), ["::1", 9501, true]);
  client.set({ timeout: 5 });
  client.set({ keep_alive: false });
  assertEquals(client.setting, { timeout: 5, keep_alive: false });
});

test("unpack() makes a Frame, and of a Close frame a CloseFrame, which is a Frame too", () => {
  const text = sluice.Frame.unpack(sluice.Frame.pack("hi"));
  assertInstanceOf(text, sluice.Frame);
  const close = sluice.Frame.unpack(sluice.Frame.pack(new sluice.CloseFrame()));
  assertInstanceOf(close, sluice.CloseFrame);
  assertInstanceOf(close, sluice.Frame);
});
