/** What the compiler says about programs that are wrong: one error, about the thing that is wrong. */

import { assertEquals, assertMatch } from "@std/assert";
import { compilers, errorsOf, testWithCompiler } from "./compilers.ts";

/** Pieces of code that are wrong, and the one error each has. A pattern without a line break asks for an error of one line. */
const WRONG: readonly (readonly [name: string, piece: string, error: RegExp])[] = [
  [
    "an event that does not exist",
    'server.on("mesage", (server, frame) => server.push(frame.fd, frame));',
    /^Argument of type '"mesage"' is not assignable to parameter of type '"[^\n]*"'\.$/,
  ],
  [
    "an event of another class",
    'raw.on("request", (request, response) => response.end());',
    /^Argument of type '"request"' is not assignable to parameter of type '"[^\n]*"'\.$/,
  ],
  [
    "an event of the server, on a port",
    'port.on("start", (server) => server.port);',
    /^Argument of type '"start"' is not assignable to parameter of type '"[^\n]*"'\.$/,
  ],
  [
    "an event that does not exist, in the coroutine style",
    'coroutineServer.on("message", (server, frame) => frame.data);',
    /^Argument of type '"message"' is not assignable to parameter of type '(?=[^\n]*"error")(?=[^\n]*"refuse")[^\n]*'\.$/,
  ],
  [
    "a name that is computed",
    'const name: string = "open"; server.on(name, () => {});',
    /^Argument of type 'string' is not assignable to parameter of type '"[^\n]*"'\.$/,
  ],
  [
    "a handler of another type of frame",
    'server.on("message", (server, frame: string) => frame.length);',
    /^Argument of type '\(server: WebSocketServer[^\n]*, frame: string\) => number' is not [^\n]*frame: ReceivedFrame\) => unknown'/,
  ],
  [
    "a handler of only one type of frame",
    'server.on("message", (server, frame: sluice.TextFrame) => frame.data.length);',
    /Type 'BinaryFrame' is not assignable to type 'TextFrame'/,
  ],
  [
    "a handler of an event that has one for event_object, too",
    'server.on("close", (server, fd: string) => fd.length);',
    /^Argument of type '\(server: [^\n]*, fd: string\) => number' is not [^\n]* fd: number, reactorId: number, info: CloseInfo[^\n]*'/,
  ],
  [
    "a handler for event_object with another object",
    'server.on("close", (server, event: sluice.CloseInfo) => event.code);',
    /^Argument of type '\(server: [^\n]*, event: CloseInfo[^\n]*\) => number' is not assignable/,
  ],
  [
    "arguments in another order",
    'server.on("open", (request, response) => response.end());',
    /^Property 'end' does not exist on type 'HttpRequest/,
  ],
  [
    "no handler",
    'server.on("message", 1);',
    /^Argument of type 'number' is not assignable to parameter of type '\(server: [^\n]*, frame: ReceivedFrame\) => unknown'\.$/,
  ],
  [
    "a decision that is forgotten",
    'server.on("authenticate", (request) => { if (request.cookie.session === undefined) return false; });',
    /^Argument of type '\(request: HttpRequest[^\n]*\) => false \| undefined' is not assignable [^]*'boolean \| PromiseLike<boolean>'\.$/,
  ],
  [
    "a decision that is forgotten, in the coroutine style",
    'coroutineServer.on("authenticate", async (request) => { request.data.user = "Ada"; });',
    /^Argument of type '\(request: HttpRequest[^\n]*\) => Promise<void>' is not assignable to [^\n]*AuthenticateHandler/,
  ],
  ["a call without a handler", 'server.on("message");', /^Expected 2 arguments, but got 1\.$/],
  [
    "a field of request.server that does not exist",
    'server.on("open", (server, request) => request.server.request_url);',
    /^Property 'request_url' does not exist on type 'ServerVariables'\. Did you mean 'request_uri'\?$/,
  ],
  [
    "a header that may be missing",
    'server.on("open", (server, { header }) => header.authorization.slice(7));',
    /^'header.authorization' is possibly 'undefined'\.$/,
  ],
  [
    "a cookie that may be missing",
    'server.on("open", (server, { cookie }) => cookie.session.length);',
    /^'cookie.session' is possibly 'undefined'\.$/,
  ],
  [
    "a parameter that may be missing",
    'server.on("open", (server, { fd, get }) => server.push(fd, get.message));',
    /^Argument of type 'FormValue \| undefined' is not assignable/,
  ],
  [
    "a file that may be missing",
    'http.on("request", ({ files }) => { const file: sluice.UploadedFile = files.picture; return file; });',
    /^Type 'FileValue \| undefined' is not assignable to type 'UploadedFile'/,
  ],
  [
    "a header of a response that may be missing",
    "client.headers.date.length;",
    /^'client.headers.date' is possibly 'undefined'\.$/,
  ],
  [
    "JSON that was not checked",
    'server.on("message", (server, frame) => { const { order } = frame.json(); return order; });',
    /^Property 'order' does not exist on type 'unknown'\.$/,
  ],
  [
    "a message that is taken for a response",
    "const received: boolean = await client.recv(); export { received };",
    /^Type '[^\n]*' is not assignable to type 'boolean'/,
  ],
];

