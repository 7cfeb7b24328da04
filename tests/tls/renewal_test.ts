/** Certificates that are renewed while a server runs. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { HttpServer, type Runtime, type ServerSettings, SWOOLE_SOCK_TCP, SWOOLE_SSL } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { clientHeader } from "../support/proxy_headers.ts";
import { serving } from "../support/serving.ts";
import { connectTls } from "../support/tls_client.ts";
import { as, ask, namingServer, path, read, where } from "./stage.ts";

/** Files of certificates in a folder of their own, which a test can replace. */
class Files {
  readonly folder: string;
  readonly settings: { ssl_cert_file: string; ssl_key_file: string };

  constructor(folder: string, name = "server") {
    this.folder = folder;
    this.settings = { ssl_cert_file: `${folder}/${name}.pem`, ssl_key_file: `${folder}/${name}_key.pem` };
  }

  /** Puts a certificate of this folder there, and its key. */
  put(name: "cert" | "rsa" | "one" | "wild" | "self"): void {
    copyFileSync(path(`${name}.pem`), this.settings.ssl_cert_file);
    copyFileSync(path(name === "cert" ? "key.pem" : `${name}_key.pem`), this.settings.ssl_key_file);
  }
}

/** Whether keys of certificates by name may be of another kind than the main one, which Node has learned in 24. */
const mixesKinds = where !== "node" || parseInt(process.versions.node) >= 24;

/** The names in the certificates that clients get: one that asks for a name, and one that does not. */
async function namesAt(port: number): Promise<(string | undefined)[]> {
  const named = await ask(port, { rejectUnauthorized: false });
  const unnamed = await ask(port, { rejectUnauthorized: false, servername: "" });
  return [named?.server, unnamed?.server];
}

/** Runs a test against a server whose certificates can be replaced. */
function renewing(
  runtime: Runtime,
  settings: ServerSettings,
  work: (server: HttpServer, port: number, files: Files) => Promise<void>,
): Promise<void> {
  return inFolder(async (folder) => {
    const files = new Files(folder);
    files.put("cert");
    const server = namingServer({ ...settings, ...files.settings });
    await servingOn(runtime, server, (server, port) => work(server, port, files));
  });
}

testLanes("reloadCertificates(): new connections get the new certificate, open ones stay", async (runtime) => {
  await renewing(runtime, {}, async (server, port, files) => {
    assertEquals(await namesAt(port), ["localhost", "localhost"]);
    const open = await connectTls(port);
    const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    open.send(request);
    assertEquals((await open.readAnswer()).status, 200);
    let before = "localhost";
    for (const name of ["rsa", "one", "rsa"] as const) {
      files.put(name);
      assertEquals(await namesAt(port), [before, before]); // files are not watched
      assertEquals(await server.reloadCertificates(), true);
      assertEquals(await namesAt(port), [name, name]);
      before = name;
      open.send(request);
      assertEquals((await open.readAnswer()).status, 200);
    }
    open.destroy();
  });
});

