/** What editors offer while a program is typed. */

import { assert, assertEquals } from "@std/assert";
import { EVENT_NAMES, PORT_EVENT_NAMES } from "../../src/server/configuration.ts";
import { compilers, Editor, testWithCompiler } from "./compilers.ts";

const sorted = (names: Iterable<string>) => [...names].sort();

const OF_FRAME = ["bytes", "data", "fd", "finish", "flags", "json", "opcode", "text", "toBytes", "toJSON"];

const OF_REQUEST_SERVER = [
  "master_time",
  "path_info",
  "query_string",
  "remote_addr",
  "remote_port",
  "request_method",
  "request_time",
  "request_time_float",
  "request_uri",
  "server_addr",
  "server_port",
  "server_protocol",
];

/** A piece of code, and all that is offered at its `|`. */
const OFFERS: readonly (readonly [code: string, names: readonly string[]])[] = [
  ['server.on("|")', EVENT_NAMES.websocket],
  ['server.on("|', EVENT_NAMES.websocket],
  ['server.on("|", (server, frame) => {})', EVENT_NAMES.websocket],
  ['http.on("|")', EVENT_NAMES.http],
  ['raw.on("|")', EVENT_NAMES.server],
  ['port.on("|")', PORT_EVENT_NAMES],
  ['class Chat extends sluice.WebSocketServer { begin() { this.on("|") } }', EVENT_NAMES.websocket],
  ['coroutineServer.on("|")', EVENT_NAMES.coroutine],
  ['server.on("open", (server, request) => request.server.|)', OF_REQUEST_SERVER],
  ['coroutineServer.handle("/", (request) => request.server.|)', OF_REQUEST_SERVER],
  ['server.on("message", (server, frame) => frame.|)', OF_FRAME],
  ['coroutineServer.handle("/", async (request, ws) => { for await (const frame of ws) frame.| })', OF_FRAME],
  ['server.on("refuse", (server, refusal) => refusal.|)', [
    "address",
    "kind",
    "origin",
    "path",
    "reason",
    "setting",
    "status",
  ]],
];

/** Objects that programs get, whose members are all for programs. */
const OBJECTS = [
  "server.|",
  "port.|",
  "coroutineServer.|",
  "client.|",
  'server.on("request", (request, response) => request.|)',
  'server.on("request", (request, response) => response.|)',
  'coroutineServer.handle("/", (request, response) => response.|)',
];

/** Words for what is inside. */
const INTERNAL = /^_|^#|core|writer|exchange|context|settle|store|outgoing|received|occupy|switchProtocols|dispose|asMaker/i;

for (const compiler of compilers.filter(({ name }) => !name.endsWith(" 7"))) { // which has no editor of its own yet
  testWithCompiler(compiler, "what editors offer with", async (t) => {
    const editor = new Editor(compiler);
    for (const [code, names] of OFFERS) {
      await t.test(code, () => assertEquals(sorted(editor.completions(code)), sorted(names)));
    }
    for (const code of OBJECTS) {
      await t.test(`${code} and nothing that is inside`, () => {
        const names = editor.completions(code);
        assert(names.length > 5, `only ${names.join(", ")}`);
        assertEquals(names.filter((name) => INTERNAL.test(name)), []);
      });
    }
    await t.test("the fields of request.server are documented", () => {
      for (const name of OF_REQUEST_SERVER) {
        const code = `server.on("open", (server, request) => request.server.${name.slice(0, 2)}|${name.slice(2)});`;
        assert(editor.documentation(code) !== "", name);
      }
    });
  });
}
