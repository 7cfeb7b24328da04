import { assert, assertEquals, assertLessOrEqual, assertMatch, assertRejects } from "@std/assert";
import type net from "node:net";
import type tls from "node:tls";
import type { BytePipe, ConnectTls, Runtime } from "../../src/transport/runtime.ts";
import { testLanes } from "../support/lanes.ts";
import { checkEcho, echo, listening, listeningWithoutAdapter, PipeEnd, type Place } from "../support/pipe_end.ts";
import { signal } from "../support/serving.ts";
import { authority, certificate } from "../support/tls_client.ts";

const MIB = 1024 * 1024;

/** More than the kernel keeps for a connection over loopback, much less than what is offered. */
const KERNEL = 32 * MIB;
const OFFERED = 96 * MIB;

const trusting: ConnectTls = { serverName: "localhost", verifyPeer: true, allowSelfSigned: false, ca: authority };

function connect(runtime: Runtime, place: Place, more: Partial<ConnectTls> = {}, control = new AbortController()) {
  return runtime.connect({ ...place, noDelay: true, signal: control.signal, tls: { ...trusting, ...more } });
}

/** Time for everything else to arrive, without a clock. */
async function roundTrips(runtime: Runtime, count: number): Promise<void> {
  await listening(runtime, {}, echo, async (other) => {
    for (let i = 0; i < count; i++) {
      await checkEcho(await runtime.connect({ ...other, noDelay: true, signal: new AbortController().signal }));
    }
  });
}

/** What a connection fails with. */
async function failureOf(connecting: Promise<BytePipe>): Promise<string> {
  const error = await assertRejects(() => connecting, Error);
  return String((error as { code?: unknown }).code);
}

testLanes("connect with TLS: bytes go there and back when the authority is trusted", async (runtime) => {
  await listening(runtime, { tls: certificate("cert") }, echo, async (place) => {
    const pipe = await connect(runtime, place);
    assertEquals(pipe.remoteAddress, place);
    await checkEcho(pipe);
    await checkEcho(await connect(runtime, { ...place, hostname: "localhost" }));
  });
});

testLanes("connect with TLS: an IP address as the name is checked too", async (runtime) => {
  await listening(runtime, { tls: certificate("cert") }, echo, async (place) => {
    await checkEcho(await connect(runtime, place, { serverName: "127.0.0.1" }));
    assertEquals(await failureOf(connect(runtime, place, { serverName: "127.0.0.3" })), "ERR_TLS_CERT_ALTNAME_INVALID");
  });
});

testLanes("connect with TLS: the server is told the name, and the client's certificate", async (runtime) => {
  const told = signal<unknown[]>();
  const options = { tls: { ...certificate("cert"), requestCert: true, rejectUnauthorized: false } };
  await listeningWithoutAdapter(options, (socket) => {
    const { servername } = socket as tls.TLSSocket & { servername: string };
    told.resolve([servername, (socket as tls.TLSSocket).getPeerCertificate().subject?.CN]);
    socket.end();
  }, async (place) => {
    const end = new PipeEnd(await connect(runtime, place, certificate("self")));
    assertEquals(await told.promise, ["localhost", "self"]);
    await end.until(() => end.ended);
    end.lane.end();
    await end.until(() => end.closed);
  });
});

testLanes("connect with TLS: a key that does not belong to the client's certificate", async (runtime) => {
  const [{ cert }, { key }] = [certificate("self"), certificate("expired")];
  const place: Place = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  await assertRejects(() => connect(runtime, place, { cert, key }), Error, "private key");
});

