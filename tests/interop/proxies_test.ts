/** Servers behind real proxies: what arrives of a client, of HTTP, and of WebSockets, and which pages may connect. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readFileSync, writeFileSync } from "node:fs";
import tls from "node:tls";
import {
  type Refusal,
  type ServerSettings,
  SWOOLE_BASE,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { testWith } from "../support/prerequisites.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving, type Startable } from "../support/serving.ts";
import { authority, tlsSettings } from "../support/tls_client.ts";
import { path, read } from "../tls/stage.ts";
import { behindHaproxy, behindHaproxyOf, behindNginx, behindNginxStream, CLIENT, MAP } from "./proxies.ts";

// ---- servers --------------------------------------------------------------------------------------------------------------

interface Stage extends Startable {
  /** What the server has refused. */
  readonly refusals: Refusal[];
}

/** A server that tells whom its requests are from, and what each connection is; its WebSockets send everything back. */
function eventServer(settings: ServerSettings, isSecure = false, unixPath = ""): Stage & WebSocketServer {
  const type = (unixPath === "" ? SWOOLE_SOCK_TCP : SWOOLE_SOCK_UNIX_STREAM) | (isSecure ? SWOOLE_SSL : 0);
  const server = new WebSocketServer(unixPath || "127.0.0.1", 0, SWOOLE_BASE, type);
  const refusals: Refusal[] = [];
  server.set({ http_compression: false, ...settings, ...(isSecure ? tlsSettings : {}) });
  server.on("request", (request, response) => {
    response.end(`${request.server.remote_addr} ${request.scheme} ${request.host} ${request.fd}`);
  });
  server.on("message", (server, frame) => {
    const info = server.getClientInfo(frame.fd);
    server.push(frame.fd, frame.data === "who" ? `${info && info.remote_ip}` : frame);
  });
  server.on("refuse", (_server, refusal) => void refusals.push(refusal));
  return Object.assign(server, { refusals });
}

function coroutineServer(settings: ServerSettings, isSecure = false): Stage {
  const server = new CoroutineServer("127.0.0.1", 0, isSecure);
  const refusals: Refusal[] = [];
  server.set({ http_compression: false, ...settings, ...(isSecure ? tlsSettings : {}) });
  server.handle("/", async (request, ws) => {
    const address = `${request.server.remote_addr}`;
    if (request.header.upgrade === undefined) {
      return void ws.end(`${address} ${request.scheme} ${request.host} ${request.fd}`);
    }
    if (!await ws.upgrade()) return;
    for await (const frame of ws) await ws.push(frame.data === "who" ? address : frame);
  });
  server.on("refuse", (_server, refusal) => void refusals.push(refusal));
  return Object.assign(server, { refusals });
}

const STYLES = [eventServer, coroutineServer];

// ---- clients --------------------------------------------------------------------------------------------------------------

/** Connects from the address of the client. */
function connect(port: number, isSecure = false, localAddress: string = CLIENT): Promise<RawClient> {
  if (!isSecure) return RawClient.connect({ host: "127.0.0.1", port, localAddress });
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, localAddress, servername: "localhost", ca: authority, allowHalfOpen: true };
    const socket = tls.connect(options as tls.ConnectionOptions, () => {
      socket.off("error", reject);
      resolve(new RawClient(socket));
    });
    socket.once("error", reject);
  });
}

const SITE = "site.example";
const PAGE = `http://${SITE}`;

interface Asking {
  isSecure?: boolean;
  host?: string;
  fields?: Record<string, string>;
  from?: string;
}

