// Frames that no process of ours would send: a link with such frames ends, and nothing else happens.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { frameOf } from "../../src/cluster/link.ts";
import { BodyWriter, HELLO, MESH_VERSION, NEWS, PUBLISH, PUSH, PUSH_KEPT, TOPIC_NEWS } from "../../src/cluster/wire.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { join, quietServer, staging } from "../topics/stage.ts";
import { Node, TOKEN, usingMesh } from "./stage.ts";

const hello = frameOf(HELLO, new BodyWriter().uint16(MESH_VERSION).text(TOKEN).uint8(2).uint16(2).uint32(7).uint32(1e6).take());

/** A server to which a process is joined that the test plays. */
function played() {
  const node = new Node(1);
  const server = usingMesh(quietServer(), node);
  const lane = new FakeLane();
  const member = join(server);
  node.mesh.accept(laneOnly(lane));
  lane.receive(hello);
  return { node, server, lane, member };
}

test("bodies that are too short, or not true", async () => {
  const body = () => new BodyWriter();
  const wrong: [kind: number, body: BodyWriter, reason: RegExp][] = [
    [NEWS, body().uint8(1), /too short/],
    [NEWS, body().uint8(1).fd(258).uint16(0).uint16(1).float64(0).uint8(9), /too short/],
    [NEWS, body().uint8(3).fd(257), /fd 257 is not one of its own/],
    [NEWS, body().uint8(9).fd(258), /news of kind 9/],
    [TOPIC_NEWS, body().text("t").uint16(1), /too short/],
    [PUSH, body().fd(257), /too short/],
    [PUSH, body().fd(257).uint8(5).uint8(1), /opcode 5 cannot be sent/],
    [PUSH_KEPT, body().fd(257), /no message is kept/],
    [PUBLISH, body().text("t").uint32(0xffffffff).fd(257), /too short/],
    [PUBLISH, body().text("t").uint32(0).uint8(3).uint8(1), /opcode 3 cannot be sent/],
  ];
  for (const [kind, body, reason] of wrong) {
    const { node, server, lane, member } = played();
    await staging(server, () => {
      lane.receive(frameOf(kind, body.take()));
      assertEquals([lane.aborted, node.faults, node.warnings.length, member.lane.writes], [true, [], 1, []]);
      assertMatch(node.warnings[0], reason);
    });
  }
});

test("random frames of all kinds", async () => {
  let seed = 11;
  const random = (most: number) => (seed = (seed * 48271) % 0x7fffffff) % most;
  const { node, server, member } = played();
  await staging(server, async () => {
    for (let round = 0; round < 3000; round++) {
      const lane = new FakeLane();
      node.mesh.accept(laneOnly(lane));
      lane.receive(hello);
      for (let i = 0; i < 5 && !lane.aborted; i++) {
        const kind = [6, 7].includes(round % 18) ? 3 : round % 18;
        const bytes = Uint8Array.from({ length: random(40) }, () => random(random(2) === 0 ? 4 : 256));
        if (random(2) === 0) bytes.set([...new BodyWriter().fd(member.fd).take(), random(11), random(4)].slice(0, bytes.length));
        lane.receive(frameOf(kind, bytes));
      }
      lane.abort();
    }
    await settle();
    assertEquals(node.faults, []);
    assert(!server.connections.has(3));
  });
});