/** Programs that are right. */
const RIGHT: readonly (readonly [name: string, piece: string])[] = [
  [
    "names in other letter cases",
    'server.on("Message", (server, frame) => server.push(frame.fd, frame)); server.on("BEFORESHUTDOWN", (server) => server.port);',
  ],
  [
    "handlers for event_object",
    `server.on("connect", (server, event: sluice.ServerEvent) => server.close(event.fd));
     server.on("close", (server, event: sluice.ServerEvent, info: sluice.CloseInfo) => info.code + event.fd);
     raw.on("packet", (server, packet: sluice.Packet) => server.sendto(packet.address, packet.port, packet.data));`,
  ],
  [
    "several events with one handler",
    'for (const name of ["bufferFull", "drain"] as const) server.on(name, (server, fd) => server.exist(fd));',
  ],
  [
    "a handler that takes any frame",
    'server.on("message", (server, frame: sluice.Frame) => server.push(frame.fd, frame.data));',
  ],
  [
    "a class that has a server's events",
    `class Chat extends sluice.WebSocketServer {
       constructor() {
         super("127.0.0.1", 0);
         this.on("message", (server, frame) => server.say(frame.fd, frame.text()));
       }
       say(fd: number, text: string): boolean { return this.push(fd, text); }
     }
     new Chat().on("open", (server, request) => server.say(request.fd, "hello"));
     const servers: sluice.Server[] = [new Chat(), server, http, raw];
     servers[0].on("close", (server, fd) => server.exist(fd));`,
  ],
  [
    "the type of data that follows from the opcode",
    `server.on("message", (server, frame) => {
       const data: string | Uint8Array = frame.data;
       if (frame.opcode === sluice.WEBSOCKET_OPCODE_TEXT) return frame.data.toUpperCase();
       if (frame.opcode === sluice.WEBSOCKET_OPCODE_BINARY) return frame.data.byteLength;
       if (frame.opcode === sluice.WEBSOCKET_OPCODE_PING) return frame.data.byteLength;
       if (frame instanceof sluice.CloseFrame) return frame.code + frame.reason;
       return data;
     });`,
  ],
  [
    "the type of data that is asked for",
    `server.on("message", (server, { fd, data }) => {
       const text: string = typeof data === "string" ? data.slice(1) : String(data.byteLength);
       return server.push(fd, text);
     });`,
  ],
  [
    "received frames that are changed and sent on",
    `server.on("message", (server, frame) => {
       frame.opcode = sluice.WEBSOCKET_OPCODE_BINARY;
       frame.data = "text"; frame.data = new Uint8Array(1);
       return server.push(frame.fd, frame);
     });`,
  ],
  [
    "recv() and for await in the coroutine style",
    `coroutineServer.handle("/", async (request, ws) => {
       await ws.upgrade();
       const first = await ws.recv();
       if (first === "" || first === false || first instanceof sluice.CloseFrame) return;
       await ws.push(\`\${first.data}\`);
       for await (const frame of ws) {
         if (frame.opcode === sluice.WEBSOCKET_OPCODE_TEXT) await ws.push(frame.data.trim());
         else await ws.push(frame.data.subarray(1));
       }
     });`,
  ],
  [
    "a decision, at once or later",
    `server.on("authenticate", (request) => request.cookie.session === "a");
     server.on("authenticate", async (request, response, server) => await Promise.resolve(server.exist(response.fd)));
     port.on("authenticate", () => true);
     coroutineServer.on("authenticate", async (request, response) => response.status(401) && await Promise.resolve(false));`,
  ],
  ["a deferred response", "const received: boolean = await client.recvResponse(); export { received };"],
];

/** Comparisons of servers. Each is compiled alone, because the compiler remembers which types it has compared. */
const COMPARED: readonly string[] = [
  "async function start(server: sluice.Server): Promise<void> { await server.start(); } await start(server);",
  "class Chat extends sluice.WebSocketServer<{ name: string }> { room = 1; } const chat: sluice.HttpServer = new Chat(); export { chat };",
];

for (const compiler of compilers) {
  testWithCompiler(compiler, "a server is one of its base class, in", async (t) => {
    for (const piece of COMPARED) await t.test(piece, () => assertEquals(errorsOf(compiler, [piece]), [[]]));
  });

  testWithCompiler(compiler, "programs that are wrong, and programs that are right, in", async (t) => {
    const pieces = [...WRONG, ...RIGHT].map(([, piece]) => piece);
    const errors = errorsOf(compiler, pieces, ["tests/server/typing.ts"]);
    for (const [index, [name, , error]] of WRONG.entries()) {
      await t.test(name, () => {
        assertEquals(errors[index].length, 1, errors[index].join("\n"));
        assertMatch(errors[index][0], error);
      });
    }
    for (const [index, [name]] of RIGHT.entries()) await t.test(name, () => assertEquals(errors[WRONG.length + index], []));
    await t.test("tests/server/typing.ts", () => assertEquals(errors[pieces.length], []));
  });
}
