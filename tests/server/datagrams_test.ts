// UDP: the event `packet`, and `sendto()`.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  EBADF,
  HttpServer,
  Packet,
  type PacketInfo,
  type Runtime,
  Server,
  setRuntime,
  SWOOLE_BASE,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_NO_PAYLOAD,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_DGRAM,
  SWOOLE_SSL,
  swooleStrerror,
  WebSocketServer,
} from "../../mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { withClient } from "../support/datagram_client.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { inNode20 } from "../support/node_20.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

/** The largest payload: 65,535 bytes without the heads of IP and UDP. */
const LARGEST = 65_507;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const udpServer = () => new Server("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP);

function echoServer(): Server {
  const server = udpServer();
  server.on("packet", (server, data, { address, port }) => server.sendto(address, port, data));
  return server;
}

test("a UDP server answers what it gets, and tells where that came from", async () => {
  const server = udpServer();
  const seen = signal<PacketInfo>();
  const sent = signal<boolean>();
  server.on("packet", async (server, data, info) => {
    seen.resolve(info);
    sent.resolve(await server.sendto(info.address, info.port, `you said ${text(data)}`, info.server_socket));
  });
  const before = Date.now() / 1000;
  await serving(server, (server, port) =>
    withClient(async (client) => {
      assertEquals([server.type, server.ports[0].type, server.ports[0].port], [SWOOLE_SOCK_UDP, SWOOLE_SOCK_UDP, port]);
      await client.send("hello", port);
      assertEquals(await client.receive(), { text: "you said hello", address: "127.0.0.1", port });
      const { dispatch_time, ...rest } = await seen.promise;
      assert(dispatch_time >= before && dispatch_time <= Date.now() / 1000);
      assertEquals(rest, { server_socket: 0, server_port: port, address: "127.0.0.1", port: client.port });
      assertEquals(await sent.promise, true);
      const { request_count, response_count, total_recv_bytes, total_send_bytes, connection_num } = server.stats();
      assertEquals([request_count, response_count, total_recv_bytes, total_send_bytes, connection_num], [1, 1, 5, 14, 0]);
      assertEquals([...server.connections], []);
    }));
});

test("datagrams keep their borders, the empty and the largest one too", () =>
  serving(echoServer(), (server, port) =>
    withClient(async (client) => {
      const largest = "x".repeat(LARGEST);
      for (const payload of ["one", "two", largest]) {
        await client.send(payload, port);
        assertEquals((await client.receive()).text, payload);
      }
      const empty = signal<number>();
      server.on("packet", (_server, data) => empty.resolve(data.length));
      await client.send("", port);
      assertEquals(await empty.promise, 0);
    })));

test("a datagram that is kept does not keep 64 KiB of memory", async () => {
  const server = udpServer();
  const memory = signal<number>();
  server.on("packet", (_server, data) => memory.resolve(data.buffer.byteLength));
  await serving(server, (_server, port) =>
    withClient(async (client) => {
      await client.send("hello", port);
      assert(await memory.promise <= 16 * 1024); // which is shared by small pieces of memory
    }));
});

test("with event_object, packet gets a Packet", async () => {
  const server = udpServer();
  server.set({ event_object: true });
  const seen = signal<Packet>();
  server.on("packet", (_server, packet: Packet) => seen.resolve(packet));
  await serving(server, (_server, port) =>
    withClient(async (client) => {
      await client.send("hello", port);
      const packet = await seen.promise;
      assertInstanceOf(packet, Packet);
      const { dispatch_time, data, ...rest } = packet;
      assert(dispatch_time > 0);
      assertEquals(text(data), "hello");
      assertEquals(rest, { server_socket: 0, server_port: port, address: "127.0.0.1", port: client.port });
    }));
});

test("servers of every class have UDP ports beside their own, each with its handler", async () => {
  for (const Class of [Server, HttpServer, WebSocketServer]) {
    const server: Server = new Class("127.0.0.1", 0);
    const on = (event: string, handler: unknown) => server.on(event as "packet", handler as () => void);
    if (Class === Server) on("receive", (server: Server, fd: number, _id: number, data: Uint8Array) => server.send(fd, data));
    else on("request", (_request: unknown, response: { end(body: string): void }) => response.end("http"));
    if (Class === WebSocketServer) on("message", () => {});
    server.on("packet", (server, data, { address, port, server_socket }) => {
      server.sendto(address, port, `${server_socket} ${text(data)}`, server_socket);
    });
    const first = server.listen("127.0.0.1", 0, SWOOLE_SOCK_UDP);
    const second = server.listen("127.0.0.1", 0, SWOOLE_SOCK_UDP);
    second.on("packet", (server, data, { address, port }) => server.sendto(address, port, `second ${text(data)}`, 2));
    await serving(server, (server, port) =>
      withClient(async (client) => {
        await client.send("a", first.port);
        assertEquals(await client.receive(), { text: "1 a", address: "127.0.0.1", port: first.port });
        await client.send("b", second.port);
        assertEquals(await client.receive(), { text: "second b", address: "127.0.0.1", port: second.port });
        // Without a number it is the first one.
        assertEquals(await server.sendto("127.0.0.1", client.port, "c"), true);
        assertEquals((await client.receive()).port, first.port);
        const stream = await RawClient.connect(port);
        stream.send(Class === Server ? "x" : "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        if (Class === Server) assertEquals(text(await stream.read(1)), "x");
        else assertEquals((await stream.readAnswer()).body, "http");
        stream.end();
      }));
  }
});

test("a UDP server may have a TCP port beside it", async () => {
  const server = echoServer();
  const tcp = server.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP);
  await assertRejects(() => server.start(), TypeError, "there is no handler for receive, which the port 127.0.0.1:0 needs");
  tcp.on("receive", (server, fd, _reactorId, data) => server.send(fd, data));
  await serving(server, (_server, port) =>
    withClient(async (client) => {
      await client.send("datagram", port);
      assertEquals((await client.receive()).text, "datagram");
      const stream = await RawClient.connect(tcp.port);
      stream.send("stream");
      assertEquals(text(await stream.read(6)), "stream");
      stream.end();
    }));
});

test("with enable_reuse_port several servers receive at one port, but in Deno and Node 20", async () => {
  const [first, second] = [echoServer(), echoServer()];
  first.set({ enable_reuse_port: true });
  await serving(first, async (_first, port) => {
    second.ports[0].set({ enable_reuse_port: true });
    Object.assign(second, { port });
    if ("Deno" in globalThis || inNode20) {
      return void await assertRejects(() => second.start(), Error, "the address is in use already");
    }
    await serving(second, () =>
      withClient(async (client) => {
        await client.send("to either of them", port);
        assertEquals((await client.receive()).text, "to either of them");
      }));
  });
});

test("one socket for both kinds of addresses, where the system has it", async () => {
  const server = new Server("::", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP6);
  server.on("packet", (server, _data, { address, port }) => server.sendto(address, port, address));
  await serving(server, (_server, port) =>
    withClient(async (client) => {
      await client.send("x", port);
      assertEquals((await client.receive()).text, "::ffff:127.0.0.1");
    }));
});

test("UDP over IPv6, beside UDP over IPv4", async () => {
  const server = udpServer();
  const six = server.listen("::1", 0, SWOOLE_SOCK_UDP6);
  server.on("packet", (server, data, { address, port }) => server.sendto(address, port, data));
  await serving(server, (server, port) =>
    withClient(async (client) => {
      await client.send("six", six.port, "::1");
      assertEquals(await client.receive(), { text: "six", address: "::1", port: six.port });
      await withClient(async (four) => {
        await four.send("four", port);
        assertEquals(await four.receive(), { text: "four", address: "127.0.0.1", port });
        // The kind of the address chooses the port to send from.
        assertEquals(await server.sendto("::1", client.port, "!"), true);
        assertEquals((await client.receive()).port, six.port);
      });
    }, 6));
});

test("sendto() tells why it fails", async () => {
  const server = echoServer();
  const fails = async (code: number, ...args: Parameters<Server["sendto"]>) => {
    assertEquals([args.slice(0, 2), await server.sendto(...args), server.getLastError()], [args.slice(0, 2), false, code]);
  };
  await fails(EBADF, "127.0.0.1", 9, "x"); // it does not run
  const tcp = server.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP);
  tcp.on("receive", () => {});
  await serving(server, () =>
    withClient(async (client) => {
      await fails(SWOOLE_ERROR_NO_PAYLOAD, "127.0.0.1", client.port, "");
      for (const ip of ["", "localhost", "127.0.0", "127.0.0.256", "1.2.3.4.5", "a:b:g", "1:2", ":::", "1::2::3", "%eth0"]) {
        await fails(SWOOLE_ERROR_INVALID_PARAMS, ip, client.port, "x");
      }
      for (const wrong of [undefined, null, 1, 2130706433n, true, {}, ["127.0.0.1"], Symbol()] as never[]) {
        await fails(SWOOLE_ERROR_INVALID_PARAMS, wrong, client.port, "x");
        await fails(SWOOLE_ERROR_INVALID_PARAMS, "127.0.0.1", wrong === 1 ? "9" as never : wrong, "x");
        if (wrong !== undefined) await fails(EBADF, "127.0.0.1", client.port, "x", wrong);
      }
      for (const port of [0, -1, 65_536, 1.5, NaN]) await fails(SWOOLE_ERROR_INVALID_PARAMS, "127.0.0.1", port, "x");
      await fails(EBADF, "::1", client.port, "x"); // no port for IPv6
      for (const socket of [1, 2]) await fails(EBADF, "127.0.0.1", client.port, "x", socket); // TCP, none
      await fails(90, "127.0.0.1", client.port, new Uint8Array(LARGEST + 1));
      assertEquals(swooleStrerror(90), "Message too long");
      // And goes on.
      assertEquals(await server.sendto("127.0.0.1", client.port, new Uint8Array(LARGEST)), true);
      assertEquals((await client.receive()).text.length, LARGEST);
    }));
  await fails(EBADF, "127.0.0.1", 9, "x"); // it runs no more
});