testLanes("connect with TLS: an authority that is not trusted, a wrong name", async (runtime) => {
  await listening(runtime, { tls: certificate("cert") }, echo, async (place) => {
    for (const allowSelfSigned of [false, true, false, true]) {
      const distrusting = connect(runtime, place, { ca: undefined, allowSelfSigned });
      assertEquals(await failureOf(distrusting), "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
      const wrong = connect(runtime, place, { serverName: "example.com", allowSelfSigned });
      assertEquals(await failureOf(wrong), "ERR_TLS_CERT_ALTNAME_INVALID");
      await checkEcho(await connect(runtime, place, { allowSelfSigned }));
      // Connections that check nothing, so that there are TLS sessions that could be resumed; the next round checks again.
      await checkEcho(await connect(runtime, place, { verifyPeer: false, ca: undefined }));
      await checkEcho(await connect(runtime, place, { serverName: "example.com", verifyPeer: false, ca: undefined }));
    }
  });
});

testLanes("connect with TLS: a self-signed certificate, where that is allowed and the name is right", async (runtime) => {
  await listening(runtime, { tls: certificate("self") }, echo, async (place) => {
    // Bun does not tell a certificate of its own making from one of somebody unknown.
    const code = await failureOf(connect(runtime, place));
    assertMatch(code, /^(DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/);
    await checkEcho(await connect(runtime, place, { allowSelfSigned: true }));
    await checkEcho(await connect(runtime, place, { allowSelfSigned: true, ca: undefined }));
    const wrong = connect(runtime, place, { allowSelfSigned: true, serverName: "example.com" });
    assertEquals(await failureOf(wrong), "ERR_TLS_CERT_ALTNAME_INVALID");
    await checkEcho(await connect(runtime, place, { ca: certificate("self").cert }));
    await checkEcho(await connect(runtime, place, { verifyPeer: false, serverName: "example.com" }));
  });
});

testLanes("connect with TLS: a certificate that is out of date", async (runtime) => {
  await listening(runtime, { tls: certificate("expired") }, echo, async (place) => {
    // Deno looks at the signature first.
    assertMatch(await failureOf(connect(runtime, place)), /^(CERT_HAS_EXPIRED|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/);
    assertEquals(await failureOf(connect(runtime, place, { allowSelfSigned: true })), "CERT_HAS_EXPIRED");
    await checkEcho(await connect(runtime, place, { verifyPeer: false }));
  });
});

testLanes("connect with TLS: a certificate that is refused leaves no socket behind", async (runtime) => {
  const sockets: Promise<void>[] = [];
  const onSocket = (socket: net.Socket) => sockets.push(new Promise((resolve) => socket.on("close", () => resolve())));
  await listeningWithoutAdapter({ tls: certificate("cert") }, (socket) => {
    onSocket(socket);
    socket.on("end", () => socket.end()).resume();
  }, async (place) => {
    for (const allowSelfSigned of [false, true]) await failureOf(connect(runtime, place, { ca: undefined, allowSelfSigned }));
    await checkEcholess(await connect(runtime, place));
    await Promise.all(sockets);
  });
});

/** Ends, and waits until that has gone both ways. */
async function checkEcholess(pipe: BytePipe): Promise<void> {
  const end = new PipeEnd(pipe);
  end.lane.end();
  await end.until(() => end.closed);
  assertEquals(end.error, undefined);
}

testLanes("connect with TLS: a peer that speaks something else, or leaves", async (runtime) => {
  await listeningWithoutAdapter({}, (socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"), async (place) => {
    assertMatch(await failureOf(connect(runtime, place)), /^ERR_SSL_/);
  });
  await listeningWithoutAdapter({}, (socket) => socket.resume().end(), async (place) => {
    assertEquals(await failureOf(connect(runtime, place)), "ECONNRESET");
  });
  await listeningWithoutAdapter({}, (socket) => socket.once("data", () => socket.resetAndDestroy()), async (place) => {
    assertEquals(await failureOf(connect(runtime, place)), "ECONNRESET");
  });
});

testLanes("connect with TLS: a peer that never answers is given up, and its socket closed", async (runtime) => {
  const greeted = signal();
  const gone = signal();
  const accept = (socket: net.Socket) => {
    socket.once("data", () => greeted.resolve()).on("close", () => gone.resolve()).on("end", () => socket.end());
  };
  await listeningWithoutAdapter({}, accept, async (place) => {
    const control = new AbortController();
    const outcome = connect(runtime, place, {}, control).then(() => "connected", (error) => error);
    await greeted.promise;
    const reason = new Error("enough");
    control.abort(reason);
    assert(await outcome === reason);
    await gone.promise;
  });
});

testLanes("connect with TLS: the signal, before, at once and afterwards", async (runtime) => {
  let accepted = 0;
  await listening(runtime, { tls: certificate("cert") }, (pipe) => {
    accepted++;
    echo(pipe);
  }, async (place) => {
    const [before, at, after] = [new AbortController(), new AbortController(), new AbortController()];
    before.abort("before");
    assertEquals(await connect(runtime, place, {}, before).catch((error) => error), "before");
    const outcome = connect(runtime, place, {}, at).catch((error) => error);
    at.abort("at once");
    assertEquals(await outcome, "at once");
    const pipe = await connect(runtime, place, {}, after);
    after.abort("afterwards");
    await checkEcho(pipe);
    assertEquals(accepted, 1);
  });
});

testLanes("connect with TLS: what comes before anybody reads is kept, and so is the end", async (runtime) => {
  await listeningWithoutAdapter({ tls: certificate("cert") }, (socket) => {
    socket.resume().write("early ");
    setImmediate(() => socket.end("bird"));
  }, async (place) => {
    const pipe = await connect(runtime, place);
    await roundTrips(runtime, 5);
    const end = new PipeEnd(pipe);
    assertEquals(await end.readAll(), "early bird");
    end.lane.end();
    await end.until(() => end.closed);
    assertEquals(end.error, undefined);
  });
});

testLanes("connect with TLS: 8 MiB there and back through a slow reader arrive unharmed", async (runtime) => {
  // The server never stops reading: this is about the client.
  const echoAll = (socket: net.Socket) => socket.on("data", (chunk) => socket.write(chunk)).on("end", () => socket.end());
  await listeningWithoutAdapter({ tls: certificate("cert") }, echoAll, async (place) => {
    const sum = 8 * MIB;
    const byte = (i: number) => (i * 31 + (i >> 12)) & 255;
    let at = 0;
    let right = true;
    const end = new PipeEnd(await connect(runtime, place), (chunk) => {
      for (const value of chunk) right &&= value === byte(at++);
      end.lane.pause();
      setImmediate(() => setImmediate(() => end.lane.resume()));
    });
    for (let sent = 0; sent < sum; sent += 64 * 1024) {
      await end.send(Uint8Array.from({ length: 64 * 1024 }, (_, i) => byte(sent + i)));
    }
    end.lane.end();
    await end.until(() => end.ended);
    assertEquals(at, sum);
    assert(right);
    await end.until(() => end.closed);
    assertEquals(end.error, undefined);
  });
});

testLanes("connect with TLS: a client that does not read, or does not begin to, stops the server", async (runtime) => {
  const accepted: ((pipe: BytePipe) => void)[] = [];
  await listening(runtime, { tls: certificate("cert") }, (pipe) => accepted.shift()!(pipe), async (place) => {
    for (const late of [false, true]) {
      const peer = signal<BytePipe>();
      accepted.push(peer.resolve);
      const pipe = await connect(runtime, place);
      const server = new PipeEnd(await peer.promise);
      let client = late ? undefined : new PipeEnd(pipe, () => {});
      client?.lane.pause();
      let sent = 0;
      const flood = (async () => {
        for (; sent < OFFERED; sent += 64 * 1024) await server.send(new Uint8Array(64 * 1024));
      })();
      for (let before = -1; before !== sent;) {
        before = sent;
        await roundTrips(runtime, 20);
      }
      assertLessOrEqual(sent, KERNEL);
      assertLessOrEqual(client?.received ?? 0, 4 * MIB);
      client ??= new PipeEnd(pipe, () => {});
      client.lane.resume();
      await flood;
      server.lane.end();
      await client.until(() => client.ended);
      assertEquals(client.received, OFFERED);
      client.lane.end();
      await client.until(() => client.closed);
    }
  });
});
