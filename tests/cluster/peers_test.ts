// Servers of several processes, joined in memory: each can use the connections of all.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { test } from "node:test";
import {
  CloseFrame,
  Frame,
  PreparedMessage,
  Server,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_PING,
  type WebSocketServer,
  WebSocketServer as WebSockets,
} from "../../mod.ts";
import { SWOOLE_ERROR_OPERATION_NOT_SUPPORT } from "../../src/errors.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { closeFrame } from "../support/raw_client.ts";
import { framesOf, heard, join, type Member, quietServer, says } from "../topics/stage.ts";
import { clustered, usingMesh } from "./stage.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** What a member was sent: opcodes and payloads. */
async function got(member: Member): Promise<string[]> {
  return (await framesOf(member)).map(({ opcode, payload }) => `${opcode} ${text(payload)}`);
}

test("fds are unique, and tell the process", () =>
  clustered(3, (servers) => {
    const fds = servers.map((server) => [join(server).fd, join(server).fd]);
    assertEquals(fds, [[257, 513], [258, 514], [259, 515]]);
  }));

test("each process pushes to the connections of each", () =>
  clustered(3, async (servers) => {
    const members = servers.map((server) => join(server));
    await settle();
    for (const [i, server] of servers.entries()) {
      for (const { fd } of members) assert(server.push(fd, `from ${i}`));
    }
    for (const [i, member] of members.entries()) {
      const all = await heard(member);
      assertEquals(all.toSorted(), ["from 0", "from 1", "from 2"]);
      assertEquals(all[0], `from ${i}`); // its own needs no way
    }
    assertEquals(servers.map((server) => server.stats().response_count), [3, 3, 3]);
    assertEquals(servers.map((server) => server.getLastError()), [0, 0, 0]);
  }));

test("a connection is known before anything that speaks of it", () =>
  clustered(2, async ([one, two], [node, other]) => {
    other.events.length = 0;
    const member = join(one);
    node.say(2, "a message about it");
    let was = false;
    const { push } = other.events;
    other.events.push = (...events) => {
      was = two.isEstablished(member.fd) && two.push(member.fd, "at once");
      return push.apply(other.events, events);
    };
    assertEquals(await heard(member), ["at once"]);
    assert(was);
  }));

test("all kinds of messages arrive as they are", () =>
  clustered(2, async ([one, two]) => {
    const member = join(two);
    await settle();
    const { fd } = member;
    const long = "é".repeat(40_000);
    const bytes = new TextEncoder().encode("bytes");
    const frame = new Frame();
    frame.data = "a frame";
    const prepared = one.prepare("prepared");
    assert(one.push(fd, "text") && one.push(fd, 42) && one.push(fd, bytes) && one.push(fd, long));
    bytes.fill(0);
    assert(one.push(fd, frame) && one.push(fd, prepared) && one.push(fd, new PreparedMessage(new Uint8Array([65]))));
    assert(
      one.push(fd, "", 1) && one.push(fd, "part", 1, 0) && one.push(fd, "ing", 0, 1) &&
        one.push(fd, "bin", WEBSOCKET_OPCODE_BINARY),
    );
    assert(one.ping(fd, "ping") && one.push(fd, "pong", 10) && one.push(fd, "x".repeat(125), WEBSOCKET_OPCODE_PING));
    const frames = await framesOf(member);
    assertEquals(frames.map(({ opcode, fin }) => fin ? opcode : -opcode), [1, 1, 2, 1, 1, 1, 2, 1, -1, 0, 2, 9, 10, 9]);
    assertEquals(frames.map(({ payload }) => text(payload)), [
      "text",
      "42",
      "bytes",
      long,
      "a frame",
      "prepared",
      "A",
      "",
      "part",
      "ing",
      "bin",
      "ping",
      "pong",
      "x".repeat(125),
    ]);
  }));