/** Asks for a page, and returns what the server tells of the request: address, scheme, host. */
async function ask(port: number, { isSecure = false, host = SITE, fields = {}, from }: Asking = {}): Promise<string> {
  const client = await connect(port, isSecure, from);
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${lines.join("")}\r\n`);
  const { status, body } = await client.readAnswer();
  client.destroy();
  assertEquals(status, 200);
  return body.split(" ").slice(0, 3).join(" ");
}

/** Opens a WebSocket as a page would, if there is one, and returns the status. */
async function open(
  port: number,
  origin: string | null,
  { isSecure = false, host = SITE, fields = {} }: Asking = {},
): Promise<number> {
  const client = await connect(port, isSecure);
  client.send(handshake("/", { Host: host, Origin: origin, ...fields }));
  const status = Number((await client.readHead()).slice(9, 12));
  client.destroy();
  return status;
}

const text = (received: { payload: Uint8Array } | null) => new TextDecoder().decode(received?.payload);

/** Talks over a WebSocket: whose it is, short and long messages, many at once, the end. */
async function talk(port: number, address: string, { isSecure = false, host = SITE, fields = {} }: Asking = {}): Promise<void> {
  const client = await connect(port, isSecure);
  client.send(handshake("/", { Host: host, ...fields }));
  assertStringIncludes(await client.readHead(), "HTTP/1.1 101 ");
  client.send(frame({ opcode: 1, payload: "who" }));
  assertEquals(text(await client.readPastPings()), address);
  const long = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255);
  client.send(frame({ opcode: 2, payload: long }));
  assertEquals((await client.readPastPings())?.payload, long);
  for (let i = 0; i < 50; i++) client.send(frame({ opcode: 1, payload: `message ${i}` }));
  for (let i = 0; i < 50; i++) assertEquals(text(await client.readPastPings()), `message ${i}`);
  client.send(closeFrame(1000, "bye"));
  const close = await client.readPastPings();
  assertEquals([close?.opcode, ...close!.payload.subarray(0, 2)], [8, 3, 232]);
  client.destroy();
}

// ---- nginx ----------------------------------------------------------------------------------------------------------------

const upgrading =
  "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;";
const location = (target: number | string, more: string) =>
  `location / { proxy_pass ${typeof target === "number" ? `http://127.0.0.1:${target}` : target}; ${upgrading} ${more} }`;
const FORWARDING = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; " +
  "proxy_set_header X-Forwarded-Host $http_host;";
const TRUSTING = { trusted_proxies: "127.0.0.1" };

for (const make of STYLES) {
  const style = make === eventServer ? "event style" : "coroutine style";

  testWith(
    "nginx",
    `nginx that does not pass on Host: the site works, its WebSockets do not, and the log says why, ${style}`,
    async () => {
      const lines = await loggedDuring(async () => {
        await serving(make({}), async ({ refusals }, own) => {
          await behindNginx(location(own, ""), async (port) => {
            assertEquals(await ask(port), `127.0.0.1 http 127.0.0.1:${own}`);
            assertEquals([await open(port, PAGE), await open(port, null)], [403, 101]);
            assertEquals(refusals.map(({ reason, address }) => [reason, address]), [
              ["pages of this origin may not connect", "127.0.0.1"],
            ]);
          });
        });
      });
      assertEquals(lines.length, 1);
      assertStringIncludes(lines[0], `origin "${PAGE}"`);
      assertStringIncludes(lines[0], 'have it pass on Host, or send X-Forwarded-Host and set trusted_proxies: ["127.0.0.1"]');
    },
  );

  testWith("nginx", `nginx that passes on Host, ${style}`, async () => {
    await loggedDuring(async () => {
      await serving(make({}), async (_server, own) => {
        await behindNginx(location(own, "proxy_set_header Host $http_host;"), async (port) => {
          assertEquals(await ask(port), `127.0.0.1 http ${SITE}`);
          assertEquals([await open(port, PAGE), await open(port, "http://other.example")], [101, 403]);
          await talk(port, "127.0.0.1");
        });
      });
    });
  });

  testWith(
    "nginx",
    `nginx that sends X-Forwarded-*, from which the server takes address, scheme and host, ${style}`,
    async () => {
      await loggedDuring(async () => {
        await serving(make(TRUSTING), async (_server, own) => {
          await behindNginx(location(own, FORWARDING), async (port) => {
            assertEquals(await ask(port), `${CLIENT} http ${SITE}`);
            const rows: [origin: string, status: number][] = [[PAGE, 101], [`https://${SITE}`, 403], [
              `http://127.0.0.1:${own}`,
              403,
            ]];
            for (const [origin, status] of rows) assertEquals([origin, await open(port, origin)], [origin, status]);
            await talk(port, CLIENT);
            // What a client sends of the kind changes nothing.
            const forged = {
              "X-Forwarded-For": "198.51.100.1, 127.0.0.1",
              "X-Forwarded-Proto": "https",
              "X-Forwarded-Host": "other.example",
              Forwarded: "for=198.51.100.1;proto=https;host=other.example",
            };
            assertEquals(await ask(port, { fields: forged }), `${CLIENT} http ${SITE}`);
            assertEquals([
              await open(port, PAGE, { fields: forged }),
              await open(port, "https://other.example", { fields: forged }),
            ], [101, 403]);
            await talk(port, CLIENT, { fields: forged });
          });
        });
      });
    },
  );
}

