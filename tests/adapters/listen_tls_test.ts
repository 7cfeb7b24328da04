import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import net from "node:net";
import tls from "node:tls";
import type { BytePipe, Runtime } from "../../src/transport/runtime.ts";
import { testLanes } from "../support/lanes.ts";
import { echo, listening, PipeEnd, type Place } from "../support/pipe_end.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { authority, certificate, connectTls } from "../support/tls_client.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** More than the kernel keeps for a connection over loopback, much less than what is offered. */
const KERNEL = 32 * MIB;
const OFFERED = 96 * MIB;

const byte = (i: number) => (i * 31 + (i >> 12)) & 255;

/** Time for everything else to arrive, without a clock: connections that come, say something and go. */
async function roundTrips(place: Place, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const client = await RawClient.connect(place.port);
    client.send("no TLS");
    await client.whenEnded();
    client.destroy();
  }
}

/** Listens with TLS while a test runs, which gets the next connection by asking for it. */
function securing(
  runtime: Runtime,
  work: (place: Place, next: () => Promise<BytePipe>) => Promise<void>,
  handshakeTimeout = 60_000,
): Promise<void> {
  const pipes: BytePipe[] = [];
  const waiting: ((pipe: BytePipe) => void)[] = [];
  const accept = (pipe: BytePipe) => {
    const take = waiting.shift();
    if (take === undefined) pipes.push(pipe);
    else take(pipe);
  };
  const next = () => pipes.length > 0 ? Promise.resolve(pipes.shift()!) : new Promise<BytePipe>((take) => waiting.push(take));
  return listening(runtime, { tls: certificate("cert"), handshakeTimeout }, accept, (place) => work(place, next));
}

/** A client of the same adapter. */
async function connect(runtime: Runtime, place: Place, take?: (chunk: Uint8Array) => void): Promise<PipeEnd> {
  const secure = { serverName: "localhost", verifyPeer: true, allowSelfSigned: false, ca: authority };
  return new PipeEnd(await runtime.connect({ ...place, noDelay: true, signal: new AbortController().signal, tls: secure }), take);
}

/** A TLS client over a TCP socket that the test can use behind its back. */
async function connectOver(place: Place): Promise<[socket: tls.TLSSocket, under: net.Socket]> {
  const under = net.connect({ host: place.hostname, port: place.port });
  const socket = tls.connect({ socket: under, servername: "localhost", ca: authority });
  for (const each of [socket, under]) each.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
  return [socket, under];
}

testLanes("listen with TLS: the addresses of both sides are known", async (runtime) => {
  await securing(runtime, async (place, next) => {
    const client = await connectTls(place.port);
    const pipe = await next();
    assertEquals(pipe.localAddress, place);
    assertEquals(pipe.remoteAddress, { ...place, port: client.socket.localPort! });
    pipe.abort();
    await client.whenEnded();
    client.destroy();
  });
});

testLanes("listen with TLS: a server that does not read, or does not begin to, stops the client", async (runtime) => {
  await securing(runtime, async (place, next) => {
    for (const late of [false, true]) {
      const client = await connect(runtime, place);
      const pipe = await next();
      let server = late ? undefined : new PipeEnd(pipe, () => {});
      server?.lane.pause();
      let sent = 0;
      const flood = (async () => {
        for (; sent < OFFERED; sent += 64 * KIB) await client.send(new Uint8Array(64 * KIB));
      })();
      for (let before = -1; before !== sent;) {
        before = sent;
        await roundTrips(place, 20);
      }
      assertLessOrEqual(sent, KERNEL);
      assertLessOrEqual(server?.received ?? 0, 4 * MIB);
      server ??= new PipeEnd(pipe, () => {});
      server.lane.resume();
      await flood;
      client.lane.end();
      await server.until(() => server.ended);
      assertEquals(server.received, OFFERED);
      server.lane.end();
      await Promise.all([server.until(() => server.closed), client.until(() => client.closed)]);
    }
  });
});

testLanes("listen with TLS: what comes while nobody reads is kept, and so is the end", async (runtime) => {
  await securing(runtime, async (place, next) => {
    for (const size of [0, 3 * KIB, 600 * KIB]) {
      for (const late of [false, true]) {
        const client = await connect(runtime, place);
        const pipe = await next();
        let right = true;
        let at = 0;
        const start = () =>
          new PipeEnd(pipe, (chunk) => {
            for (const value of chunk) right &&= value === byte(at++);
          });
        let server = late ? undefined : start();
        server?.lane.pause();
        if (size > 0) client.lane.write(Uint8Array.from({ length: size }, (_, i) => byte(i)), 0, size, true);
        client.lane.end();
        await roundTrips(place, 5);
        server ??= start();
        server.lane.resume();
        await server.until(() => server.ended || server.closed);
        assertEquals([at, right, server.ended], [size, true, true]);
        server.lane.end();
        await server.until(() => server.closed);
        assertEquals(server.error, undefined);
        await client.until(() => client.closed);
      }
    }
  });
});

