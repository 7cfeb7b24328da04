import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import type net from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { BytePipe, ConnectOptions, Runtime } from "../../src/transport/runtime.ts";
import { inFolder } from "../support/folder.ts";
import { testLanes } from "../support/lanes.ts";
import { checkEcho, echo, listening, listeningWithoutAdapter, PipeEnd, type Place } from "../support/pipe_end.ts";
import { signal } from "../support/serving.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** More than the kernel keeps for a connection over loopback, much less than what is offered. */
const KERNEL = 32 * MIB;
const OFFERED = 128 * MIB;

const never = new AbortController().signal;

/** A turn of the event loop for sockets. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function connect(runtime: Runtime, place: Place, more: Partial<ConnectOptions> = {}): Promise<BytePipe> {
  return runtime.connect({ ...place, noDelay: true, signal: never, ...more });
}

/** What a connection fails with. */
async function failureOf(connecting: Promise<BytePipe>): Promise<unknown> {
  const error = await assertRejects(() => connecting, Error);
  return (error as { code?: unknown }).code;
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  let port = 0;
  await listeningWithoutAdapter({}, () => {}, (place) => Promise.resolve(void (port = place.port)));
  return port;
}

testLanes("connect: bytes go there and back over TCP, and both sides know the addresses", async (runtime) => {
  const accepted = signal<BytePipe>();
  await listening(runtime, {}, (pipe) => {
    accepted.resolve(pipe);
    echo(pipe);
  }, async (place) => {
    const pipe = await connect(runtime, place);
    assertEquals(pipe.remoteAddress, place);
    assertEquals(pipe.localAddress?.hostname, "127.0.0.1");
    assertEquals((await accepted.promise).remoteAddress, pipe.localAddress);
    await checkEcho(pipe);
  });
});

testLanes("connect: a name is looked up", async (runtime) => {
  await listening(runtime, {}, echo, async ({ port }) => {
    await checkEcho(await connect(runtime, { transport: "tcp", hostname: "localhost", port }));
  });
});

testLanes("connect: IPv6", async (runtime) => {
  await listening(runtime, { hostname: "::1" }, echo, async (place) => {
    const pipe = await connect(runtime, place);
    assertEquals(pipe.remoteAddress, place);
    await checkEcho(pipe);
  });
});

testLanes("connect: a unix socket", async (runtime) => {
  await inFolder(async (folder) => {
    const hostname = join(folder, "socket");
    await listening(runtime, { transport: "unix", hostname }, echo, async () => {
      const pipe = await connect(runtime, { transport: "unix", hostname, port: 0 });
      assertEquals(pipe.localAddress?.transport, "unix");
      await checkEcho(pipe);
    });
    assertEquals(await failureOf(connect(runtime, { transport: "unix", hostname: join(folder, "none"), port: 0 })), "ENOENT");
  });
});

testLanes("connect: with an address and a port to come from", async (runtime) => {
  const seen: (string | number | undefined)[] = [];
  const accept = (pipe: BytePipe) => {
    seen.push(pipe.remoteAddress?.hostname, pipe.remoteAddress?.port);
    echo(pipe);
  };
  await listening(runtime, {}, accept, async (place) => {
    const localPort = await freePort();
    await checkEcho(await connect(runtime, place, { localPort }));
    assertEquals(seen.splice(0), ["127.0.0.1", localPort]);
    // Linux has all of 127.0.0.0/8, others have one address there.
    const localHostname = process.platform === "linux" ? "127.0.0.2" : "127.0.0.1";
    const port = await freePort();
    await checkEcho(await connect(runtime, place, { localHostname, localPort: port }));
    assertEquals(seen.splice(0), [localHostname, port]);
    await checkEcho(await connect(runtime, place, { localHostname }));
    assertEquals(seen[0], localHostname);
  });
});

testLanes("connect: nobody there, or no such name", async (runtime) => {
  const port = await freePort();
  assertEquals(await failureOf(connect(runtime, { transport: "tcp", hostname: "127.0.0.1", port })), "ECONNREFUSED");
  assertEquals(await failureOf(connect(runtime, { transport: "tcp", hostname: "localhost", port })), "ECONNREFUSED");
  const code = await failureOf(connect(runtime, { transport: "tcp", hostname: "no-such-host.invalid", port }));
  assert(code === "ENOTFOUND" || code === "EAI_AGAIN", String(code)); // the latter where there is no network
});

