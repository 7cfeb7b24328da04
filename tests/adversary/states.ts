/**
 * The states in which a peer can leave, as the steps that lead to each.
 *
 * @module
 */

import { frame, handshake } from "../support/raw_client.ts";
import type { ServerName } from "./options.ts";

/** A step: sends data, waits for a report of the server, reads a reply, or stops reading. */
export type Step =
  | { send: string | Uint8Array }
  | { seen: "connect" | "reached" | "opened" }
  | { read: "head" | "response" | "frame" }
  | { pause: true };

/** A state of a conversation. */
export interface State {
  /** The end of the title "a peer that leaves ...". */
  name: string;
  server: ServerName;
  steps: readonly Step[];
  /** The notices the program has to receive when the peer leaves, in addition to the end of the connection. */
  told?: readonly ("aborted" | "cancelled" | "broken" | "ended")[];
}

const send = (data: string | Uint8Array): Step => ({ send: data });
const get = (path: string): Step => send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
const post = (path: string, fields: string, body: string): Step =>
  send(`POST ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n${body}`);
const connected: Step = { seen: "connect" };
const reached: Step = { seen: "reached" };
const head: Step = { read: "head" };
const response: Step = { read: "response" };
const pause: Step = { pause: true };
const text = (payload: string): Step => send(frame({ opcode: 1, payload }));

/** The placeholder for the peer's port in queries, from which a fetch application learns it. Replaced when the steps run. */
export const PEER = "PEER";

const FORM = "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000\r\n";
const HALF_FORM = '--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it';
const COMPRESSED = { "Sec-WebSocket-Extensions": "permessage-deflate" };

