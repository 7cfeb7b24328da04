/** Servers that ask for the certificates of their clients. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { spawn } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Server, type ServerSettings, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL } from "../../mod.ts";
import { inFolder } from "../support/folder.ts";
import { forge } from "../support/forging_client.ts";
import { servingOn, startOn, testLanes } from "../support/lanes.ts";
import { isHere, pathOf, testWith } from "../support/prerequisites.ts";
import { signal } from "../support/serving.ts";
import { connectTls, tlsSettings } from "../support/tls_client.ts";
import { as, ask, bodyOf, naming, namingServer, pair, path, read, where } from "./stage.ts";

const verifying: ServerSettings = { ssl_verify_peer: true, ssl_client_cert_file: path("second_ca.pem") };

/** Who comes, and which name the server sees; nothing for those who are not let in. */
const visitors: [who: string, strict: string | undefined, lenient: string | undefined, asked: string][] = [
  ["", undefined, undefined, "nobody"],
  ["client", "CN=client", "CN=client", "CN=client"],
  ["old_client", undefined, undefined, "CN=old_client"],
  ["stranger", undefined, undefined, "CN=stranger"],
  ["self_client", undefined, "CN=self_client", "CN=self_client"],
  ["deep", "CN=deep", "CN=deep", "CN=deep"],
  ["deeper", "CN=deeper", "CN=deeper", "CN=deeper"],
];

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  const visit = (port: number, who: string) => bodyOf(ask(port, { ...(who === "" ? {} : as(who)), maxVersion }));

  testLanes(`ssl_verify_peer: who has no certificate of a trusted authority is not let in, ${maxVersion}`, async (runtime) => {
    await naming(runtime, verifying, async (port) => {
      for (const [who, name] of visitors) assertEquals(await visit(port, who), name, who);
      assertEquals(await visit(port, "client"), "CN=client"); // after all those
    });
  });

  testLanes(`ssl_allow_self_signed lets in who signed by his own key, and nobody else, ${maxVersion}`, async (runtime) => {
    await naming(runtime, { ...verifying, ssl_allow_self_signed: true }, async (port) => {
      for (const [who, , name] of visitors) assertEquals(await visit(port, who), name, who);
    });
  });

  testLanes(`ssl_client_cert_file alone: clients are asked, and let in with anything, ${maxVersion}`, async (runtime) => {
    await naming(runtime, { ssl_client_cert_file: path("second_ca.pem") }, async (port) => {
      for (const [who, , , name] of visitors) assertEquals(await visit(port, who), name, who);
    });
  });
}

testLanes("without these settings clients are not asked for a certificate", async (runtime) => {
  await naming(runtime, { ssl_cafile: path("second_ca.pem") }, async (port) => {
    assertEquals(await bodyOf(ask(port, as("client"))), "nobody");
  });
});

testLanes("ssl_cafile and ssl_capath name authorities too", (runtime) =>
  inFolder(async (folder) => {
    copyFileSync(path("ca.pem"), join(folder, "0123abcd.0"));
    copyFileSync(path("second_ca.pem"), join(folder, "00000000.12"));
    copyFileSync(path("self_client.pem"), join(folder, "self_client.pem")); // not by this name
    for (const where of [{ ssl_cafile: path("second_ca.pem") }, { ssl_capath: folder }]) {
      await naming(runtime, { ssl_verify_peer: true, ...where }, async (port) => {
        for (const [who, name] of visitors) {
          assertEquals(await bodyOf(ask(port, who === "" ? {} : as(who))), name, who);
        }
      });
    }
  }));

/** Node 24 does not tell a server the chain of a client's certificate. */
const tellsNoChains = where === "node" && process.versions.node.startsWith("24.");

testLanes("ssl_verify_depth: how many authorities may be between a client's certificate and a trusted one", async (runtime) => {
  for (const depth of [0, 1, 2, 255]) {
    const settings = { ...verifying, ssl_verify_depth: depth };
    if (tellsNoChains && depth > 0) {
      const error = await assertRejects(() => startOn(runtime, namingServer(settings)), Error);
      assertMatch(error.message, /ssl_verify_depth cannot be \d+ here/);
      continue;
    }
    await naming(runtime, settings, async (port) => {
      for (const [between, who] of ["client", "deep", "deeper"].entries()) {
        assertEquals(await bodyOf(ask(port, as(who))), between <= depth ? `CN=${who}` : undefined, `${who}, ${depth}`);
      }
      assertEquals(await bodyOf(ask(port, as("stranger"))), undefined);
    });
  }
});

/** A request through OpenSSL's client, which keeps its session or resumes that one: the name that comes back, and "again". */
function askResuming(port: number, who: string, version: string, session: string, keep: boolean): Promise<string> {
  const key = who === "" ? [] : ["-cert", path(`${who}.pem`), "-key", path(`${who}_key.pem`)];
  const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "localhost", "-ign_eof", version, ...key];
  return new Promise((resolve, reject) => {
    const client = spawn(pathOf("openssl"), [...args, keep ? "-sess_out" : "-sess_in", session]);
    let text = "";
    client.stdout.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
    client.stdin.on("error", () => {});
    client.on("error", reject).on("close", () => {
      const [, length, rest] = /Content-Length: (\d+)\r\n\r\n([^]*)$/.exec(text) ?? ["", "0", ""];
      const name = rest.slice(0, Number(length)) || "nothing"; // it has its own remarks behind it
      resolve(/^Reused/m.test(text) ? `${name} again` : name);
    });
    client.stdin.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  });
}

