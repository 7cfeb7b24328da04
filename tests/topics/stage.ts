/**
 * What the tests of topics have in common: a server that is not started, with WebSockets on lanes that do what a test says.
 *
 * @module
 */

import { type ServerSettings, WebSocketServer } from "../../mod.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { frame, type FrameSpec, handshake, type RawFrame } from "../support/raw_client.ts";

/** A WebSocket of a server. */
export interface Member {
  readonly fd: number;
  readonly lane: FakeLane;
}

/** Returns a server with a `message` handler that does nothing. */
export function quietServer<Server extends WebSocketServer = WebSocketServer>(settings: ServerSettings = {}): Server {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_level: 6, websocket_close_timeout: 0.1, websocket_ping_interval: 0, ...settings });
  server.on("message", () => {});
  return server as Server;
}

/** Runs a test against a server, and always stops it. */
export async function staging(server: WebSocketServer, test: () => unknown): Promise<void> {
  try {
    await test();
  } finally {
    for (const fd of server.connections) server.close(fd, true);
    server.shutdown(0);
    await server.finished;
  }
}

/** Opens a WebSocket. */
export function join(server: Pick<WebSocketServer, "accept">, path = "/", headers: Record<string, string> = {}): Member {
  const lane = new FakeLane();
  const fd = server.accept(new FakePipe(lane));
  lane.receive(handshake(path, headers));
  lane.writes.length = 0;
  return { fd, lane };
}

/** Opens some WebSockets that have subscribed to a topic. */
export function joinTopic(server: WebSocketServer, count: number, topic = "room"): Member[] {
  return Array.from({ length: count }, () => {
    const member = join(server);
    if (!server.subscribe(member.fd, topic)) throw new Error(`No subscription: ${server.getLastError()}`);
    return member;
  });
}

/** A client sends a frame. */
export function says({ lane }: Member, spec: string | FrameSpec): void {
  lane.receive(frame(typeof spec === "string" ? { opcode: 1, payload: spec } : spec));
}

/** Returns the frames that a lane has been given since the last call, once all turns are over. */
export async function framesOf({ lane }: Member): Promise<RawFrame[]> {
  await settle();
  const frames: RawFrame[] = [];
  const bytes = Uint8Array.from(lane.writes.splice(0).flatMap((write) => [...write.bytes]));
  for (let at = 0; at < bytes.length;) {
    let length = bytes[at + 1];
    let start = at + 2;
    if (length > 125) {
      const size = length === 126 ? 2 : 8;
      length = 0;
      for (const end = start + size; start < end; start++) length = length * 256 + bytes[start];
    }
    const [first] = bytes.subarray(at);
    const payload = bytes.slice(start, start + length);
    frames.push({ fin: first > 0x7f, rsv: (first >> 4) & 7, opcode: first & 15, masked: false, payload });
    at = start + length;
  }
  return frames;
}

/** Returns the texts of these frames; a Close frame as its code. */
export async function heard(member: Member): Promise<(string | number)[]> {
  return (await framesOf(member)).map(({ opcode, payload }) => {
    return opcode === 8 ? payload[0] * 256 + payload[1] : new TextDecoder().decode(payload);
  });
}

/** The lane takes nothing from now on. */
export function block({ lane }: Member): void {
  lane.takes = false;
}

/** The lane takes what it has been given, and everything from now on. */
export async function unblock({ lane }: Member): Promise<void> {
  await settle();
  lane.takes = true;
  lane.sink.onDrain();
  await settle();
}