testLanes("reloadCertificates(): what cannot be used leaves the old certificate, and says why", async (runtime) => {
  await renewing(runtime, {}, async (server, port, files) => {
    const { ssl_cert_file, ssl_key_file } = files.settings;
    const rows: [work: () => void, code: number, reason: string][] = [
      [() => rmSync(ssl_cert_file), 2, `Cannot read ssl_cert_file: ${ssl_cert_file} does not exist`],
      [() => rmSync(ssl_key_file), 2, `Cannot read ssl_key_file: ${ssl_key_file} does not exist`],
      [() => replaceByPipe(ssl_cert_file), 22, `Cannot read ssl_cert_file: ${ssl_cert_file} is no file`],
      [() => replaceByPipe(ssl_key_file), 22, `Cannot read ssl_key_file: ${ssl_key_file} is no file`],
      [() => writeFileSync(ssl_cert_file, ""), 505, `Cannot use ssl_cert_file: ${ssl_cert_file} is not in PEM format`],
      [
        () => writeFileSync(ssl_cert_file, "no certificate"),
        505,
        `Cannot use ssl_cert_file: ${ssl_cert_file} is not in PEM format`,
      ],
      // What is written while it is read.
      [
        () => writeFileSync(ssl_cert_file, read("deep.pem").slice(0, -100)),
        505,
        `Cannot use ssl_cert_file: ${ssl_cert_file} is not complete`,
      ],
      [
        () => writeFileSync(ssl_key_file, read("key.pem").slice(0, 100)),
        505,
        `Cannot use ssl_key_file: ${ssl_key_file} is not complete`,
      ],
      [() => writeFileSync(ssl_cert_file, read("key.pem")), 505, "there is no certificate in the certificate chain"],
      [() => copyFileSync(path("rsa.pem"), ssl_cert_file), 505, "the private key does not belong to the certificate"],
      [() => copyFileSync(path("rsa_key.pem"), ssl_key_file), 505, "the private key does not belong to the certificate"],
      [() => writeFileSync(ssl_cert_file, damaged(read("cert.pem"))), 505, ""],
      [() => writeFileSync(ssl_cert_file, read("cert.pem") + damaged(read("ca.pem"))), 505, ""],
      [() => writeFileSync(ssl_key_file, damaged(read("key.pem"))), 505, ""],
      [
        () => copyFileSync(path("encrypted_key.pem"), ssl_key_file),
        505,
        "is encrypted, and there is no passphrase (ssl_passphrase)",
      ],
    ];
    for (const [damage, code, reason] of rows) {
      damage(); // a pipe without a writer must not be waited for
      const lines = await loggedDuring(async () => assertEquals([reason, await server.reloadCertificates()], [reason, false]));
      assertEquals([reason, server.getLastError()], [reason, code]);
      assertEquals(lines.length, 1);
      assert(lines[0].startsWith("The certificates stay as they are: ") && lines[0].includes(reason), lines[0]);
      assertEquals(await namesAt(port), ["localhost", "localhost"]);
      for (const file of [ssl_cert_file, ssl_key_file]) rmSync(file, { force: true });
      files.put("cert");
    }
    files.put("rsa");
    assertEquals(await server.reloadCertificates(), true);
    assertEquals(await namesAt(port), ["rsa", "rsa"]);
  });
});

function replaceByPipe(file: string): void {
  rmSync(file);
  execFileSync("mkfifo", [file], { env: { PATH: `${process.env.PATH}:/usr/bin:/bin` } });
}

/** Changes bytes in the middle of what a PEM text encodes. */
function damaged(pem: string): string {
  const lines = pem.split("\n");
  lines[2] = "A".repeat(lines[2].length);
  return lines.join("\n");
}

testLanes("reloadCertificates(): certificates by name, and authorities of clients", async (runtime) => {
  await inFolder(async (folder) => {
    const [files, one, wild] = [new Files(folder), new Files(folder, "one"), new Files(folder, "wild")];
    files.put("cert");
    one.put("one");
    wild.put("wild");
    const ssl_client_cert_file = `${folder}/authority.pem`;
    copyFileSync(path("second_ca.pem"), ssl_client_cert_file);
    const settings = {
      ...files.settings,
      ssl_sni_certs: { "one.example": one.settings, "*.wild.example": wild.settings },
      ssl_verify_peer: true,
      ssl_client_cert_file,
    };
    await servingOn(runtime, namingServer(settings), async (server, port) => {
      const names = async () => {
        const found: (string | undefined)[] = [];
        for (const servername of ["localhost", "one.example", "a.wild.example"]) {
          found.push((await ask(port, { ...as("client"), servername, rejectUnauthorized: false }))?.server);
        }
        return found;
      };
      assertEquals(await names(), ["localhost", "one", "wild"]);
      one.put("rsa");
      if (mixesKinds) {
        assertEquals(await server.reloadCertificates(), true);
        assertEquals(await names(), ["localhost", "rsa", "wild"]);
      } else {
        const lines = await loggedDuring(async () => assertEquals(await server.reloadCertificates(), false));
        assertStringIncludes(lines[0], "before Node 24, the key for one.example has to be ec, like the main one");
        assertEquals(await names(), ["localhost", "one", "wild"]);
        one.put("self");
        assertEquals(await server.reloadCertificates(), true);
      }
      const name = mixesKinds ? "rsa" : "self";
      assertEquals(await names(), ["localhost", name, "wild"]);
      wild.put("one");
      files.put("self");
      assertEquals(await server.reloadCertificates(), true);
      assertEquals(await names(), ["self", name, "one"]);

      // Another authority: those that it has not signed get in no longer, and those that it has, do.
      const getsIn = async (name: string) => (await ask(port, { ...as(name), rejectUnauthorized: false })) !== undefined;
      assertEquals([await getsIn("client"), await getsIn("self_client")], [true, false]);
      copyFileSync(path("ca.pem"), ssl_client_cert_file);
      assertEquals(await server.reloadCertificates(), true);
      assertEquals([await getsIn("client"), await getsIn("self_client")], [false, false]);
      copyFileSync(path("second_ca.pem"), ssl_client_cert_file);
      assertEquals(await server.reloadCertificates(), true);
      assertEquals([await getsIn("client"), await getsIn("self_client")], [true, false]);
    });
  });
});

