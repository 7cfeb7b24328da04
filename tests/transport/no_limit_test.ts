/** Settings of time at 0, which means "no limit": the twin with a limit ends, the other one does not. */

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { Server, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { opened } from "../client/client_stage.ts";
import { next, openLane } from "../coroutine/stage.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { closeFrame, frame, handshake } from "../support/raw_client.ts";

const text = (payload: string) => frame({ opcode: 1, payload });

/** What a test looks at: the lane, and what releases it in the end. */
interface Scene {
  lane: FakeLane;
  release?(): void;
}

function accept(server: Server, ...chunks: (string | Uint8Array)[]): Scene {
  const lane = new FakeLane();
  server.accept(laneOnly(lane));
  for (const chunk of chunks) lane.receive(chunk);
  return { lane, release: () => server.shutdown(0) };
}

/** A WebSocket of the event style, whose handlers never end if `isBusy`. */
function webSocket(settings: ServerSettings, isBusy = false): Scene & { server: WebSocketServer } {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_level: 6, ...settings });
  server.on("message", () => isBusy ? new Promise<void>(() => {}) : undefined);
  return { ...accept(server, handshake()), server };
}

function raw(settings: ServerSettings): Scene & { server: Server } {
  const server = new Server("127.0.0.1", 0);
  server.set({ log_level: 6, ...settings });
  server.on("receive", () => new Promise<void>(() => {}));
  return { ...accept(server), server };
}

const CLOSE = (seconds: number): ServerSettings => ({ websocket_close_timeout: seconds });
const ONE = { max_handlers_per_connection: 1 };

const scenes: Record<string, (seconds: number) => Scene | Promise<Scene>> = {
  "disconnect() of a client that never answers": (seconds) => {
    const scene = webSocket(CLOSE(seconds));
    assert(scene.server.disconnect(1));
    return scene;
  },
  "close(fd) of a client that never ends": (seconds) => {
    const scene = webSocket(CLOSE(seconds));
    assert(scene.server.close(1));
    assert(scene.lane.ended);
    return scene;
  },
  "close(fd) of a raw client that never takes what was sent": (seconds) => {
    const scene = raw(CLOSE(seconds));
    scene.lane.takes = false;
    assert(scene.server.send(1, "x".repeat(100_000)));
    assert(scene.server.close(1));
    assert(!scene.lane.ended);
    return scene;
  },
  "shutdown(0) with a WebSocket whose client never answers": (seconds) => {
    const scene = webSocket(CLOSE(seconds));
    scene.server.shutdown(0);
    return { lane: scene.lane };
  },
  "a Close behind messages whose handler never ends": (seconds) => {
    const scene = webSocket({ ...CLOSE(seconds), ...ONE }, true);
    for (const chunk of [text("a"), text("b"), closeFrame(1000)]) scene.lane.receive(chunk);
    return scene;
  },
  "an end behind messages whose handler never ends": (seconds) => {
    const scene = webSocket({ ...CLOSE(seconds), ...ONE }, true);
    for (const chunk of [text("a"), text("b")]) scene.lane.receive(chunk);
    scene.lane.sink.onEnd();
    return scene;
  },
  "an end behind raw bytes whose handler never ends": (seconds) => {
    const scene = raw({ ...CLOSE(seconds), ...ONE });
    for (const chunk of ["a", "b"]) scene.lane.receive(chunk);
    scene.lane.sink.onEnd();
    return scene;
  },
  "disconnect() of the coroutine style": async (seconds) => {
    const { ws, lane } = await openLane(CLOSE(seconds));
    assert(ws.disconnect());
    return { lane };
  },
  "shutdown(0) of the coroutine style": async (seconds) => {
    const { server, lane } = await openLane(CLOSE(seconds));
    server.shutdown(0);
    return { lane };
  },
  "a Close that a coroutine never comes to": async (seconds) => {
    const { lane } = await openLane(CLOSE(seconds));
    for (const chunk of [text("a"), closeFrame(1000)]) lane.receive(chunk);
    return { lane };
  },
  "a Close that a coroutine has to answer itself": async (seconds) => {
    const { ws, lane } = await openLane({ ...CLOSE(seconds), open_websocket_close_frame: true });
    lane.receive(closeFrame(1000));
    assertEquals(await next(ws), "close 1000");
    return { lane };
  },
  "a broken rule that a coroutine never comes to": async (seconds) => {
    const { lane } = await openLane(CLOSE(seconds));
    for (const chunk of [text("a"), frame({ opcode: 3 })]) lane.receive(chunk);
    return { lane };
  },
  "disconnect() of a client whose server never answers": async (seconds) => {
    const { client, lane } = await opened({ websocket_close_timeout: seconds });
    assert(client.disconnect());
    return { lane };
  },
  "disconnect() of a client whose server answers and does not end": async (seconds) => {
    const { client, lane } = await opened({ websocket_close_timeout: seconds });
    assert(client.disconnect());
    lane.receive(frame({ opcode: 8, payload: Uint8Array.of(3, 232), mask: false }));
    return { lane };
  },
  "a ping that is never answered": (seconds) => webSocket({ websocket_ping_interval: 0.1, websocket_ping_timeout: seconds }),
  "a ping that a server never answers": async (seconds) => {
    const { lane } = await opened({ websocket_ping_interval: 0.1, websocket_ping_timeout: seconds });
    return { lane };
  },
};

for (const [name, begin] of Object.entries(scenes)) {
  test(`0 means no limit: ${name}`, async () => {
    const unlimited = await begin(0);
    const limited = await begin(0.3);
    const { ended } = unlimited.lane;
    const done = ({ lane }: Scene) => lane.aborted || lane.ended !== ended;
    while (!done(limited)) await new Promise((resolve) => setTimeout(resolve, 20));
    assert(!done(unlimited));
    for (const { lane, release } of [unlimited, limited]) {
      release?.();
      lane.abort();
    }
  });
}
