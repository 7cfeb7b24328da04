/** What `HttpClient` makes of TLS. */

import { assertEquals, assertRejects } from "@std/assert";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ServerSettings, SWOOLE_SSL_TLSv1, SWOOLE_SSL_TLSv1_2, SWOOLE_SSL_TLSv1_3 } from "../../mod.ts";
import { HttpClient, type HttpClientSettings, HttpServer } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { serving } from "../support/serving.ts";
import { tlsSettings } from "../support/tls_client.ts";
import { namingServer, pair, path, read, where } from "./stage.ts";

const trusting: HttpClientSettings = { ssl_cafile: path("ca.pem"), ssl_host_name: "localhost" };

/** The answer to a request, or the error code. */
async function get(port: number, settings: HttpClientSettings): Promise<string | number> {
  const client = new HttpClient("127.0.0.1", port, true);
  client.set({ ...trusting, keep_alive: false, ...settings });
  return await client.get("/") ? client.body : client.errCode;
}

/** Runs a test against a server that answers with the name in the client's certificate. */
function against(settings: ServerSettings, work: (port: number) => Promise<void>): Promise<void> {
  return serving(namingServer(settings), (_server, port) => work(port));
}

const REFUSED = 1014; // SWOOLE_ERROR_SSL_VERIFY_FAILED
const FAILED = 1018; // SWOOLE_ERROR_SSL_HANDSHAKE_FAILED

test("ssl_cert_file, ssl_key_file and ssl_passphrase: who the client is", async () => {
  const encrypted = { ssl_cert_file: path("client.pem"), ssl_key_file: path("encrypted_key.pem"), ssl_passphrase: "secret" };
  await against({ ssl_client_cert_file: path("second_ca.pem") }, async (port) => {
    assertEquals(await get(port, {}), "nobody");
    assertEquals(await get(port, pair("client")), "CN=client");
    assertEquals(await get(port, encrypted), "CN=client");
    await assertRejects(() => get(port, { ...encrypted, ssl_passphrase: "" }), TypeError, "there is no passphrase");
    const half = { ssl_cert_file: path("client.pem") };
    await assertRejects(() => get(port, half), TypeError, "ssl_cert_file and ssl_key_file need each other");
    await assertRejects(() => get(port, { ...encrypted, ssl_passphrase: "wrong" }), TypeError, "Cannot connect: the private key");
    const mixed = { ...pair("client"), ssl_key_file: pair("deep").ssl_key_file };
    await assertRejects(() => get(port, mixed), TypeError, "the private key does not belong to the certificate");
  });
});

test("ssl_capath: a folder of authorities to trust", () =>
  inFolder(async (folder) => {
    await against({}, async (port) => {
      copyFileSync(path("second_ca.pem"), join(folder, "12345678.0"));
      const settings = { ssl_cafile: "", ssl_capath: folder };
      assertEquals(await get(port, settings), REFUSED);
      copyFileSync(path("ca.pem"), join(folder, "ca.pem")); // not by this name
      assertEquals(await get(port, settings), REFUSED);
      copyFileSync(path("ca.pem"), join(folder, "12345678.1"));
      assertEquals(await get(port, settings), "nobody");
      assertEquals(await get(port, { ...settings, ssl_cafile: path("second_ca.pem") }), "nobody"); // both count
    });
  }));

test("ssl_protocols: the versions that the client speaks", async () => {
  for (
    const [ours, theirs, outcome] of [
      [SWOOLE_SSL_TLSv1_2, 0, "nobody"],
      [SWOOLE_SSL_TLSv1_3, 0, "nobody"],
      [SWOOLE_SSL_TLSv1_2, SWOOLE_SSL_TLSv1_2, "nobody"],
      [SWOOLE_SSL_TLSv1_2, SWOOLE_SSL_TLSv1_3, "none"],
      [SWOOLE_SSL_TLSv1_3, SWOOLE_SSL_TLSv1_2, "none"],
      ...(where === "deno" ? [] : [[SWOOLE_SSL_TLSv1, 0, "none"] as const]),
    ] as const
  ) {
    await against({ ssl_protocols: theirs }, async (port) => {
      const answer = await get(port, { ssl_protocols: ours });
      // Deno as a server says nothing, but closes.
      assertEquals([FAILED, 104, 5001].includes(answer as number) ? "none" : answer, outcome, `${ours}, ${theirs}`);
    });
  }
});

test("ssl_ciphers: the cipher suites that the client takes; Deno refuses the setting", async () => {
  const [strong, other] = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"];
  const theirs = where === "deno" ? {} : { ssl_ciphers: strong };
  await against({ ssl_protocols: SWOOLE_SSL_TLSv1_2, ...theirs }, async (port) => {
    if (where === "deno") {
      await assertRejects(() => get(port, { ssl_ciphers: strong }), TypeError, "Cannot connect: ssl_ciphers cannot be had here");
      return;
    }
    assertEquals(await get(port, { ssl_ciphers: strong }), "nobody");
    assertEquals(await get(port, { ssl_ciphers: other }), FAILED);
    await assertRejects(() => get(port, { ssl_ciphers: "nonsense" }), TypeError, "Cannot connect: ssl_ciphers cannot be used");
  });
});

test("ssl_verify_depth: how many authorities may be between", async () => {
  for (const [between, name] of ["client", "deep", "deeper"].entries()) {
    await against(pair(name), async (port) => {
      for (const depth of [0, 1, 2, 100]) {
        const settings = { ssl_cafile: path("second_ca.pem"), ssl_verify_depth: depth };
        assertEquals(await get(port, settings), between <= depth ? "nobody" : REFUSED, `${name}, ${depth}`);
      }
    });
  }
});

test("getPeerCert() gives the server's certificate, and false without TLS or a connection", async () => {
  const secure = new HttpServer("127.0.0.1", 0, true);
  secure.set(tlsSettings);
  for (const server of [secure, new HttpServer("127.0.0.1", 0)]) {
    server.handle("/", (_request, response) => response.end("here"));
    await serving(server, async (_server, port) => {
      const client = new HttpClient("127.0.0.1", port, server.ssl);
      if (server.ssl) client.set(trusting);
      assertEquals(client.getPeerCert(), false);
      assertEquals([await client.get("/"), client.body], [true, "here"]);
      assertEquals(client.getPeerCert(), server.ssl ? read("cert.pem") : false);
      client.close();
      assertEquals(client.getPeerCert(), false);
    });
  }
});