testWith("nginx", "nginx with TLS: pages of http may not connect", async () => {
  const certificate = `ssl_certificate ${path("cert.pem")}; ssl_certificate_key ${path("key.pem")};`;
  await loggedDuring(async () => {
    await serving(eventServer(TRUSTING), async (_server, own) => {
      const work = async (port: number) => {
        const host = `localhost:${port}`;
        assertEquals(await ask(port, { isSecure: true, host }), `${CLIENT} https ${host}`);
        assertEquals(await open(port, `https://${host}`, { isSecure: true, host }), 101);
        assertEquals(await open(port, `http://${host}`, { isSecure: true, host }), 403);
        await talk(port, CLIENT, { isSecure: true, host });
      };
      await behindNginx(`${certificate} ${location(own, FORWARDING)}`, work, { listen: "ssl" });
    });
  });
});

testWith("nginx", "nginx that keeps its connections: the requests of one are those of many clients", async () => {
  await serving(eventServer(TRUSTING), async (_server, own) => {
    const more = `${MAP} upstream kept { server 127.0.0.1:${own}; keepalive 1; }`;
    await behindNginx(location("http://kept", FORWARDING), async (port) => {
      // nginx keeps a connection only when the response is behind it, so the next request may come too early to get it.
      const seen = new Map<string, Set<string>>();
      const isShared = () => [...seen.values()].some(({ size }) => size === 3);
      for (let i = 0; !isShared(); i++) {
        const from = [CLIENT, "127.0.0.3", "127.0.0.4"][i % 3];
        const client = await connect(port, false, from);
        client.send(`GET / HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`);
        const [address, , , fd] = (await client.readAnswer()).body.split(" ");
        assertEquals(address, from);
        seen.set(fd, (seen.get(fd) ?? new Set()).add(address));
        client.destroy();
      }
    }, { more });
  });
});

testWith("nginx", "nginx over a unix socket", () =>
  inFolder(async (folder) => {
    const socket = `${folder}/server.sock`;
    await serving(eventServer({ trusted_proxies: "unix" }, false, socket), async () => {
      await behindNginx(location(`http://unix:${socket}:`, FORWARDING), async (port) => {
        assertEquals(await ask(port), `${CLIENT} http ${SITE}`);
        assertEquals(await open(port, PAGE), 101);
        await talk(port, CLIENT);
      });
    });
  }));

// ---- HAProxy --------------------------------------------------------------------------------------------------------------

const FORWARDFOR = `
option forwardfor
http-request set-header X-Forwarded-Proto https if { ssl_fc }
http-request set-header X-Forwarded-Proto http unless { ssl_fc }
http-request set-header X-Forwarded-Host %[req.hdr(host)]`;

for (const make of STYLES) {
  const style = make === eventServer ? "event style" : "coroutine style";

  testWith("haproxy", `HAProxy as it is, which passes on Host, ${style}`, async () => {
    await loggedDuring(async () => {
      await serving(make({}), async (_server, own) => {
        await behindHaproxy({ mode: "http", server: `127.0.0.1:${own}` }, async (port) => {
          assertEquals(await ask(port), `127.0.0.1 http ${SITE}`);
          assertEquals([await open(port, PAGE), await open(port, "http://other.example")], [101, 403]);
          await talk(port, "127.0.0.1");
        });
      });
    });
  });

  testWith("haproxy", `HAProxy that sends X-Forwarded-*, and a Host of its own, ${style}`, async () => {
    const frontend = `${FORWARDFOR}\nhttp-request set-header Host inner.example`;
    await loggedDuring(async () => {
      await serving(make({}), async (_server, own) => {
        await behindHaproxy({ mode: "http", frontend, server: `127.0.0.1:${own}` }, async (port) => {
          assertEquals(await ask(port), "127.0.0.1 http inner.example");
          assertEquals(await open(port, PAGE), 403);
        });
      });
      await serving(make(TRUSTING), async (_server, own) => {
        await behindHaproxy({ mode: "http", frontend, server: `127.0.0.1:${own}` }, async (port) => {
          assertEquals(await ask(port), `${CLIENT} http ${SITE}`);
          assertEquals([await open(port, PAGE), await open(port, "http://inner.example")], [101, 403]);
          await talk(port, CLIENT);
          // HAProxy adds a field of its own behind that of the client.
          const fields = { "X-Forwarded-For": "198.51.100.1", Forwarded: "for=198.51.100.1" };
          assertEquals(await ask(port, { fields }), `${CLIENT} http ${SITE}`);
        });
      });
    });
  });
}