/** The runtime with another way to send, while a test runs. */
async function sendingBy(send: (data: Uint8Array) => Promise<void>, server: Server, work: () => Promise<void>): Promise<void> {
  const runtime = await loadRuntime();
  const slow: Runtime = {
    ...runtime,
    listenDatagram: async (...args) => {
      const { address, close } = await runtime.listenDatagram!(...args).then((socket) => ({
        address: socket.address,
        close: () => socket.close(),
      }));
      return { address, close, send };
    },
  };
  setRuntime(slow);
  try {
    await serving(server, work);
  } finally {
    setRuntime(undefined);
  }
}

test("what waits to be sent is limited", async () => {
  const server = echoServer();
  server.set({ socket_buffer_size: 100 });
  const go = signal();
  await sendingBy(() => go.promise, server, async () => {
    const first = [server.sendto("127.0.0.1", 9, new Uint8Array(60)), server.sendto("127.0.0.1", 9, new Uint8Array(40))];
    assertEquals(await server.sendto("127.0.0.1", 9, "x"), false);
    assertEquals(server.getLastError(), SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
    go.resolve();
    assertEquals(await Promise.all(first), [true, true]);
    assertEquals(await server.sendto("127.0.0.1", 9, "x"), true);
  });
});

test("what the system says against a datagram is the last error, and no event", async () => {
  const server = echoServer();
  const log = new EventLog();
  server.on("error", (_server, error) => log.add(`${error}`));
  for (const [code, number] of [["ENETUNREACH", 101], ["EHOSTUNREACH", 113], ["WHATEVER", 5]] as const) {
    const again = echoServer();
    again.on("error", (_server, error) => log.add(`${error}`));
    await sendingBy(() => Promise.reject(Object.assign(new Error(), { code })), again, async () => {
      assertEquals([await again.sendto("127.0.0.1", 9, "x"), again.getLastError()], [false, number]);
    });
  }
  assertEquals(log.lines, []);
});

test("an error of the socket is reported, and receiving goes on", async () => {
  const runtime = await loadRuntime();
  let fail!: (error: unknown) => void;
  const server = echoServer();
  const log = new EventLog();
  server.on("error", (_server, error, fd) => log.add(`${(error as Error).message} ${fd}`));
  setRuntime({
    ...runtime,
    listenDatagram: (options, receive, failed) => {
      fail = failed;
      return runtime.listenDatagram!(options, receive, failed);
    },
  });
  try {
    await server.start();
  } finally {
    setRuntime(undefined);
  }
  await withClient(async (client) => {
    fail(new Error("odd"));
    await log.until("odd 0");
    await client.send("still here", server.port);
    assertEquals((await client.receive()).text, "still here");
  });
  server.shutdown();
  await server.finished;
});

test("a packet handler that fails is reported, and the next datagram is handled", async () => {
  const server = udpServer();
  const log = new EventLog();
  server.on("error", (_server, error, fd) => log.add(`${(error as Error).message} ${fd}`));
  server.on("packet", (server, data, { address, port }) => {
    if (text(data) === "throw") throw new Error("thrown");
    if (text(data) === "reject") return Promise.reject(new Error("rejected"));
    server.sendto(address, port, data);
  });
  await serving(server, (_server, port) =>
    withClient(async (client) => {
      await client.send("throw", port);
      await log.until("thrown 0");
      await client.send("reject", port);
      await log.until("rejected 0");
      await client.send("fine", port);
      assertEquals((await client.receive()).text, "fine");
    }));
});

test("all ports listen, or none", async () => {
  const taken = echoServer();
  await serving(taken, async (_taken, port) => {
    const server = new Server("127.0.0.1", 0);
    server.on("receive", () => {});
    server.on("packet", () => {});
    server.listen("127.0.0.1", port, SWOOLE_SOCK_UDP);
    await assertRejects(() => server.start(), Error, `Cannot listen on 127.0.0.1:${port}: the address is in use already`);
    assertEquals(server.stats().start_time, 0);
  });
  // Its port is free again.
  const again = new Server("127.0.0.1", taken.port, SWOOLE_BASE, SWOOLE_SOCK_UDP);
  again.on("packet", () => {});
  await serving(again, () => Promise.resolve());
});

test("what has been given to sendto() is sent before the socket is closed", async () => {
  const server = echoServer();
  await server.start();
  await withClient(async (client) => {
    const sent = server.sendto("127.0.0.1", client.port, "goodbye");
    server.shutdown();
    assertEquals(await sent, true);
    assertEquals((await client.receive()).text, "goodbye");
    await server.finished;
  });
});

test("beforeShutdown can say goodbye", async () => {
  const server = echoServer();
  await withClient(async (client) => {
    const sent = signal<boolean>();
    server.on("beforeShutdown", async (server) => sent.resolve(await server.sendto("127.0.0.1", client.port, "goodbye")));
    await server.start();
    server.shutdown();
    assertEquals([await sent.promise, (await client.receive()).text], [true, "goodbye"]);
    await server.finished;
  });
});

test("a server may be bound to a name", async () => {
  const server = new Server("localhost", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP);
  server.on("packet", (server, data, { address, port }) => server.sendto(address, port, data));
  await serving(server, (_server, port) =>
    withClient(async (client) => {
      await client.send("hello", port);
      assertEquals((await client.receive()).address, "127.0.0.1");
    }));
});

test("a UDP port takes what it can do, and nothing else", async () => {
  assertThrows(() => new HttpServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP), RangeError, "http does not go over UDP");
  assertThrows(
    () => new Server("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP | SWOOLE_SSL),
    RangeError,
    "there is no TLS over UDP",
  );
  assertThrows(() => new Server("/tmp/x", 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_DGRAM), RangeError, "socket type 6 is not");
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  const port = server.listen("127.0.0.1", 0, SWOOLE_SOCK_UDP);
  assertThrows(() => new MemoryClient(port), TypeError, "a UDP port has none");
  await assertRejects(() => server.start(), TypeError, "there is no handler for packet, which the port 127.0.0.1:0 needs");
  server.on("packet", () => {});
  port.set({ open_http_protocol: true });
  await assertRejects(() => server.start(), TypeError, "neither HTTP nor WebSockets go over UDP");
  await assertRejects(() => udpServer().start(), TypeError, "there is no handler for packet");
});

test("where the runtime has no UDP, starting says so", async () => {
  const { listenDatagram: _, ...runtime } = await loadRuntime();
  setRuntime({ ...runtime, name: "small" });
  try {
    await assertRejects(() => echoServer().start(), Error, "the runtime small has no UDP");
  } finally {
    setRuntime(undefined);
  }
});

test("max_packet_handlers: so many handlers are under way, datagrams above that are dropped and counted", async () => {
  const server = udpServer();
  server.set({ max_packet_handlers: 2 });
  const waiting: (() => void)[] = [];
  server.on("packet", async (server, data, { address, port }) => {
    if (text(data) !== "now") await new Promise<void>((resolve) => waiting.push(resolve));
    server.sendto(address, port, data);
  });
  await serving(server, (server, port) =>
    withClient(async (client) => {
      const dropped = async (count: number) => {
        while (server.stats().packet_drop_count < count) await new Promise((resolve) => setTimeout(resolve, 1));
      };
      for (const data of ["1", "2", "3"]) await client.send(data, port);
      await dropped(1);
      assertEquals([waiting.length, server.stats().request_count], [2, 2]);
      await client.send("now", port);
      await dropped(2);
      waiting.shift()!();
      assertEquals((await client.receive()).text, "1");
      await client.send("now", port);
      assertEquals((await client.receive()).text, "now");
      waiting.shift()!();
      assertEquals((await client.receive()).text, "2");
      assertEquals([server.stats().packet_drop_count, server.stats().request_count], [2, 3]);
    }));
});