testLanes("reloadCertificates(): behind a PROXY header, and on all ports or on none", async (runtime) => {
  await inFolder(async (folder) => {
    const [files, other] = [new Files(folder), new Files(folder, "other")];
    files.put("cert");
    other.put("one");
    const server = namingServer(files.settings);
    const [second, plain] = [server.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP | SWOOLE_SSL), server.listen("127.0.0.1", 0)];
    assert(second && plain);
    second.set({ ...other.settings, open_http_protocol: true, proxy_protocol: true, trusted_proxies: "loopback" });
    await servingOn(runtime, server, async (server, port) => {
      const names = async () => {
        const below = net.connect(second.port, "127.0.0.1");
        below.write(clientHeader([203, 0, 113, 7], 1));
        return [(await namesAt(port))[0], (await ask(0, { socket: below, rejectUnauthorized: false }))?.server];
      };
      assertEquals(await names(), ["localhost", "one"]);
      files.put("rsa");
      other.put("wild");
      assertEquals(await server.reloadCertificates(), true);
      assertEquals(await names(), ["rsa", "wild"]);
      files.put("cert");
      writeFileSync(other.settings.ssl_key_file, "");
      await loggedDuring(async () => assertEquals(await server.reloadCertificates(), false));
      assertEquals(await names(), ["rsa", "wild"]);
    });
  });
});

testLanes("reloadCertificates(): clients that come meanwhile all get in", async (runtime) => {
  await renewing(runtime, {}, async (server, port, files) => {
    let isOver = false;
    const seen = new Set<string | undefined>();
    const comers = Array.from({ length: 4 }, async () => {
      while (!isOver) seen.add((await ask(port, { rejectUnauthorized: false }))?.server);
    });
    for (let i = 0; i < 10; i++) {
      files.put(i % 2 === 0 ? "rsa" : "cert");
      // Several at a time: each reads what is there when its turn comes.
      assertEquals(await Promise.all([server.reloadCertificates(), server.reloadCertificates()]), [true, true]);
    }
    isOver = true;
    await Promise.all(comers);
    for (const name of seen) assert(name === "localhost" || name === "rsa", name);
    assertEquals(await namesAt(port), ["localhost", "localhost"]);
  });
});

test("reloadCertificates(): a server without TLS, or that does not listen, has none", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (_request, response) => response.end());
  const fails = async () => {
    const lines = await loggedDuring(async () => assertEquals(await server.reloadCertificates(), false));
    assertEquals(server.getLastError(), 505);
    assertEquals(lines, ["The certificates stay as they are: the server listens on no port with TLS"]);
  };
  await fails();
  await serving(server, fails);
  await fails();

  await inFolder(async (folder) => {
    const files = new Files(folder);
    files.put("cert");
    const secure = namingServer(files.settings);
    await secure.start();
    const reloaded = secure.reloadCertificates();
    await loggedDuring(async () => {
      secure.shutdown();
      await Promise.all([reloaded, secure.finished]);
      assertEquals(await secure.reloadCertificates(), false);
    });
    files.put("rsa");
    await serving(secure, async (_server, port) => assertEquals(await namesAt(port), ["rsa", "rsa"])); // read at each start
  });
});

test("reloadCertificates() in the coroutine style", () =>
  inFolder(async (folder) => {
    const files = new Files(folder);
    files.put("cert");
    const server = new CoroutineServer("127.0.0.1", 0, true);
    server.set(files.settings);
    server.handle("/", (_request, response) => void response.end());
    await serving(server, async (server, port) => {
      files.put("rsa");
      assertEquals(await server.reloadCertificates(), true);
      assertEquals(await namesAt(port), ["rsa", "rsa"]);
      rmSync(files.settings.ssl_key_file);
      await loggedDuring(async () => assertEquals(await server.reloadCertificates(), false));
      assertEquals([server.errCode, server.errMsg], [
        2,
        `Cannot read ssl_key_file: ${files.settings.ssl_key_file} does not exist`,
      ]);
      assertEquals(await namesAt(port), ["rsa", "rsa"]);
      files.put("one");
      assertEquals(await server.reloadCertificates(), true);
      assertEquals([server.errCode, server.errMsg], [0, ""]);
    });
  }));
