// `open_tcp_keepalive` and `tcp_keepidle`, as Linux shows them.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Server, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { connectTls, tlsSettings } from "../support/tls_client.ts";

const TABLE = "/proc/net/tcp";

/** The end of a connection of this machine, as its kernel knows it: which timer runs, and for how many hundredths of a second. */
function timerOf(localPort: number, remotePort: number): { kind: number; left: number } {
  const suffix = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of readFileSync(TABLE, "utf8").split("\n").slice(1)) {
    const [, local, remote, , , timer] = line.trim().split(/\s+/);
    if (!local?.endsWith(suffix(localPort)) || !remote.endsWith(suffix(remotePort))) continue;
    const [kind, left] = timer.split(":").map((part) => parseInt(part, 16));
    return { kind, left };
  }
  throw new Error(`There is no connection from ${localPort} to ${remotePort}`);
}

/** The timer that runs once everything sent is acknowledged: 2 is the one of keepalive. */
async function idleTimerOf(localPort: number, remotePort: number): Promise<{ kind: number; left: number }> {
  for (const end = Date.now() + 10_000;;) {
    const timer = timerOf(localPort, remotePort);
    if (timer.kind !== 1 || Date.now() > end) return timer;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function serverWith(settings: Parameters<Server["set"]>[0], type: number = SWOOLE_SOCK_TCP) {
  const server = new Server("127.0.0.1", 0, SWOOLE_BASE, type);
  const connected = signal();
  server.set(settings);
  server.on("connect", () => connected.resolve());
  server.on("receive", () => {});
  return { server, connected: connected.promise };
}

testLanes("open_tcp_keepalive has the system ask silent peers after tcp_keepidle", async (runtime) => {
  if (!existsSync(TABLE)) return;
  for (const [settings, seconds] of [[{}, 3600], [{ tcp_keepidle: 1000 }, 1000]] as const) {
    const { server, connected } = serverWith({ open_tcp_keepalive: true, ...settings });
    await servingOn(runtime, server, async () => {
      const client = await RawClient.connect(server.port);
      await connected;
      const { kind, left } = await idleTimerOf(server.port, client.socket.localPort!);
      assertEquals(kind, 2);
      assert(left > (seconds - 60) * 100 && left <= seconds * 100, `${left / 100} s of ${seconds}`);
      client.destroy();
    });
  }
});

testLanes("without it the system leaves them alone", async (runtime) => {
  if (!existsSync(TABLE)) return;
  const { server, connected } = serverWith({ tcp_keepidle: 1000 });
  await servingOn(runtime, server, async () => {
    const client = await RawClient.connect(server.port);
    await connected;
    assertEquals(await idleTimerOf(server.port, client.socket.localPort!), { kind: 0, left: 0 });
    client.destroy();
  });
});

testLanes("it works over TLS too", async (runtime) => {
  if (!existsSync(TABLE)) return;
  const { server, connected } = serverWith({ open_tcp_keepalive: true, ...tlsSettings }, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  await servingOn(runtime, server, async () => {
    const client = await connectTls(server.port);
    await connected;
    assertEquals((await idleTimerOf(server.port, client.socket.localPort!)).kind, 2);
    client.destroy();
  });
});

test("tcp_keepidle is a whole number of seconds that the system takes", () => {
  const server = new Server("127.0.0.1", 0);
  for (const seconds of [0, 32_768, 1.5]) assertThrows(() => server.set({ tcp_keepidle: seconds }), RangeError, "tcp_keepidle");
  server.set({ tcp_keepidle: 1 });
  server.set({ tcp_keepidle: 32_767 });
  for (const key of ["tcp_keepinterval", "tcp_keepcount", "tcp_user_timeout"]) {
    assertThrows(() => server.set({ [key]: 1 }), TypeError, "not every runtime can set it");
  }
});