testLanes("listen with TLS: 8 MiB each way through a slow reader arrive unharmed", async (runtime) => {
  await securing(runtime, async (place, next) => {
    const sum = 8 * MIB;
    const accepted = next();
    const slowly = (end: () => PipeEnd) => {
      let at = 0;
      return (chunk: Uint8Array) => {
        assert(chunk.every((value, i) => value === byte(at + i)));
        at += chunk.length;
        end().lane.pause();
        setImmediate(() => setImmediate(() => end().lane.resume()));
      };
    };
    const client: PipeEnd = await connect(runtime, place, slowly(() => client));
    const server: PipeEnd = new PipeEnd(await accepted, slowly(() => server));
    await Promise.all([client, server].map(async (end) => {
      for (let sent = 0; sent < sum; sent += 64 * KIB) {
        await end.send(Uint8Array.from({ length: 64 * KIB }, (_, i) => byte(sent + i)));
      }
      end.lane.end();
      await end.until(() => end.closed);
      assertEquals([end.received, end.ended, end.error], [sum, true, undefined]);
    }));
  });
});

testLanes("listen with TLS: either side may end first, and the other goes on", async (runtime) => {
  await securing(runtime, async (place, next) => {
    for (const serverFirst of [false, true]) {
      const client = await connect(runtime, place);
      const server = new PipeEnd(await next());
      const [first, second] = serverFirst ? [server, client] : [client, server];
      await first.send("bye");
      first.lane.end();
      assertEquals(await second.readAll(), "bye");
      await second.send("one more ");
      await roundTrips(place, 2);
      await second.send("thing");
      second.lane.end();
      assertEquals(await first.readAll(), "one more thing");
      await Promise.all([first, second].map((end) => end.until(() => end.closed)));
      assertEquals([first.error, second.error], [undefined, undefined]);
    }
  });
});

testLanes("listen with TLS: abort drops a connection, also while nobody reads on either side", async (runtime) => {
  await securing(runtime, async (place, next) => {
    for (const stuck of [false, true]) {
      const client = await connect(runtime, place);
      const server = new PipeEnd(await next());
      if (stuck) {
        for (const end of [client, server]) {
          end.lane.pause();
          for (let i = 0; i < 64; i++) end.send(new Uint8Array(64 * KIB));
        }
        await roundTrips(place, 5);
      }
      server.lane.abort();
      await server.until(() => server.closed);
      client.lane.resume();
      await client.until(() => client.ended || client.closed);
      client.lane.abort();
      await client.until(() => client.closed);
    }
  });
});

/** The beginning of a ClientHello. */
const HALF_HELLO = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

testLanes("listen with TLS: a peer that does not finish its handshake in time is dropped", async (runtime) => {
  await securing(runtime, async (place, next) => {
    const quick = await connect(runtime, place);
    const server = new PipeEnd(await next());
    let another = false;
    next().then(() => another = true);
    await Promise.all(["", "\x16", HALF_HELLO].map(async (bytes) => {
      const client = await RawClient.connect({ host: place.hostname, port: place.port, allowHalfOpen: true });
      client.send(bytes);
      await client.whenEnded();
      client.destroy();
    }));
    // Whoever was in time is not.
    await quick.send("still here");
    assertEquals(await server.read(10), "still here");
    assertEquals(another, false);
    quick.lane.end();
    server.lane.end();
    await server.until(() => server.closed);
  }, 1000);
});

testLanes(
  "listen with TLS: a peer that leaves in its handshake, or speaks something else, is dropped",
  async (runtime) => {
    await securing(runtime, async (place) => {
      const pieces = [
        HALF_HELLO,
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x40\x00" + "x".repeat(MIB),
        "\x15\x03\x01\x00\x02\x02\x28",
      ];
      for (const bytes of pieces) {
        const client = await RawClient.connect({ host: place.hostname, port: place.port, allowHalfOpen: true });
        client.send(bytes);
        if (bytes === HALF_HELLO) client.end();
        await client.whenEnded();
        client.destroy();
      }
    }, 1000); // Node drops who left only when the time is over
  },
);

testLanes("listen with TLS: broken TLS, or a reset, ends a connection that was established", async (runtime) => {
  await securing(runtime, async (place, next) => {
    for (const bytes of ["this is no TLS record", frame({ opcode: 1, payload: "\xff" }), undefined]) {
      const [socket, under] = await connectOver(place);
      const server = new PipeEnd(await next());
      socket.write("fine");
      assertEquals(await server.read(4), "fine");
      if (bytes === undefined) under.resetAndDestroy();
      else under.write(bytes);
      await server.until(() => server.closed);
      socket.destroy();
      under.destroy();
    }
  });
});

testLanes("listen with TLS: many at once are served", async (runtime) => {
  const done = signal();
  let left = 50;
  await listening(runtime, { tls: certificate("cert") }, echo, async (place) => {
    for (let i = left; i > 0; i--) {
      connect(runtime, place).then(async (end) => {
        await end.send(`number ${i}`);
        end.lane.end();
        assertEquals(await end.readAll(), `number ${i}`);
        await end.until(() => end.closed);
        if (--left === 0) done.resolve();
      });
    }
    await done.promise;
  });
});