testWith("haproxy", "HAProxy with TLS, and with HTTP/2 for those who want it", () =>
  inFolder(async (folder) => {
    const pem = `${folder}/site.pem`;
    writeFileSync(pem, read("cert.pem") + read("key.pem"));
    const bind = `ssl crt ${pem} alpn h2,http/1.1`;
    await loggedDuring(async () => {
      await serving(eventServer(TRUSTING), async (_server, own) => {
        await behindHaproxy({ mode: "http", bind, frontend: FORWARDFOR, server: `127.0.0.1:${own}` }, async (port) => {
          const host = `localhost:${port}`;
          assertEquals(await ask(port, { isSecure: true, host }), `${CLIENT} https ${host}`);
          assertEquals(await open(port, `https://${host}`, { isSecure: true, host }), 101);
          assertEquals(await open(port, `http://${host}`, { isSecure: true, host }), 403);
          await talk(port, CLIENT, { isSecure: true, host });
        });
      });
    });
  }));

// ---- the PROXY protocol ---------------------------------------------------------------------------------------------------

const PROXIED = { ...TRUSTING, proxy_protocol: true };

/** What works behind a proxy that passes on bytes, and sends a header. */
async function checkProxied(port: number, isSecure: boolean): Promise<void> {
  const host = isSecure ? `localhost:${port}` : SITE;
  const scheme = isSecure ? "https" : "http";
  assertEquals(await ask(port, { isSecure, host }), `${CLIENT} ${scheme} ${host}`);
  assertEquals(await ask(port, { isSecure, host, fields: { "X-Forwarded-For": "198.51.100.1" } }), `${CLIENT} ${scheme} ${host}`);
  assertEquals(await open(port, `${scheme}://${host}`, { isSecure, host }), 101);
  assertEquals(await open(port, "http://other.example", { isSecure, host }), 403);
  await talk(port, CLIENT, { isSecure, host });
}

for (const isSecure of [false, true]) {
  const where = isSecure ? "in front of TLS" : "without TLS";
  for (const sending of ["send-proxy", "send-proxy-v2"]) {
    for (const make of STYLES) {
      const style = make === eventServer ? "event style" : "coroutine style";
      testWith("haproxy", `PROXY of HAProxy, ${sending}, ${where}, ${style}`, async () => {
        await loggedDuring(async () => {
          await serving(make(PROXIED, isSecure), async ({ refusals }, own) => {
            await behindHaproxy({ mode: "tcp", server: `127.0.0.1:${own} ${sending}` }, (port) => checkProxied(port, isSecure));
            assertEquals(refusals.filter(({ kind }) => kind === "connection"), []);
          });
        });
      });
    }
  }

  testWith("nginx-stream", `PROXY of nginx, ${where}`, async () => {
    await loggedDuring(async () => {
      await serving(eventServer(PROXIED, isSecure), async (_server, own) => {
        const server = `proxy_pass 127.0.0.1:${own}; proxy_protocol on;`;
        await behindNginxStream(server, (port) => checkProxied(port, isSecure));
      });
    });
  });
}

testWith("haproxy", "PROXY of HAProxy: with additional fields, from a frontend with TLS", () =>
  inFolder(async (folder) => {
    const pem = `${folder}/site.pem`;
    writeFileSync(pem, read("cert.pem") + read("key.pem"));
    const server = (own: number) =>
      `127.0.0.1:${own} send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id`;
    await serving(eventServer(PROXIED), async (_server, own) => {
      const frontend = "unique-id-format %[uuid()]";
      await behindHaproxy({ mode: "http", bind: `ssl crt ${pem}`, frontend, server: server(own) }, async (port) => {
        assertEquals(await ask(port, { isSecure: true }), `${CLIENT} http ${SITE}`);
        await talk(port, CLIENT, { isSecure: true });
      });
    });
  }));

