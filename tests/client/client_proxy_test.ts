/** `HttpClient` behind proxies, over real sockets. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { HttpClient, type HttpClientSettings, HttpServer } from "../../src/coroutine/mod.ts";
import type { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { ok, requestOf, scripted, serverOf } from "./client_stage.ts";

const path = (name: string) => fileURLToPath(new URL(`../tls/${name}`, import.meta.url));

/** Carries bytes between a client and a port of this machine, both ways, with their ends. */
function carry(peer: RawClient, port: number): Promise<void> {
  const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  peer.socket.removeAllListeners("data");
  peer.socket.pipe(socket);
  socket.pipe(peer.socket);
  socket.on("error", () => peer.socket.destroy());
  peer.socket.on("close", () => socket.destroy());
  return new Promise((resolve) => socket.on("close", () => resolve()));
}

/** A proxy for CONNECT; it notes what it is asked for, and takes the tunnel to `port` whatever that was. */
function tunnels(port: number, heads: string[]) {
  return async (peer: RawClient) => {
    heads.push(await peer.readHead());
    peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
    await carry(peer, port);
  };
}

/** A SOCKS5 proxy with name and password, in pieces; it notes the name of the host. */
function socks(port: number, heard: string[]) {
  return async (peer: RawClient) => {
    const [, methods] = await peer.read(2);
    await peer.read(methods);
    peer.send(Uint8Array.of(5));
    peer.send(Uint8Array.of(2));
    const [, length] = await peer.read(2);
    const name = new TextDecoder().decode(await peer.read(length));
    const [size] = await peer.read(1);
    heard.push(`${name}:${new TextDecoder().decode(await peer.read(size))}`);
    peer.send(Uint8Array.of(1, 0));
    const [, , , , hostLength] = await peer.read(5);
    heard.push(
      new TextDecoder().decode(await peer.read(hostLength)),
      String(new DataView((await peer.read(2)).buffer).getUint16(0)),
    );
    peer.send(Uint8Array.of(5, 0, 0, 1, 0, 0));
    peer.send(Uint8Array.of(0, 0, 0, 0));
    await carry(peer, port);
  };
}

/** Runs a test with a server that greets, in HTTP and as a WebSocket, with TLS or without. */
async function greeting(ssl: boolean, work: (port: number) => Promise<void>): Promise<void> {
  const server = new HttpServer("127.0.0.1", 0, ssl);
  if (ssl) server.set({ ssl_cert_file: path("cert.pem"), ssl_key_file: path("key.pem") });
  server.handle("/", (request, response) => response.end(`${request.header.host} ${"x".repeat(100_000)}`));
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) await ws.push(`echo ${frame.data}`);
  });
  await serving(server, (_server, port) => work(port));
}

/** Asks for a page and then talks over a WebSocket. */
async function talk(client: HttpClient): Promise<void> {
  for (let i = 0; i < 2; i++) {
    assertEquals(await client.get("/"), true, client.errMsg);
    assertEquals([client.statusCode, client.body.length], [200, 100_001 + client.body.indexOf(" ")]);
  }
  assertEquals(await client.upgrade("/ws"), true, client.errMsg);
  for (const text of ["one", "x".repeat(100_000)]) {
    await client.push(text);
    const frame = await client.recv();
    assertEquals(frame && frame.data, `echo ${text}`);
  }
  assertEquals(client.disconnect(), true);
}

test("plain HTTP asks the proxy itself, with the whole address; the connection to it is kept", async () => {
  const heads: string[] = [];
  const answers = async (peer: RawClient) => {
    while (true) {
      const head = await peer.readHead().catch(() => undefined);
      if (head === undefined) return peer.destroy();
      heads.push(head);
      peer.send(ok("from the proxy"));
    }
  };
  await serverOf([answers], async (port, connections) => {
    const client = new HttpClient("example.com", 8080);
    client.set({ http_proxy_host: "127.0.0.1", http_proxy_port: port, http_proxy_user: "Ada", http_proxy_password: "pass" });
    for (let i = 0; i < 2; i++) assertEquals([await client.get("/a?b"), client.body], [true, "from the proxy"]);
    assertEquals([connections(), heads[0] === heads[1]], [1, true]);
    assertStringIncludes(heads[0], "GET http://example.com:8080/a?b HTTP/1.1\r\nHost: example.com:8080\r\n");
    assertStringIncludes(heads[0], `\r\nProxy-Authorization: Basic ${btoa("Ada:pass")}\r\n`);
    client.close();
    const usual = new HttpClient("example.com");
    usual.set({ http_proxy_host: "127.0.0.1", http_proxy_port: port });
    await usual.get("/");
    assertStringIncludes(heads[2], "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n");
    assertEquals(heads[2].includes("Proxy-"), false);
    usual.close();
  });
});

test("a WebSocket goes through a tunnel of the HTTP proxy, and a request before it does not", () =>
  greeting(false, async (port) => {
    const heads: string[] = [];
    const asked = async (peer: RawClient) => {
      heads.push(await peer.readHead());
      peer.send(ok("page"));
      await peer.readAll();
      peer.end();
    };
    await serverOf([asked, tunnels(port, heads)], async (proxy, connections) => {
      const client = new HttpClient("example.com", 81);
      client.set({ http_proxy_host: "127.0.0.1", http_proxy_port: proxy, http_proxy_user: "a", http_proxy_password: "b" });
      assertEquals([await client.get("/"), client.body], [true, "page"]);
      assertEquals(await client.upgrade("/ws"), true);
      await client.push("through");
      const frame = await client.recv();
      assertEquals([frame && frame.data, connections()], ["echo through", 2]);
      assertEquals(
        heads[1],
        `CONNECT example.com:81 HTTP/1.1\r\nHost: example.com:81\r\nProxy-Authorization: Basic YTpi\r\n\r\n`,
      );
      client.close();
    });
  }));