test("one message for many connections crosses once, as text and prepared, and others in between stay in order", () =>
  clustered(2, async ([one, two], [node]) => {
    const members = Array.from({ length: 20 }, () => join(two));
    await settle();
    const before = node.link(2).connection.sentBytes;
    const long = "l".repeat(5000);
    const prepared = one.prepare(new Uint8Array(5000).fill(0x70));
    for (const { fd } of members) assert(one.push(fd, long));
    assert(one.push(members[0].fd, "between"));
    for (const { fd } of members) assert(one.push(fd, prepared));
    assert(one.push(members[0].fd, long));
    await settle();
    assert(node.link(2).connection.sentBytes - before < 5 * 5000, `${node.link(2).connection.sentBytes - before}`);
    const expected = [`1 ${long}`, `2 ${"p".repeat(5000)}`];
    for (const [i, member] of members.entries()) {
      assertEquals(await got(member), i === 0 ? [expected[0], "1 between", expected[1], expected[0]] : expected);
    }
    for (const { fd } of members) assert(one.push(fd, long)); // in another turn
    assertEquals(await got(members[19]), [expected[0]]);
  }));

test("pushes that are not possible", () =>
  clustered(2, async ([one, two]) => {
    const member = join(two);
    const plain = two.accept(new FakePipe(new FakeLane()));
    await settle();
    const codes = (...calls: (() => unknown)[]) =>
      calls.map((call) => {
        one.push(1, "resets the code");
        return [call(), one.getLastError()];
      });
    const { fd } = member;
    assertEquals(
      codes(
        () => one.push(258 + 256 * 50, "x"), // of that process, which has no such connection
        () => one.push(3 + 256, "x"), // of no process
        () => one.push(fd - 1, "x"), // of its own, which has none
        () => one.push(plain, "x"),
        () => one.push(plain, "x", 2),
        () => one.push(fd, "x", 3),
        () => one.push(fd, new Uint8Array([0xff]), 1),
        () => one.ping(fd, "x".repeat(126)),
        () => one.disconnect(fd, 1005),
        () => one.disconnect(plain),
        () => one.disconnect(3 + 256),
        () => one.send(3 + 256, "x"),
        () => one.send(fd, ""),
        () => one.close(3 + 256),
        () => one.push(`${fd}` as never, "as text"),
        () => one.push(undefined as never, "x"),
      ),
      [
        [false, 1005],
        [false, 1005],
        [false, 1005],
        [false, 8503],
        [false, 8503],
        [false, 8505],
        [false, 8505],
        [false, 8505],
        [false, 8505],
        [false, 8503],
        [false, 1005],
        [false, 1005],
        [false, 550],
        [false, 1005],
        [true, 1005],
        [false, 1005],
      ],
    );
    assertEquals(await heard(member), ["as text"]);
  }));

test("calls that fail in the other process are counted there", () =>
  clustered([quietServer({ socket_buffer_size: 1000 }), quietServer({ socket_buffer_size: 1000 })], async ([one, two]) => {
    const [member, closing, ended, fragmenting] = [join(two), join(two), join(two), join(two)];
    await settle();
    member.lane.takes = false;
    assert(one.push(member.fd, "x".repeat(800)) && one.push(member.fd, "y".repeat(300)));
    await settle();
    assert(
      one.push(member.fd, "y".repeat(300)) && one.push(member.fd, "y".repeat(300), 2) && one.send(member.fd, "y".repeat(900)),
    );
    two.disconnect(closing.fd);
    assert(one.push(closing.fd, "late"));
    assert(one.push(fragmenting.fd, "a", 1, 0) && one.push(fragmenting.fd, "not in between"));
    ended.lane.sink.onClose();
    assert(one.push(ended.fd, "late") && one.send(ended.fd, "late") && one.close(ended.fd));
    two.getLastError();
    await settle();
    assertEquals(two.stats().remote_failures, { "1003": 1, "1005": 3, "1009": 4, "8505": 1 });
    assertEquals([two.getLastError(), one.stats().remote_failures], [0, {}]);
  }));