/** HTTP exchanges in the event style. */
const EXCHANGES: readonly State[] = [{
  name: "before it has said anything",
  server: "event",
  steps: [connected],
}, {
  name: "in the request line",
  server: "event",
  steps: [send("GET /sm"), connected],
}, {
  name: "in the header fields",
  server: "event",
  steps: [send("GET /small HTTP/1.1\r\nHost: x\r\nA: "), connected],
}, {
  name: "behind a head, before the body",
  server: "event",
  steps: [post("/small", "Content-Length: 10\r\n", ""), connected],
}, {
  name: "in the body",
  server: "event",
  steps: [post("/small", "Content-Length: 10\r\n", "half"), connected],
}, {
  name: "between two chunks",
  server: "event",
  steps: [
    post("/small", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
    connected,
  ],
}, {
  name: "in the size of a chunk",
  server: "event",
  steps: [
    post("/small", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n1"),
    connected,
  ],
}, {
  name: "while a handler takes its time",
  server: "event",
  steps: [get("/wait"), reached],
  told: ["aborted"],
}, {
  name: "behind detach()",
  server: "event",
  steps: [get("/detach"), reached],
  told: ["aborted"],
}, {
  name: "while an event stream is quiet",
  server: "event",
  steps: [get("/events"), reached, head],
  told: ["aborted"],
}, {
  name: "while sendfile() sends",
  server: "event",
  steps: [pause, get("/file"), reached],
  told: ["aborted"],
}, {
  name: "while a static file is sent",
  server: "event",
  steps: [pause, get("/static"), connected],
}, {
  name: "while what write() took is sent",
  server: "event",
  steps: [pause, get("/parts"), reached],
}, {
  name: "while a stream of a fetch application is quiet",
  server: "event",
  steps: [get(`/fetch/quiet?peer=${PEER}`), reached, head],
  told: ["aborted", "cancelled"],
}, {
  name: "while a stream of a fetch application has not said anything",
  server: "event",
  steps: [get(`/fetch/silent?peer=${PEER}`), reached],
  told: ["aborted", "cancelled"],
}, {
  name: "while a fetch application takes its time",
  server: "event",
  steps: [get(`/fetch/pending?peer=${PEER}`), reached],
  told: ["aborted"],
}, {
  name: "between two requests",
  server: "event",
  steps: [get("/small"), response],
}, {
  name: "in the head of its second request",
  server: "event",
  steps: [get("/small"), response, send("GET /sm")],
}, {
  name: "with a second request behind one that is being worked on",
  server: "event",
  steps: [
    send(
      "GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
    reached,
  ],
  told: ["aborted"],
}, {
  name: "with many bytes behind a request that is being worked on",
  server: "event",
  steps: [
    get("/wait"),
    reached,
    post("/small", "Content-Length: 1000000\r\n", "x".repeat(30_000)),
  ],
  told: ["aborted"],
}, {
  name: "with more bytes behind a request that is being worked on than are read ahead",
  server: "event",
  steps: [
    get("/wait"),
    reached,
    post("/small", "Content-Length: 1000000\r\n", "x".repeat(200_000)),
  ],
  told: ["aborted"],
}, {
  name: "in a body that is read as it arrives",
  server: "stream",
  steps: [post("/upload", "Content-Length: 1000\r\n", "half"), reached],
  told: ["broken"],
}, {
  name: "in the chunks of a body that is read as it arrives",
  server: "stream",
  steps: [
    post("/upload", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
    reached,
  ],
  told: ["broken"],
}, {
  name: "in a body that nobody reads",
  server: "stream",
  steps: [
    post("/wait", "Content-Length: 1000000\r\n", "x".repeat(30_000)),
    reached,
  ],
  told: ["aborted"],
}, {
  name: "in a body that a fetch application reads",
  server: "stream",
  steps: [
    post(`/fetch/upload?peer=${PEER}`, "Content-Length: 1000\r\n", "half"),
    reached,
  ],
  told: ["broken"],
}, {
  name: "in a file of a form",
  server: "form",
  steps: [post("/small", FORM, HALF_FORM), connected],
}, {
  name: "while a coroutine takes its time",
  server: "coroutine",
  steps: [get("/wait"), reached],
  told: ["aborted"],
}, {
  name: "while a coroutine writes",
  server: "coroutine",
  steps: [pause, get("/parts"), reached],
}, {
  name: "while a coroutine sends a file",
  server: "coroutine",
  steps: [pause, get("/file"), reached],
}, {
  name: "in a body that a coroutine reads",
  server: "coroutine",
  steps: [post("/upload", "Content-Length: 1000\r\n", "half"), reached],
  told: ["broken"],
}];

const open: readonly Step[] = [send(handshake()), head];

/** WebSockets in the event style. */
const SOCKETS: readonly State[] = [
  {
    name: "in its handshake",
    server: "event",
    steps: [send(handshake().slice(0, 70)), connected],
  },
  {
    name: "while authenticate hesitates",
    server: "event",
    steps: [send(handshake("/doubt")), reached],
  },
  {
    name: "that authenticate has refused",
    server: "event",
    steps: [send(handshake("/reject")), response],
  },
  {
    name: "while beforeHandshakeResponse hesitates",
    server: "event",
    steps: [send(handshake("/hesitate")), reached],
  },
  {
    name: "right behind its handshake",
    server: "event",
    steps: [send(handshake()), connected],
  },
  { name: "that is open and idle", server: "event", steps: open },
  {
    name: "in the head of a frame",
    server: "event",
    steps: [...open, send(new Uint8Array([0x82]))],
  },
  {
    name: "in a masking key",
    server: "event",
    steps: [...open, send(new Uint8Array([0x82, 0x85, 1, 2]))],
  },
  {
    name: "in the payload of a frame",
    server: "event",
    steps: [
      ...open,
      send(
        frame({ opcode: 2, payload: new Uint8Array(1000) }).subarray(0, 500),
      ),
    ],
  },
  {
    name: "between two fragments",
    server: "event",
    steps: [...open, send(frame({ opcode: 1, payload: "first", fin: false }))],
  },
  {
    name: "in a compressed message",
    server: "event",
    steps: [
      send(handshake("/", COMPRESSED)),
      head,
      send(
        frame({
          opcode: 1,
          rsv: 4,
          payload: new Uint8Array([0xf2, 0x48, 0xcd]),
          fin: false,
        }),
      ),
    ],
  },
  {
    name: "while a handler of a message takes its time",
    server: "event",
    steps: [...open, text("wait"), reached],
  },
  {
    name: "while many handlers take their time",
    server: "event",
    steps: [
      ...open,
      ...Array.from({ length: 300 }, () => text("wait")),
      reached,
    ],
  },
  {
    name: "while it does not read what is pushed to it",
    server: "event",
    steps: [...open, pause, text("flood"), reached],
  },
  {
    name: "that was sent a Close",
    server: "event",
    steps: [...open, text("leave"), reached],
  },
  {
    name: "that has sent a Close",
    server: "event",
    steps: [...open, send(frame({ opcode: 8, payload: [3, 232] }))],
  },
  {
    name: "that was refused",
    server: "event",
    steps: [send(handshake("/refuse")), response],
  },
  {
    name: "of a coroutine that waits for a message",
    server: "coroutine",
    steps: [send(handshake("/websocket")), head, { seen: "opened" }],
    told: ["ended"],
  },
  {
    name: "of a coroutine that is busy",
    server: "coroutine",
    steps: [
      send(handshake("/websocket")),
      head,
      { seen: "opened" },
      text("wait"),
      reached,
    ],
  },
];

const RAW: readonly State[] = [{
  name: "of a raw port, before it has said anything",
  server: "raw",
  steps: [connected],
}, {
  name: "of a raw port, behind some bytes",
  server: "raw",
  steps: [send("hello"), reached],
}];

/** All states. Peers send less than 64 KiB ahead, up to which a server reads without a reader. */
export const STATES: readonly State[] = [
  ...EXCHANGES,
  ...SOCKETS.map((state) => ({
    ...state,
    name: `as a WebSocket ${state.name}`,
  })),
  ...RAW,
];
