// Every block of code in README and docs/: programs run and do what the page says, other programs accept the configurations that are
// for them, and commands are known to some test.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "../mod.ts";
import { lastingPort } from "./browser/start_example.ts";
import { pathOf, type Prerequisite, testWith } from "./support/prerequisites.ts";
import { Program } from "./support/program.ts";
import { frame, RawClient } from "./support/raw_client.ts";
import { RedisServer } from "./support/redis_server.ts";
import { serving } from "./support/serving.ts";
import { adapted, commandOf, makeProject, pages, type Snippet, snippetAt, snippetsOf } from "./support/snippets.ts";
import { certificate, connectTls } from "./support/tls_client.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const snippets = pages.flatMap(snippetsOf);
const written = (...languages: string[]) => snippets.filter(({ language }) => languages.includes(language));

/** Snippets that no test runs, with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "docs/operations.md, Your own logger, 2": "it uses pino, which the tests do not have",
};

/** Where the programs are. */
let project: string;
before(() => {
  project = makeProject();
  symlinkSync(`${root}docs`, join(project, "docs"));
  writeFileSync(join(project, "photo.jpg"), "a photo");
});
after(() => rmSync(project, { recursive: true, force: true }));

// ---- programs -------------------------------------------------------------------------------------------------------

/** The line of a program after which a signal ends it in order. */
const STARTED = "\nawait server.start();";

