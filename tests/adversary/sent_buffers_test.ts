// Programs that change or transfer every buffer they pass in as soon as the call returns. The original content has to be sent.

import { assert, assertEquals } from "@std/assert";
import { HttpServer, Server, WebSocketServer } from "../../mod.ts";
import { HttpClient, HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { lanes, servingOn, startOn } from "../support/lanes.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { drawing, within } from "./harness.ts";
import { MISDEEDS } from "./misdeeds.ts";

/** A way in which a program passes bytes in, and its peer reads them. */
interface Giving {
  name: string;
  make(give: (send: (bytes: Uint8Array) => unknown) => void): Server;
  /** Starts it, on a connection that is not read. */
  begin(port: number): Promise<RawClient>;
  /** Extracts the content from the bytes sent to the peer. */
  content(bytes: Uint8Array): Uint8Array;
}

/** Returns the payloads of the frames of a server. */
function payloads(bytes: Uint8Array): Uint8Array {
  const parts: number[][] = [];
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1] & 127;
    const size = short < 126 ? 0 : short === 126 ? 2 : 8;
    at += 2;
    let length = size === 0 ? short : 0;
    for (let i = 0; i < size; i++) length = length * 256 + bytes[at + i];
    at += size;
    parts.push(Array.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return Uint8Array.from(parts.flat());
}

const body = (bytes: Uint8Array): Uint8Array => {
  const text = new TextDecoder("latin1").decode(bytes);
  return Uint8Array.from(
    text.slice(text.indexOf("\r\n\r\n") + 4),
    (character) => character.charCodeAt(0),
  );
};

const unchunked = (bytes: Uint8Array): Uint8Array => {
  const text = new TextDecoder("latin1").decode(body(bytes));
  let all = "";
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\r\n", at);
    const size = parseInt(text.slice(at, end), 16);
    if (size === 0) break;
    all += text.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
  return Uint8Array.from(all, (character) => character.charCodeAt(0));
};

async function asking(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.socket.pause();
  client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return client;
}

const GIVINGS: readonly Giving[] = [{
  name: "push()",
  make: (give) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", (server, { fd }) => {
      give((bytes) => server.push(fd, bytes, 2));
      server.close(fd);
    });
    return server;
  },
  begin: async (port) => {
    const client = await RawClient.open(port);
    client.socket.pause();
    client.send(frame({ opcode: 1, payload: "go" }));
    return client;
  },
  content: payloads,
}, {
  name: "send()",
  make: (give) => {
    const server = new Server("127.0.0.1", 0);
    server.on("receive", (server, fd) => {
      give((bytes) => server.send(fd, bytes));
      server.close(fd);
    });
    return server;
  },
  begin: async (port) => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.send("go");
    return client;
  },
  content: (bytes) => bytes,
}, {
  name: "response.write()",
  make: (give) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.on("request", (_request, response) => {
      give((bytes) => response.write(bytes));
      response.end();
    });
    return server;
  },
  begin: asking,
  content: unchunked,
}, {
  name: "response.end()",
  make: (give) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.on("request", (_request, response) => {
      // Passes in one large body; the others are not sent.
      let given = false;
      give((bytes) => {
        if (bytes.length < 1_000_000 || given) return false;
        given = true;
        return response.end(bytes);
      });
    });
    return server;
  },
  begin: asking,
  content: body,
}];

/** The lengths passed in: more than the socket can take, and sizes on both sides of every threshold. */
const GIVEN = [
  10,
  1_500_000,
  100,
  40_000,
  1_000_000,
  500_000,
  3,
  1_000_000,
  40_000,
  100,
];

const testDrawn = drawing(lanes);

for (const [lane, runtime] of lanes) {
  for (const giving of GIVINGS) {
    for (const misdeed of ["changes", "transfers"]) {
      testDrawn(lane, `a program that ${misdeed} what it has given to ${giving.name} harms nobody (${lane})`, {}, async () => {
        const expected: number[] = []; // letters, each followed by its count
        const faults: unknown[] = [];
        const server = giving.make((send) => {
          for (const [i, length] of GIVEN.entries()) {
            const bytes = new Uint8Array(length).fill(65 + i);
            if (send(bytes)) expected.push(65 + i, length);
            MISDEEDS[misdeed](bytes);
          }
        });
        server.on("error", (_server, error) => void faults.push(error));
        await servingOn(runtime, server, async (_server, port) => {
          const client = await giving.begin(port);
          await new Promise((resolve) => setTimeout(resolve, 200)); // meanwhile the output is queued
          client.socket.resume();
          const content = giving.content(
            await within(20_000, "all that was given", client.readAll()),
          );
          const runs: number[] = [];
          for (const letter of content) {
            if (runs.at(-2) === letter) runs[runs.length - 1]++;
            else runs.push(letter, 1);
          }
          assertEquals(runs, expected);
          client.destroy();
          const other = giving.name === "push()" ? await RawClient.open(port) : await RawClient.connect(port);
          assert(!other.ended, "nobody is served any more");
          other.destroy();
        });
        assertEquals(faults, []);
      });
    }
  }

  for (
    const settings of [{}, {
      websocket_compression: true,
      websocket_compression_auto: true,
    }]
  ) {
    const how = Object.keys(settings).length > 0 ? ", compressed" : "";
    testDrawn(lane, `a coroutine may use a buffer again as soon as push() has settled (${lane}${how})`, {}, async () => {
      const server = new CoroutineServer("127.0.0.1", 0);
      server.set(settings);
      server.handle("/", async (_request, ws) => {
        await ws.upgrade();
        const scratch = new Uint8Array(2000);
        for (let i = 0; i < 26; i++) {
          scratch.fill(65 + i);
          await ws.push(scratch, 2);
        }
        await ws.recv();
      });
      await startOn(runtime, server as unknown as Server);
      const client = new HttpClient("127.0.0.1", server.port);
      try {
        client.set(settings);
        assert(await client.upgrade("/"));
        let letters = "";
        while (letters.length < 26) {
          const frame = await within(10_000, "a message", client.recv());
          assert(typeof frame === "object", `${frame}`);
          assertEquals(new Set(frame.bytes).size, 1);
          letters += String.fromCharCode(frame.bytes[0]);
        }
        assertEquals(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
      } finally {
        client.disconnect();
        server.shutdown();
        await server.finished;
      }
    });
  }
}