test("a queue that is full: 1009", () =>
  clustered(2, async ([one, two]) => {
    const member = join(two);
    await settle();
    const results = Array.from({ length: 10 }, () => one.push(member.fd, "x".repeat(10_000), 2));
    assertEquals(results, [true, true, true, true, true, true, false, false, false, false]);
    assertEquals(one.getLastError(), 1009);
    assertEquals([one.push(member.fd, one.prepare("p".repeat(10_000))), one.send(member.fd, "s".repeat(10_000))], [false, false]);
    assertEquals([one.bind(member.fd, 1), one.broadcast("x".repeat(60_000))], [true, 0]);
    assertEquals((await heard(member)).length, 6);
    assert(one.push(member.fd, "there is room again"));
    assertEquals([await heard(member), one.stats().remote_failures], [["there is room again"], { "1009": 1 }]);
  }, { bufferSize: 64 * 1024 }));

test("disconnect() and close() of another process's connections", () =>
  clustered(2, async ([one, two]) => {
    const events: [fd: number, ...unknown[]][] = [];
    two.on("close", (_server, fd, reactorId, { code, reason, initiator }) =>
      void events.push([fd, reactorId, code, reason, initiator]));
    const members = [join(two), join(two), join(two), join(two)];
    await settle();
    const [polite, plain, reset, pushed] = members;
    assert(one.push(polite.fd, "before") && one.disconnect(polite.fd, 4000, "bye"));
    assert(one.push(plain.fd, "last") && one.close(plain.fd) && one.close(reset.fd, true));
    const close = new CloseFrame();
    close.code = 4001;
    assert(one.push(pushed.fd, close));
    assertEquals(await got(polite), ["1 before", "8 \x0f\xa0bye".replace("\xa0", "\ufffd")]);
    assertEquals([await got(plain), plain.lane.ended, reset.lane.aborted], [["1 last"], true, true]);
    polite.lane.receive(closeFrame(4000));
    pushed.lane.receive(closeFrame(4001));
    await settle();
    assertEquals(
      events.toSorted(([one], [other]) =>
        one - other
      ),
      [
        [polite.fd, -1, 4000, "bye", "local"],
        [plain.fd, -1, 1006, "", "local"],
        [reset.fd, -1, 1006, "", "local"],
        [pushed.fd, -1, 4001, "", "local"],
      ],
    );
    assertEquals(members.map(({ fd }) => [one.exist(fd), one.push(fd, "x")]), Array.from({ length: 4 }, () => [false, false]));
  }));

test("send() of another process, on raw connections", () => {
  const servers = [new Server(), new Server()];
  for (const server of servers) server.on("receive", () => {});
  return clustered(servers, async ([one, two]) => {
    const lane = new FakeLane();
    const fd = two.accept(new FakePipe(lane));
    await settle();
    const bytes = new Uint8Array([0x62, 0x63]);
    assert(one.send(fd, "a") && one.send(fd, bytes) && one.send(fd, 7) && one.send(fd, "z".repeat(100_000)));
    bytes.fill(0);
    await settle();
    assertEquals([lane.text.length, lane.text.slice(0, 6), two.stats().response_count], [100_004, "abc7zz", 4]);
    assert(one.close(fd));
    await settle();
    assertEquals([lane.ended, one.exist(fd)], [true, false]);
  });
});

test("what needs the socket is refused with 507", () =>
  clustered(2, async ([one, two]) => {
    const { fd } = join(two);
    await settle();
    const refused = [
      () => one.pause(fd),
      () => one.resume(fd),
      () => one.confirm(fd),
      () => one.protect(fd),
      () => one.sendwait(fd, "x"),
      () => one.sendfile(fd, "/etc/passwd"),
      () => one.subscribe(fd, "topic"),
      () => one.unsubscribe(fd, "topic"),
    ];
    for (const call of refused) {
      one.push(1, "resets the code");
      assertEquals([await call(), one.getLastError()], [false, SWOOLE_ERROR_OPERATION_NOT_SUPPORT], String(call));
    }
    one.push(1, "resets the code");
    assertEquals([one.data(fd), one.getLastError(), one.topics(fd)], [undefined, 507, []]);
    assertEquals([one.pause(999), one.getLastError(), one.data(999)], [false, 1005, undefined]);
  }));