testLanes("connect: what comes before anybody reads is kept, and so is the end", async (runtime) => {
  const gone = signal();
  const accept = (socket: net.Socket) => {
    socket.on("close", () => gone.resolve()).resume();
    socket.write("early ");
    setImmediate(() => socket.end("bird"));
  };
  await listeningWithoutAdapter({}, accept, async (place) => {
    const pipe = await connect(runtime, place);
    await checkRoundTrips(runtime, 5);
    const end = new PipeEnd(pipe);
    assertEquals(await end.readAll(), "early bird");
    assert(!end.closed);
    end.lane.end();
    await end.until(() => end.closed);
    assertEquals(end.error, undefined);
    await gone.promise;
  });
});

/** Time for everything else to arrive, without a clock. */
async function checkRoundTrips(runtime: Runtime, count: number): Promise<void> {
  await listening(runtime, {}, echo, async (place) => {
    for (let i = 0; i < count; i++) await checkEcho(await connect(runtime, place));
  });
}

testLanes("connect: a reset that comes before anybody reads is told", async (runtime) => {
  const peer = signal<net.Socket>();
  await listeningWithoutAdapter({}, (socket) => peer.resolve(socket), async (place) => {
    const pipe = await connect(runtime, place);
    (await peer.promise).resetAndDestroy();
    await checkRoundTrips(runtime, 5);
    const end = new PipeEnd(pipe);
    await end.until(() => end.closed);
    assertEquals((end.error as { code?: string } | undefined)?.code, "ECONNRESET");
    assertEquals(end.received, 0);
  });
});

testLanes("connect: abort() before anybody reads drops the connection", async (runtime) => {
  const gone = signal();
  await listeningWithoutAdapter(
    {},
    (socket) => socket.on("close", () => gone.resolve()).on("end", () => socket.end()).resume(),
    async (place) => {
      (await connect(runtime, place)).abort();
      await gone.promise;
    },
  );
});

testLanes("connect: a signal that has been given already makes no socket", async (runtime) => {
  let count = 0;
  await listening(runtime, {}, (pipe) => {
    count++;
    echo(pipe);
  }, async (place) => {
    const reason = new Error("changed my mind");
    for (const more of [{}, { localHostname: "127.0.0.1" }]) {
      const error = await assertRejects(() => connect(runtime, place, { ...more, signal: AbortSignal.abort(reason) }), Error);
      assert(error === reason);
    }
    await checkEcho(await connect(runtime, place));
    assertEquals(count, 1);
  });
});

testLanes("connect: a signal that is given on the way leaves no socket behind", async (runtime) => {
  const open = new Set<net.Socket>();
  const accept = (socket: net.Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket)).on("end", () => socket.end()).resume();
  };
  await listeningWithoutAdapter({}, accept, async (place) => {
    for (const more of [{}, { localHostname: "127.0.0.1" }, { hostname: "localhost" }]) {
      const control = new AbortController();
      const reason = { any: "value" };
      const outcome = connect(runtime, place, { ...more, signal: control.signal }).then(() => "connected", (error) => error);
      control.abort(reason);
      assert(await outcome === reason);
    }
    await checkRoundTrips(runtime, 5);
    while (open.size > 0) await turn();
  });
});

testLanes("connect: a signal that is given just as connections arrive leaves no socket behind", async (runtime) => {
  const open = new Set<net.Socket>();
  const ports = new Set<number | undefined>();
  const accept = (socket: net.Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket)).on("end", () => socket.end()).resume();
    ports.add(socket.remotePort);
  };
  await listeningWithoutAdapter({}, accept, async (place) => {
    const timer = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
    for (const waits of [[], [turn], [timer], [timer, turn], [timer, timer], [timer, timer, timer]]) {
      for (let round = 0; round < 5; round++) {
        const control = new AbortController();
        const outcomes = Array.from({ length: 20 }, () => connect(runtime, place, { signal: control.signal }));
        const settled = Promise.allSettled(outcomes);
        for (const wait of waits) await wait();
        control.abort();
        for (const outcome of await settled) if (outcome.status === "fulfilled") outcome.value.abort();
      }
    }
    const last = await connect(runtime, place);
    while (!ports.has(last.localAddress?.port)) await turn(); // then all before it have been accepted, too
    last.abort();
    await checkRoundTrips(runtime, 5);
    while (open.size > 0) await turn();
  });
});