testWith("haproxy", "PROXY of HAProxy: its checks are those of the proxy itself, and are served", async () => {
  for (const sending of ["send-proxy", "send-proxy-v2"]) {
    // The first kind of check resets its connection at once, the second one asks for something.
    for (const backend of ["", "option httpchk GET /"]) {
      const server = eventServer(PROXIED);
      const addresses: string[] = [];
      let wake = () => {};
      server.on("request", (request, response) => {
        addresses.push(String(request.server.remote_addr));
        response.end(`${request.server.remote_addr} ${request.scheme} ${request.host}`);
        wake();
      });
      await serving(server, async (server, own) => {
        const checked = `127.0.0.1:${own} ${sending} check check-send-proxy inter 50ms`;
        await behindHaproxy({ mode: "tcp", backend, server: checked }, async (port) => {
          while (backend !== "" && addresses.length < 3) await new Promise<void>((resolve) => wake = resolve);
          assertEquals(await ask(port), `${CLIENT} http ${SITE}`);
        });
        assertEquals(server.refusals.map(({ reason }) => reason), []);
      });
      assertEquals(addresses.includes("127.0.0.1"), backend !== "", addresses.join());
    }
  }
});

testWith("haproxy", "PROXY of HAProxy: without the header, or where none is expected, nothing is served", async () => {
  await loggedDuring(async () => {
    const fails = async (port: number) => {
      const client = await connect(port);
      client.send(`GET / HTTP/1.1\r\nHost: ${SITE}\r\n\r\n`);
      const answer = new TextDecoder().decode(await client.readAll());
      client.destroy();
      return answer;
    };
    await serving(eventServer(PROXIED), async ({ refusals }, own) => {
      await behindHaproxy({ mode: "tcp", server: `127.0.0.1:${own}` }, async (port) => assertEquals(await fails(port), ""));
      assert(refusals.some(({ reason, address }) => reason === "there is no PROXY header" && address === "127.0.0.1"));
    });
    await serving(eventServer({}), async (_server, own) => {
      const server = `127.0.0.1:${own} send-proxy`;
      await behindHaproxy({ mode: "tcp", server }, async (port) => assertStringIncludes(await fails(port), "HTTP/1.1 400 "));
    });
  });
});

// ---- docs/proxies.md ------------------------------------------------------------------------------------------------------

/** The configurations of a proxy in docs/proxies.md, in their order, with another port for the server. */
function documented(language: "nginx" | "haproxy", own: number): string[] {
  const page = readFileSync(new URL("../../docs/proxies.md", import.meta.url), "utf8");
  const blocks = [...page.matchAll(/```(\w+)\n(.*?)```/gs)].filter(([, name]) => name === language);
  return blocks.map(([, , block]) => block.replace("127.0.0.1:9501", `127.0.0.1:${own}`));
}

testWith("nginx", "the configuration of nginx in docs/proxies.md", async () => {
  await loggedDuring(async () => {
    await serving(eventServer(TRUSTING), async (_server, own) => {
      const [server, more] = documented("nginx", own);
      await behindNginx(server, async (port) => {
        assertEquals(await ask(port, { fields: { "X-Forwarded-For": "198.51.100.1" } }), `${CLIENT} http ${SITE}`);
        assertEquals([await open(port, PAGE), await open(port, "http://other.example")], [101, 403]);
        await talk(port, CLIENT);
      }, { more });
    });
  });
});

testWith("haproxy", "the configurations of HAProxy in docs/proxies.md", () =>
  inFolder(async (folder) => {
    writeFileSync(`${folder}/site.pem`, read("cert.pem") + read("key.pem"));
    await loggedDuring(async () => {
      await serving(eventServer(TRUSTING), async (_server, own) => {
        const [http] = documented("haproxy", own);
        const configure = (port: number) =>
          http.replace("bind :443 ssl crt /etc/haproxy/example.pem", `bind 127.0.0.1:${port} ssl crt ${folder}/site.pem`);
        await behindHaproxyOf(configure, async (port) => {
          const host = `localhost:${port}`;
          assertEquals(await ask(port, { isSecure: true, host }), `${CLIENT} https ${host}`);
          assertEquals(await open(port, `https://${host}`, { isSecure: true, host }), 101);
          assertEquals(await open(port, `http://${host}`, { isSecure: true, host }), 403);
          await talk(port, CLIENT, { isSecure: true, host });
        });
      });
      await serving(eventServer(PROXIED), async ({ refusals }, own) => {
        const [, tcp] = documented("haproxy", own);
        const frontend = (port: number) => `frontend web\n  mode tcp\n  bind 127.0.0.1:${port}\n  default_backend chat\n`;
        await behindHaproxyOf((port) => frontend(port) + tcp, (port) => checkProxied(port, false));
        assertEquals(refusals.filter(({ kind }) => kind === "connection"), []);
      });
    });
  }));