test("TLS through a tunnel of the HTTP proxy: the certificate is checked for the server, not for the proxy", () =>
  greeting(true, async (port) => {
    const heads: string[] = [];
    await serverOf([tunnels(port, heads)], async (proxy) => {
      const settings = { http_proxy_host: "127.0.0.1", http_proxy_port: proxy, ssl_cafile: path("ca.pem") };
      const client = new HttpClient("localhost", 4433, true);
      client.set(settings);
      await talk(client);
      assertEquals(heads[0].split("\r\n")[0], "CONNECT localhost:4433 HTTP/1.1");
      const wrong = new HttpClient("example.org", 443, true);
      wrong.set(settings);
      assertEquals([await wrong.get("/"), wrong.statusCode, wrong.errCode], [false, -1, 1014]);
    });
  }));

test("a request on a pipe of use() that is repeated takes a tunnel, since it is not addressed to the proxy", () =>
  greeting(false, async (port) => {
    const heads: string[] = [];
    await serverOf([tunnels(port, heads)], async (proxy) => {
      const { client, lane } = scripted({ http_proxy_host: "127.0.0.1", http_proxy_port: proxy, max_retries: 1 });
      const asking = client.get("/");
      assertEquals((await requestOf(lane)).split("\r\n")[0], "GET / HTTP/1.1");
      lane.abort(); // without an answer
      assertEquals(await asking, true, client.errMsg);
      assertEquals([heads[0].split("\r\n")[0], client.body.split(" ")[0]], ["CONNECT example.com:80 HTTP/1.1", "example.com"]);
      client.close();
    });
  }));

for (const ssl of [false, true]) {
  test(`SOCKS5 with ${ssl ? "TLS" : "plain HTTP"}: the proxy looks the name up`, () =>
    greeting(ssl, async (port) => {
      const heard: string[] = [];
      await serverOf([socks(port, heard)], async (proxy) => {
        const client = new HttpClient("localhost", 4433, ssl);
        client.set({ socks5_host: "127.0.0.1", socks5_port: proxy, socks5_username: "Ada", socks5_password: "pass" });
        client.set({ ssl_cafile: path("ca.pem"), http_proxy_host: "nowhere.invalid" }); // SOCKS5 is preferred
        await talk(client);
        assertEquals(heard.slice(0, 3), ["Ada:pass", "localhost", "4433"]);
      });
    }));
}

test("what goes wrong at a proxy is -1, with its code; nothing of the request is sent", async () => {
  const proxies: [how: (peer: RawClient) => unknown, settings: string, code: number][] = [
    [(peer) => peer.send("HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n"), "http_proxy", 7104],
    [(peer) => peer.send("SSH-2.0\r\n"), "http_proxy", 7101],
    [(peer) => peer.send("HTTP/1.1 200 OK\r\n\r\nmore"), "http_proxy", 7101],
    [(peer) => peer.end(), "http_proxy", 104],
    [(peer) => peer.send(Uint8Array.of(5, 255)), "socks5", 7002],
    [(peer) => peer.send(Uint8Array.of(4, 0)), "socks5", 7001],
    [(peer) => peer.end(), "socks5", 104],
  ];
  for (const [how, kind, code] of proxies) {
    let rest: Uint8Array | undefined;
    const script = async (peer: RawClient) => {
      if (kind === "socks5") await peer.read(3);
      else await peer.readHead();
      how(peer);
      rest = await peer.readAll();
    };
    await serverOf([script], async (port) => {
      const client = new HttpClient("example.com", 443, true);
      client.set({ [`${kind}_host`]: "127.0.0.1", [`${kind}_port`]: port } as HttpClientSettings);
      assertEquals([await client.get("/"), client.statusCode, client.errCode], [false, -1, code], `${kind} ${code}`);
      while (rest === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
      assertEquals(rest.length, 0);
    });
  }
});

test("a proxy that says nothing is late after connect_timeout; close() gives up; one that is not there is 111", async () => {
  await serverOf([() => {}], async (port) => {
    for (const kind of ["http_proxy", "socks5"]) {
      const client = new HttpClient("example.com", 443, true);
      client.set({ [`${kind}_host`]: "127.0.0.1", [`${kind}_port`]: port, connect_timeout: 0.1 } as HttpClientSettings);
      assertEquals([await client.get("/"), client.statusCode, client.errCode], [false, -1, 110]);
      client.set({ connect_timeout: -1 });
      const asking = client.get("/");
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.close();
      assertEquals([await asking, client.errCode], [false, 5001]);
    }
  });
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const client = new HttpClient("example.com");
  client.set({ socks5_host: "127.0.0.1", socks5_port: port });
  assertEquals([await client.get("/"), client.statusCode, client.errCode], [false, -1, 111]);
});

test("a tunnel's server that does not read holds push() up, and its end is seen", () =>
  greeting(false, async (port) => {
    await serverOf([tunnels(port, [])], async (proxy) => {
      const client = new HttpClient("example.com", 81);
      client.set({ http_proxy_host: "127.0.0.1", http_proxy_port: proxy });
      assert(await client.upgrade("/ws"));
      assertEquals(client.disconnect(), true);
      const last = await client.recv();
      assert(last !== false && last !== "" && last.opcode === 8);
      assertEquals([await client.recv(), client.connected], ["", false]);
    });
  }));

test("a unix socket and a pipe of the program's own need no proxy", async () => {
  const client = new HttpClient("unix:/no/such/socket");
  client.set({ http_proxy_host: "nowhere.invalid", socks5_host: "nowhere.invalid" });
  assertEquals([await client.get("/"), client.errCode], [false, 2]);
});