const withOpenSsl: typeof testLanes = (name, work) => {
  if (isHere("openssl")) testLanes(name, work);
  else testWith("openssl", name, () => Promise.resolve());
};

// Deno resumes the sessions of the whole program, and then finds nothing wrong with any certificate.
withOpenSsl("a TLS session of somebody whom another port let in opens no door", (runtime) =>
  inFolder(async (folder) => {
    const session = join(folder, "session.pem");
    await naming(runtime, { ssl_client_cert_file: path("second_ca.pem") }, async (open) => {
      for (const more of [{}, { ssl_allow_self_signed: true }]) {
        await naming(runtime, { ...verifying, ...more }, async (strict) => {
          for (const version of ["-tls1_2", "-tls1_3"]) {
            for (const who of ["stranger", ""]) {
              assertEquals(await askResuming(open, who, version, session, true), who === "" ? "nobody" : `CN=${who}`);
              if (!existsSync(session)) continue; // Bun hands out none that could be resumed
              const outcome = await askResuming(strict, who, version, session, false);
              assert(["nothing", "nothing again"].includes(outcome), `${who}: ${outcome}`);
            }
            // Who was let in here may come again in any way.
            rmSync(session, { force: true });
            assertEquals(await askResuming(strict, "client", version, session, true), "CN=client");
            if (existsSync(session)) assertMatch(await askResuming(strict, "client", version, session, false), /^CN=client/);
          }
        });
      }
    });
  }));

const derOf = (who: string): Uint8Array => new X509Certificate(read(`${who}.pem`)).raw;
const keyOf = (who: string) => createPrivateKey(read(`${who}_key.pem`));

/** Where certificates are broken: all of the beginning, which says what they are, and some of the rest. */
const BROKEN = Array.from({ length: 60 }, (_, i) => i < 40 ? i : i * 12 - 440);

testLanes("nobody gets by with a certificate whose key he has not, or with one that is broken", async (runtime) => {
  for (const more of [{}, { ssl_allow_self_signed: true }, { ssl_verify_peer: false }]) {
    const asked = more.ssl_verify_peer === false;
    const selfSigned = asked || more.ssl_allow_self_signed === true;
    const endless = { websocket_close_timeout: 3600 }; // that client waits for the end of TCP, and so does this test
    await naming(runtime, { ...verifying, ...more, ...endless }, async (port) => {
      for (const [who, may] of [["client", true], ["self_client", selfSigned], ["stranger", asked]] as const) {
        assertEquals(await forge(port, derOf(who), keyOf(who)), may ? `CN=${who}` : undefined); // so far that client is honest
      }
      // Deno does not look whether the key is there, so nobody gets by with it.
      assertEquals(
        await forge(port, derOf("version_1"), keyOf("version_1")),
        selfSigned && where !== "deno" ? "CN=version_1" : undefined,
      );
      for (const who of ["client", "self_client", "version_1"]) {
        assertEquals([await forge(port, derOf(who), keyOf("deep")), await forge(port, derOf(who))], [undefined, undefined], who);
        // Where clients are only asked for a certificate, one that cannot be read is none.
        await Promise.all(BROKEN.map(async (at) => {
          const broken = Uint8Array.from(derOf(who));
          broken[at] ^= 1 << (at & 7);
          const name = await forge(port, broken, keyOf("deep"));
          assert(name === undefined || (asked && name === "nobody"), `${who} ${at}: ${name}`);
        }));
      }
      assertEquals(await forge(port, derOf("client"), keyOf("client")), "CN=client");
    });
  }
});

testLanes("the certificate is known as long as the connection is, also while its end is told", async (runtime) => {
  const server = new Server("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  server.set({ ...tlsSettings, ...verifying });
  const told = signal<unknown>();
  const closed = signal<unknown>();
  const certificateOf = (fd: number) => (server.getClientInfo(fd) || undefined)?.ssl_client_cert;
  server.on("connect", (_server, fd) => told.resolve(certificateOf(fd)));
  server.on("receive", (server, fd) => void server.close(fd, true));
  server.on("close", (_server, fd) => closed.resolve(certificateOf(fd)));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await connectTls(port, as("client"));
    assertEquals(await told.promise, read("client.pem"));
    client.send("x");
    assertEquals(await closed.promise, read("client.pem"));
    await client.whenEnded();
    client.destroy();
  });
});

testLanes("a port may ask where its server does not", async (runtime) => {
  const server = namingServer({});
  const port = server.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP | SWOOLE_SSL)!;
  port.set({ open_http_protocol: true, ...verifying });
  await servingOn(runtime, server, async () => {
    assertEquals(await bodyOf(ask(server.port)), "nobody");
    assertEquals(await bodyOf(ask(port.port)), undefined);
    assertEquals(await bodyOf(ask(port.port, as("client"))), "CN=client");
  });
});

testLanes("ssl_verify_peer without an authority does not start", async (runtime) => {
  const server = namingServer({ ssl_verify_peer: true });
  const error = await assertRejects(() => startOn(runtime, server), TypeError);
  assertEquals(error.message, "Cannot start the server: ssl_verify_peer needs ssl_client_cert_file, ssl_cafile or ssl_capath");
  server.set({ ssl_client_cert_file: pair("client").ssl_key_file });
  await assertRejects(() => startOn(runtime, server), Error, "there is no certificate among the authorities");
});