test("exist(), isEstablished(), getClientInfo() and bind()", () =>
  clustered(2, async ([one, two]) => {
    const other = two.listen("127.0.0.1", 0);
    one.listen("127.0.0.1", 0);
    const member = join(two);
    const lane = new FakeLane();
    const plain = other.accept(new FakePipe(lane));
    await settle();
    const { fd } = member;
    assertEquals([one.exist(fd), one.isEstablished(fd), one.exist(plain), one.isEstablished(plain), one.exists(3)], [
      true,
      true,
      true,
      false,
      false,
    ]);
    const info = one.getClientInfo(fd);
    const own = two.getClientInfo(fd);
    assert(info !== false && own !== false);
    const nothing = Object.fromEntries(Object.keys(own).map((key) => [key, 0])); // more is known only in its own process
    const told = { connect_time: own.connect_time, socket_type: 1, remote_port: 2, remote_ip: "127.0.0.1", worker_id: 1 };
    assertEquals(info as object, { ...nothing, ...told, websocket_status: 3 });
    assertEquals([(one.getClientInfo(plain) as { websocket_status: number }).websocket_status, one.connection_info(3)], [
      0,
      false,
    ]);
    assertEquals(one.getLastError(), 1005);
    assertEquals([one.bind(3, 7), one.getLastError(), one.bind(fd, 0.5), one.getLastError()], [false, 1005, false, 505]);
    assert(one.bind(fd, 7));
    assertEquals([(one.getClientInfo(fd) as { uid: number }).uid, one.bind(fd, 8)], [7, false]);
    await settle();
    assertEquals([(two.getClientInfo(fd) as { uid: number }).uid, two.bind(fd, 9)], [7, false]);
    assert(two.bind(plain, 10));
    await settle();
    assertEquals([(one.getClientInfo(plain) as { uid: number }).uid, one.bind(plain, 11)], [10, false]);
  }));

test("connections, its size, and getClientList() go through all processes, in the same order in each", () =>
  clustered(3, async (servers) => {
    assertEquals([...servers[0].connections], []);
    const ports = servers.map((server) => server.listen("127.0.0.1", 0));
    const members = servers.flatMap((server) => Array.from({ length: 5 }, () => join(server)));
    const added = ports.map((port) => port.accept(new FakePipe(new FakeLane())));
    await settle();
    const fds = [1, 2, 3].flatMap((slot) => [1, 2, 3, 4, 5, 6].map((seq) => seq * 256 + slot));
    for (const [i, server] of servers.entries()) {
      assertEquals([...server.connections], fds);
      assertEquals([server.connections.size, server.connections.count(), server.ports[1].connections.size], [18, 18, 3]);
      assertEquals([[...server.ports[1].connections], [...server.ports[0].connections].length], [added, 15]);
      assert(
        members.every(({ fd }) =>
          server.connections.has(fd) && server.ports[0].connections.has(fd) && !ports[i].connections.has(fd)
        ),
      );
      assert(server.connections.get(added[2]) !== false && server.ports[0].connections.get(added[2]) === false);
      const pages: number[][] = [];
      for (let last = 0;;) {
        const page = server.getClientList(last, 4);
        if (page === false) break;
        pages.push(page);
        last = page.at(-1)!;
      }
      assertEquals([pages.flat(), pages.map(({ length }) => length)], [fds, [4, 4, 4, 4, 2]]);
    }
    servers[1].close(fds[8], true);
    await settle();
    assertEquals([...servers[2].connections], fds.filter((fd) => fd !== fds[8]));
    assertEquals(servers[2].getClientList(fds[8], 2), [fds[9], fds[10]]); // after one that has gone
  }));

test("a process that ends takes its connections along, at once; another one with the slot begins anew", () =>
  clustered(3, async ([one, two, three], [node, other]) => {
    const members = [join(one), join(two), join(two), join(three)];
    one.subscribe(members[0].fd, "t");
    two.subscribe(members[1].fd, "t");
    await settle();
    assertEquals([[...one.connections].length, three.subscriberCount("t")], [4, 2]);
    await other.mesh.close();
    await node.until("-2");
    assertEquals([[...one.connections], one.exist(members[1].fd)], [[members[0].fd, members[3].fd], false]);
    await settle();
    assertEquals([one.push(members[1].fd, "x"), one.getLastError(), three.subscriberCount("t")], [false, 1005, 1]);
    assertEquals([one.broadcast("x"), two.broadcast("x")], [2, 2]);
  }));