testLanes("connect: a signal that is given afterwards has no effect", async (runtime) => {
  await listening(runtime, {}, echo, async (place) => {
    for (const more of [{}, { localHostname: "127.0.0.1" }]) {
      const control = new AbortController();
      const pipe = await connect(runtime, place, { ...more, signal: control.signal });
      control.abort();
      await checkEcho(pipe);
    }
  });
});

testLanes("connect: either side may end first, the other one goes on", async (runtime) => {
  const accepted: PipeEnd[] = [];
  const arrived = signal();
  await listening(runtime, {}, (pipe) => {
    accepted.push(new PipeEnd(pipe));
    if (accepted.length === 2) arrived.resolve();
  }, async (place) => {
    const clients = [new PipeEnd(await connect(runtime, place)), new PipeEnd(await connect(runtime, place))];
    await Promise.all(clients.map((client, i) => client.send(String(i))));
    await arrived.promise;
    const servers = await Promise.all(accepted.map(async (end) => [await end.read(1), end] as const));
    const serverOf = (i: number) => servers.find(([name]) => name === String(i))![1];
    for (const [first, second] of [[clients[0], serverOf(0)], [serverOf(1), clients[1]]]) {
      await first.send("last words");
      first.lane.end();
      assertEquals(await second.readAll(), "last words");
      assert(!second.closed && !first.closed);
      await second.send("and an answer");
      second.lane.end();
      assertEquals(await first.readAll(), "and an answer");
      await first.until(() => first.closed);
      await second.until(() => second.closed);
      assert(first.ended && second.ended);
      assertEquals([first.error, second.error], [undefined, undefined]);
    }
  });
});

testLanes("connect: 8 MiB there and back through a slow reader arrive unharmed", async (runtime) => {
  await listening(runtime, {}, echo, async (place) => {
    const sum = 8 * MIB;
    const there = createHash("sha256");
    const back = createHash("sha256");
    let rest = 0;
    const end = new PipeEnd(await connect(runtime, place), (chunk) => {
      back.update(chunk);
      rest += chunk.length;
      if (rest < 256 * KIB) return;
      rest = 0;
      end.lane.pause();
      setImmediate(() => setImmediate(() => setImmediate(() => end.lane.resume())));
    });
    for (let sent = 0, seed = 1; sent < sum;) {
      const chunk = new Uint8Array(Math.min(sum - sent, 1 + seed % (128 * KIB)));
      for (let i = 0; i < chunk.length; i += 7) chunk[i] = seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      there.update(chunk);
      sent += chunk.length;
      await end.send(chunk);
    }
    end.lane.end();
    await end.until(() => end.ended);
    assertEquals(end.received, sum);
    assertEquals(back.digest("hex"), there.digest("hex"));
  });
});

testLanes("connect: a client that does not read stops the server, one that nobody reads is stopped", async (runtime) => {
  const accepted = signal<PipeEnd>();
  await listening(runtime, {}, (pipe) => accepted.resolve(new PipeEnd(pipe, () => {})), async (place) => {
    const client = new PipeEnd(await connect(runtime, place), () => {});
    const server = await accepted.promise;
    for (const [from, to] of [[server, client], [client, server]]) {
      to.lane.pause();
      let sent = 0;
      const flood = (async () => {
        for (; sent < OFFERED; sent += 64 * KIB) await from.send(new Uint8Array(64 * KIB));
      })();
      for (let before = -1; before !== sent;) {
        before = sent;
        await checkRoundTrips(runtime, 20);
      }
      assertLessOrEqual(sent, KERNEL);
      assertLessOrEqual(to.received, 4 * MIB);
      to.lane.resume();
      await flood;
      await to.until(() => to.received === OFFERED);
    }
    client.lane.abort();
    await client.until(() => client.closed);
    await server.until(() => server.closed || server.ended);
    server.lane.abort();
  });
});

testLanes("connect: an abort behind an end closes the connection, also while the end is under way", async (runtime) => {
  for (const bytes of [0, 10, 4 * MIB]) {
    const accepted = signal<PipeEnd>();
    await listening(runtime, {}, (pipe) => accepted.resolve(new PipeEnd(pipe, () => {})), async (place) => {
      const client = new PipeEnd(await connect(runtime, place), () => {});
      const server = await accepted.promise;
      client.lane.pause();
      if (bytes > 0) void server.send(new Uint8Array(bytes)).catch(() => {});
      server.lane.end();
      server.lane.abort();
      await server.until(() => server.closed);
      client.lane.abort();
    });
  }
});
