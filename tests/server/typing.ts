// What the compiler takes and what it refuses. This file is checked, not run: where an error is expected and there is none, the
// check fails.

import {
  type CloseInfo,
  type ConnectionData,
  fromFetch,
  type HttpRequest,
  HttpServer,
  type Packet,
  Server,
  type ServerEvent,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";

const server = new Server();
const http = new HttpServer();
const webSocket = new WebSocketServer();
const port = webSocket.listen("127.0.0.1", 0);

// ---- handlers

server.on("receive", (server, fd, reactorId, data) => server.send(fd + reactorId, data));
server.on("Receive", (server: Server, fd: number) => void server.close(fd));
server.on("close", (_server, fd, _reactorId, { code, reason }) => fd + code + reason);
webSocket.on("disconnect", (_server: WebSocketServer, event: ServerEvent, info: CloseInfo) => info.wasClean && event.fd);
port.on("close", (server, fd, _reactorId, { initiator, data }) => server.data(fd)?.user === data?.user && initiator === "local");
http.on("refuse", (_server, { kind, setting }) => kind === "handshake" && setting === "websocket_origins");
server.on("connect", (server, event: ServerEvent) => server.bind(event.fd, 1));
webSocket.on("message", (server, frame) => server.push(frame.fd, frame));
webSocket.on("disconnect", (server: WebSocketServer, event: ServerEvent) => server.exist(event.fd));
port.on("message", (server, frame) => server.push(frame.fd, frame));
port.on("receive", (server, event: ServerEvent) => server.push(event.fd, event.data ?? ""));
server.on("packet", (server, data, { address, port, server_socket }) => server.sendto(address, port, data, server_socket));
http.on("Packet", (server, packet: Packet) => server.sendto(packet.address, packet.port, packet.data));
port.on("packet", async (server, data) => {
  const sent: boolean = await server.sendto("127.0.0.1", 9, data);
  return sent;
});
webSocket.ports[0].on("request", (request, response) => response.end(request.getMethod()));

// @ts-expect-error: there is no such event
server.on("recieve", () => {});
// @ts-expect-error: a plain server has no requests
server.on("request", () => {});
// @ts-expect-error: an HTTP server has no messages
http.on("message", () => {});
// @ts-expect-error: there is no fd
server.on("packet", (_server, fd: number) => fd);
// @ts-expect-error: an fd is a number
server.on("connect", (_server, fd: string) => fd.length);
// @ts-expect-error: what is received are bytes
server.on("receive", (_server, _fd, _reactorId, data: string) => data.length);
// @ts-expect-error: a handler has no more arguments than there are
server.on("close", (_server, _fd, _reactorId, more: number) => more);
// @ts-expect-error: who began is one of two
server.on("close", (_server, _fd, _reactorId, { initiator }) => initiator === "server");
// @ts-expect-error: a port refuses nothing, its server does
port.on("refuse", () => {});
// @ts-expect-error: a handler is a function
server.on("start", 1);
// @ts-expect-error: a request comes first
http.on("request", (response: { end(): void }, _request: { getMethod(): number }) => response.end());
const httpPort = http.listen("127.0.0.1", 0);
httpPort.on("message", (server, frame) => server.send(frame.fd, frame.toBytes()));
// @ts-expect-error: push() is a WebSocketServer's
httpPort.on("message", (server, frame) => server.push(frame.fd, frame));
// @ts-expect-error: start is the server's
port.on("start", () => {});
// @ts-expect-error: a frame is no text
port.on("message", (_server, frame: string) => frame.length);

// ---- data of a connection

interface Session {
  user: string;
  since?: number;
}
const typed = new WebSocketServer<Session>("127.0.0.1", 0);
const anything: ConnectionData | undefined = webSocket.data(1);
export const user: string | undefined = typed.data(1)?.user ?? anything?.user;
typed.on("open", (server, request) => server.push(request.fd, request.data.user.toUpperCase()));
typed.on("beforeHandshakeResponse", (request, response, server) => {
  request.data.user = "Ada";
  request.data.since = Date.now();
  return response.end(server.data(request.fd)!.user);
});
typed.on("close", (_server, _fd, _reactorId, { data }) => data?.user.length);
typed.on("disconnect", (_server, _event: ServerEvent, info: CloseInfo<Session>) => info.data?.since);
typed.ports[0].on("close", (server, fd, _reactorId, { data }) => server.data(fd)?.user === data?.user);
typed.listen("127.0.0.1", 0).on("request", (request) => request.data.user.length);
typed.on("request", fromFetch(() => new Response()));
typed.on("request", (request: HttpRequest) => request.data.whatever);
typed.on("message", (server: WebSocketServer, frame) => server.push(frame.fd, frame));
const untyped: WebSocketServer = typed;
export const servers: Server[] = [untyped, typed, new Server<{ lines: number }>(), new HttpServer<Session>()];
typed.on("handshake", (request) => void typed.checkHandshake(request));
class Chat extends WebSocketServer<Session> {
  welcome(fd: number): boolean {
    return this.push(fd, `Hello ${this.data(fd)!.user}`);
  }
}
export function greet(server: Server): boolean | undefined {
  if (server instanceof WebSocketServer) server.on("message", (server, frame) => server.push(frame.fd, frame));
  server.on("close", (server, fd) => server.data(fd)?.anything);
  return server instanceof Chat ? server.welcome(1) : undefined;
}

// @ts-expect-error: a connection may be unknown
typed.data(1).user;
// @ts-expect-error: there is no such property
typed.data(1)?.name;
// @ts-expect-error: a user is a string
typed.on("open", (_server, request) => request.data.user = 1);
// @ts-expect-error: it may not be there
typed.on("close", (_server, _fd, _reactorId, { data }) => data!.since + 1);
// @ts-expect-error: data is an object
new WebSocketServer<string>();

const coroutine = new CoroutineServer<Session>("127.0.0.1");
coroutine.handle("/", async (request, ws) => {
  request.data.user = "Ada";
  await ws.upgrade();
  return ws.closeInfo?.data?.user.length;
});
coroutine.handle("/app", fromFetch(() => new Response()));
coroutine.on("error", (server, error, fd) => server.port + fd + String(error));
// @ts-expect-error: there is no such property
coroutine.handle("/", (request) => request.data.name);

// ---- settings

server.set({ open_length_check: true, package_length_type: "n", package_length_func: (data) => data.length });
port.set({ open_websocket_protocol: true, package_max_length: 1 });

server.set({ worker_num: 1, daemonize: false, enable_coroutine: true, package_max_length: 1 });
port.set({ open_http2_protocol: false });

// @ts-expect-error: there is no such setting
server.set({ worker_nun: 1 });
server.set({ worker_num: "auto", worker_exec_argv: ["--no-warnings"] });
// @ts-expect-error: a number or "auto" is needed
server.set({ worker_num: "all" });
// @ts-expect-error: a port has no workers
port.set({ worker_num: 2 });
// @ts-expect-error: the program stays in the foreground
server.set({ daemonize: true });
// @ts-expect-error: a number is needed
server.set({ package_max_length: "2M" });
// @ts-expect-error: there is no such length
server.set({ package_length_type: "Q" });
// @ts-expect-error: a length is a number
server.set({ package_length_func: (data) => `${data.length}` });
// @ts-expect-error: this holds for the whole server
port.set({ max_connection: 1 });
// @ts-expect-error: settings are set with set()
port.setting = {};

// ---- results

const client = server.getClientInfo(1);
export const address: string | false = client && client.remote_ip;
export const text: string = server.stats("openmetrics");
export const count: number = server.stats().accept_count;
// @ts-expect-error: there is no such format
server.stats("xml");
// @ts-expect-error: there may be no such connection
client.remote_ip;