test("a link that was made again tells everything anew", () =>
  clustered(2, async ([one, two], [node, other]) => {
    const members = [join(two), join(two)];
    two.subscribe(members[0].fd, "t");
    two.bind(members[1].fd, 5);
    await settle();
    other.link(1).fail("the test breaks it");
    await node.until("-2");
    assertEquals([...one.connections], []);
    two.close(members[0].fd, true);
    const late = join(two);
    two.subscribe(late.fd, "u");
    await other.until("+1");
    await node.until("+2");
    while (!node.mesh.linkOf(2)?.isReady || !other.mesh.linkOf(1)?.isReady) await settle();
    await settle();
    assertEquals([[...one.connections], one.subscriberCount("t"), one.subscriberCount("u")], [[members[1].fd, late.fd], 0, 1]);
    assertEquals([(one.getClientInfo(members[1].fd) as { uid: number }).uid, one.broadcast("x")], [5, 2]);
    assertEquals(other.warnings.splice(0).length, 1);
  }));

test("many connections are told to one that joins later", async () => {
  const { Node: Process, MemoryNet, joined } = await import("./stage.ts");
  const [node, other] = [new Process(1), new Process(2)];
  const [one, two] = [usingMesh(quietServer(), node), usingMesh(quietServer(), other)];
  try {
    const members = Array.from({ length: 3000 }, () => join(one));
    for (const [i, { fd }] of members.entries()) one.subscribe(fd, `topic ${i}`), one.bind(fd, i);
    for (const { fd } of members.slice(0, 100)) one.close(fd, true);
    await joined(new MemoryNet(), [node, other]);
    assertEquals([two.connections.size, two.broadcast("x"), two.subscriberCount("topic 2999"), two.subscriberCount("topic 0")], [
      2900,
      2900,
      1,
      0,
    ]);
    assertEquals((two.getClientInfo(members[200].fd) as { uid: number }).uid, 200);
    assertGreater(node.link(2).connection.sentBytes, 100_000);
  } finally {
    for (const server of [one, two] as WebSocketServer[]) {
      for (const fd of [...server.connections]) server.close(fd, true);
      if (server.shutdown(0)) await server.finished;
    }
    await Promise.all([node.mesh.close(), other.mesh.close()]);
  }
});

test("messages of one process to one connection stay in order, whatever they are", () =>
  clustered(3, async (servers) => {
    const members = servers.map((server) => join(server));
    for (const [i, { fd }] of members.entries()) servers[i].subscribe(fd, "t");
    await settle();
    const prepared = servers[0].prepare("prepared");
    for (let round = 0; round < 50; round++) {
      for (const { fd } of members) servers[0].push(fd, `push ${round}`);
      servers[0].publish("t", `publish ${round}`);
      for (const { fd } of members) servers[0].push(fd, prepared);
      servers[0].broadcast(`broadcast ${round}`);
      for (const { fd } of members) servers[0].push(fd, "same");
      if (round % 7 === 0) await settle();
    }
    const expected = Array.from({ length: 50 }, (_, i) => [`push ${i}`, `publish ${i}`, "prepared", `broadcast ${i}`, "same"])
      .flat();
    for (const member of members) assertEquals(await heard(member), expected);
  }));

test("what a handler pushes to other processes leaves in the same turn", () =>
  clustered([new WebSockets(), quietServer()], async ([one, two]) => {
    one.on("message", (server, { data }) => {
      for (const fd of server.connections) server.push(fd, `they say ${data}`);
    });
    one.set({ log_level: 6 });
    const [speaker, listener] = [join(one), join(two)];
    await settle();
    says(speaker, "hello");
    assertEquals([await heard(speaker), await heard(listener)], [["they say hello"], ["they say hello"]]);
  }));