/** Resolves when somebody listens at a port. */
async function listening(port: number): Promise<void> {
  while (true) {
    try {
      (await RawClient.connect(port)).destroy();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/**
 * Runs a program. If it listens at the port of the page, it is visited, and then interrupted. It has to end with 0, and must not have
 * written an error.
 */
async function run(
  { place, language, code }: Snippet,
  visit: (port: number) => Promise<void>,
  permissions?: string[],
): Promise<void> {
  const port = await lastingPort();
  const file = join(project, `${place.replaceAll(/\W+/g, "_")}.${language === "js" ? "mjs" : "ts"}`);
  writeFileSync(file, adapted(code, port).replace(STARTED, `${STARTED} console.log("started");`));
  const work = async () => {
    const program = new Program(commandOf(file, permissions), {}, false, project);
    try {
      if (/\b950[12]\b/.test(code) && /\.start\(\)/.test(code)) {
        const isUp = await Promise.race([listening(port).then(() => true), program.exited.then(() => false)]);
        assert(isUp, program.errors);
        await visit(port);
        // With workers, they accept connections before start() resolves in the master.
        if (code.includes(STARTED)) { while (await program.line() !== "started") continue; }
        process.kill(program.process.pid!, "SIGINT"); // by its number, see tests/browser/start_example.ts
      }
      const code0 = await program.exited;
      const errors = program.errors.split("\n").filter((line) => line !== "" && !line.includes(" Refused a "));
      assertEquals({ code: code0, errors }, { code: 0, errors: [] });
    } finally {
      await program.kill();
    }
  };
  if (!/\b950[12]\b/.test(code) || /\.start\(\)/.test(code)) return await work();
  // A client: its page does not say of which server.
  const server = new WebSocketServer("127.0.0.1", port);
  server.on("message", (server, message) => server.push(message.fd, message));
  server.on("request", (request, response) => response.end(`${request.getMethod()} ${request.server.request_uri}`));
  await serving(server, work);
}

/** Visits a server with a plain request, which it has to answer. */
async function visitPage(port: number, text = ""): Promise<void> {
  const client = await RawClient.connect(port);
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const { status, body } = await client.readAnswer();
  assert(text === "" ? status < 500 : status === 200, `${status}`);
  assertStringIncludes(body, text);
  client.destroy();
}

/** Says something to a server by a WebSocket, and returns what it says. */
async function talk(port: number, path: string, said: string, headers: Record<string, string> = {}): Promise<string> {
  const client = await RawClient.open(port, path, headers);
  client.send(frame({ opcode: 1, payload: said }));
  const heard = await client.readFrame();
  client.destroy();
  return new TextDecoder().decode(heard!.payload);
}

/** What the programs do that listen at the port of their page. Those that are not here only have to answer a plain request. */
const VISITS: Readonly<Record<string, (port: number) => Promise<void>>> = {
  "README.md, Sluice": async (port) => assertEquals(await talk(port, "/", "hello"), "you said hello"),
  "README.md, Sluice, 2": async (port) => assertEquals(await talk(port, "/websocket", "Ada"), "Hello Ada!"),
  "docs/coroutine.md, The server": async (port) => {
    await visitPage(port, "<h1>Swoole WebSocket Server</h1>");
    assertEquals(await talk(port, "/websocket", "Ada"), "Hello Ada!");
  },
  "docs/compression.md, Compression": async (port) => {
    const client = await RawClient.open(port, "/", { "Sec-WebSocket-Extensions": "permessage-deflate" });
    client.send(frame({ opcode: 1, payload: "x" }));
    const heard = await client.readFrame();
    assert(heard!.rsv === 4 && heard!.payload.length < 100);
    client.destroy();
  },
  "docs/start.md, The chat": async (port) => {
    await visitPage(port, "<title>Chat</title>");
    const origin = `http://localhost:${port}`;
    const phones = [];
    for (const name of ["first", "second"]) {
      phones.push(await RawClient.open(port, "/", { Host: `localhost:${port}`, Origin: origin }));
      phones[0].send(frame({ opcode: 1, payload: `the ${name} is here` }));
    }
    const hear = async (phone: RawClient) => new TextDecoder().decode((await phone.readFrame())!.payload);
    const guest = [...(await hear(phones[1])).matchAll(/\d+/g)][0]; // numbers count connections, pages included
    const other = Number(guest) - 1;
    assertEquals(await hear(phones[0]), `Guest ${other} has come`);
    assertEquals(await hear(phones[0]), `Guest ${other}: the first is here`);
    assertEquals(await hear(phones[0]), `Guest ${guest} has come`);
    for (const phone of phones) assertEquals(await hear(phone), `Guest ${other}: the second is here`);
    phones[0].destroy();
    assertEquals(await hear(phones[1]), `Guest ${other} has left`);
    phones[1].destroy();
  },
  "docs/workers.md, Workers: one program on all cores": async (port) => {
    assertMatch(await talk(port, "/", "hello"), /^\d+: hello$/);
  },
  "docs/workers.md, Topics": async (port) => {
    assertEquals(await talk(port, "/", "hello"), "1: hello");
  },
  "docs/workers.md, Tasks": async (port) => {
    assertEquals(await talk(port, "/", "1"), "1");
  },
  "docs/deployment.md, The program": async (port) => {
    await visitPage(port, "hello");
    assertEquals(await talk(port, "/", "echo"), "echo");
  },
  "docs/deployment.md, Without a proxy": async (port) => {
    const client = await connectTls(port);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assertEquals((await client.readAnswer()).body, "hello");
    client.destroy();
  },
};

/** Runs a program that needs Redis at the port of the page. */
function runWithRedis(snippet: Snippet): Promise<void> {
  return RedisServer.with((redis) => run({ ...snippet, code: snippet.code.replaceAll("6379", `${redis.port}`) }, visitPage));
}

for (const snippet of written("ts", "js")) {
  if (snippet.place in NOT_RUN) continue;
  if (snippet.code.includes(":6379")) {
    testWith("redis", `${snippet.place}: the program runs`, () => runWithRedis(snippet));
    continue;
  }
  test(`${snippet.place}: the program runs`, { timeout: 60_000 }, () => run(snippet, VISITS[snippet.place] ?? visitPage));
}

test("the programs that tests know are there", () => {
  for (const place of [...Object.keys(VISITS), ...Object.keys(NOT_RUN)]) snippetAt(place);
});

if ("Deno" in globalThis) {
  test("docs/deployment.md: the permissions are enough", { timeout: 60_000 }, async () => {
    const [, permissions] = /^deno run (.*) server\.mjs$/m.exec(snippetAt("docs/deployment.md, The program, 2").code)!;
    const place = "docs/deployment.md, The program";
    await run(snippetAt(place), VISITS[place], permissions.split(" "));
  });
}

// ---- commands, and other languages ----------------------------------------------------------------------------------

/** Every command of a page, with the test that runs it. */
const COMMANDS: readonly (readonly [command: RegExp, test: string])[] = [
  [/^npm run build$/, "tests/package/installed_package.ts"],
  [/^(npm install|bun add) path\/to\/sluice-server-[\d.]+\.tgz$/, "tests/package/installed_package.ts"],
  [/^mkdir chat && cd chat$/, "tests/package/installed_package.ts"],
  [/^echo '\{ "type": "module" \}' > package\.json$/, "tests/package/installed_package.ts"],
  [/^(node|bun|deno run -A) chat\.mjs$/, "tests/package/installed_package.ts"],
  [/^deno run --allow-net --allow-env=HOST,PORT,PROXY server\.mjs$/, "above"],
];

test("every command is one that a test runs", () => {
  for (const { place, code } of written("sh")) {
    for (const line of code.trimEnd().split("\n")) {
      const command = line.replace(/\s+#.*/, "");
      assert(COMMANDS.some(([known]) => known.test(command)), `${place}: no test runs ${command}`);
    }
  }
});

test("every block is in a language that a test knows", () => {
  const known = ["ts", "js", "sh", "json", "nginx", "haproxy", "caddyfile", "ini", "dockerfile", ""];
  assertEquals(snippets.filter(({ language }) => !known.includes(language)).map(({ place }) => place), []);
  for (const { code } of written("json")) JSON.parse(code);
});

// ---- configurations of other programs -------------------------------------------------------------------------------

/** Runs a test in a directory of its own, with programs that it may start. */
async function beside(
  work: (folder: string, start: (...command: string[]) => Program) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-beside-"));
  const programs: Program[] = [];
  try {
    await work(folder, (...command) => {
      const program = new Program(command, { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder });
      programs.push(program);
      return program;
    });
  } finally {
    for (const program of programs) await program.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a program that checks a configuration; throws with what it says if that is refused. */
function accepts(needed: Prerequisite, ...args: string[]): string {
  return execFileSync(pathOf(needed), args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** A whole configuration of nginx with what a page shows of it. */
function nginxConfiguration(folder: string, blocks: readonly string[]): string {
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`);
  const inServer = blocks.filter((block) => block.startsWith("location"));
  const others = blocks.filter((block) => !block.startsWith("location"));
  return `
    daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off; ${places.join(" ")}
      ${others.join("\n")}
      ${inServer.length === 0 ? "" : `server { listen unix:${folder}/socket; ${inServer.join("\n")} }`}
    }`;
}

for (const page of pages) {
  const blocks = snippetsOf(page).filter(({ language }) => language === "nginx").map(({ code }) => code);
  if (blocks.length > 0) {
    testWith("nginx", `${page}: nginx accepts its configuration`, () =>
      beside(async (folder) => {
        const file = join(folder, "nginx.conf");
        const port = await lastingPort();
        const here = blocks.map((block) =>
          adapted(block, 9).replaceAll(/listen \[::\]:443.*\n/g, "").replaceAll(/\b443\b/g, `${port}`)
        );
        writeFileSync(file, nginxConfiguration(folder, here));
        accepts("nginx", "-t", "-q", "-p", folder, "-c", file);
      }));
  }
}

for (const { place, code } of written("haproxy")) {
  testWith("haproxy", `${place}: HAProxy accepts it`, () =>
    beside(async (folder) => {
      const { cert, key } = certificate("cert");
      writeFileSync(join(folder, "both.pem"), cert + key);
      const port = await lastingPort();
      const times = "defaults\n  timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n\n";
      // It refuses a file in which nothing listens.
      const [, name, mode] = /^backend (\S+)\n {2}mode (\S+)$/m.exec(code)!;
      const front = code.includes("frontend ") ? "" : `frontend web\n  mode ${mode}\n  bind :443\n  default_backend ${name}\n`;
      const here = `${times}${front}\n${code}`.replaceAll(/\/etc\/haproxy\/\S+\.pem/g, join(folder, "both.pem"));
      writeFileSync(join(folder, "haproxy.cfg"), here.replace("bind :443", `bind 127.0.0.1:${port}`));
      accepts("haproxy", "-c", "-f", join(folder, "haproxy.cfg"));
    }));
}

/** A server that tells what it knows of its clients. */
function telling(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ trusted_proxies: "loopback" });
  server.on("open", (server, { fd, server: { remote_addr } }) => server.push(fd, `${remote_addr}`));
  server.on("message", (server, message) => server.push(message.fd, message));
  server.on("request", (_request, response) => response.end("hello"));
  return server;
}

/** Opens a WebSocket as a page of the proxy's own site does; the server has to see the client's address, and to answer. */
async function visitThroughProxy(client: RawClient, site: string, headers: Record<string, string> = {}): Promise<void> {
  const fields = { Host: site.replace(/^.*\//, ""), Origin: site, ...headers };
  client.send(
    `GET / HTTP/1.1\r\n${Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("")}` +
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  assertMatch(await client.readHead(), /^HTTP\/1\.1 101 /);
  client.send(frame({ opcode: 1, payload: "through the proxy" }));
  const heard = [];
  for (let count = 0; count < 2; count++) heard.push(new TextDecoder().decode((await client.readFrame())!.payload));
  assertEquals(heard, ["127.0.0.1", "through the proxy"]);
  client.destroy();
}

testWith(
  "nginx",
  "docs/deployment.md: a WebSocket gets through nginx as it is configured there",
  () =>
    serving(telling(), (_server, port) =>
      beside(async (folder, start) => {
        const front = await lastingPort();
        const { code } = snippetAt("docs/deployment.md, nginx");
        const here = adapted(code, port).replaceAll(/listen \[::\]:443.*\n/g, "").replaceAll(/\b443\b/g, `127.0.0.1:${front}`);
        writeFileSync(join(folder, "nginx.conf"), nginxConfiguration(folder, [here]));
        const nginx = start(pathOf("nginx"), "-p", folder, "-c", join(folder, "nginx.conf"));
        await Promise.race([listening(front), nginx.exited]);
        await visitThroughProxy(await connectTls(front), "https://chat.example.com");
      })),
);

testWith(
  "caddy",
  "docs/deployment.md: a WebSocket gets through Caddy as it is configured there",
  () =>
    serving(telling(), (_server, port) =>
      beside(async (folder, start) => {
        const { code } = snippetAt("docs/deployment.md, Caddy");
        writeFileSync(join(folder, "Caddyfile"), code);
        accepts("caddy", "validate", "--adapter", "caddyfile", "--config", join(folder, "Caddyfile"));
        // Here without a certificate, which Caddy would ask an authority for.
        const front = await lastingPort();
        const here = adapted(code, port).replace("chat.example.com", `http://localhost:${front}`);
        writeFileSync(join(folder, "Caddyfile"), `{\n  admin off\n}\n${here}`);
        const caddy = start(pathOf("caddy"), "run", "--adapter", "caddyfile", "--config", join(folder, "Caddyfile"));
        await Promise.race([listening(front), caddy.exited]);
        await visitThroughProxy(await RawClient.connect(front), `http://localhost:${front}`);
      })),
);

testWith("systemd-analyze", "docs/deployment.md: systemd accepts the unit", () =>
  beside((folder) => {
    const unit = snippetAt("docs/deployment.md, systemd").code.replace("/usr/bin/node", process.execPath);
    writeFileSync(join(folder, "chat.service"), unit);
    assertEquals(accepts("systemd-analyze", "verify", "--man=no", join(folder, "chat.service")), "");
    return Promise.resolve();
  }));

test("docs/deployment.md: the file for a container starts the program without a shell", () => {
  const { code } = snippetAt("docs/deployment.md, Containers");
  assertMatch(code.trimEnd().split("\n").at(-1)!, /^CMD \["node", "server\.mjs"\]$/);
  const [, version] = /^FROM node:(\d+)-slim$/m.exec(code)!;
  assertStringIncludes(readFileSync(`${root}tools/package.json`, "utf8"), `"npm:node@${version}"`);
});
