/** Settings of TLS that cannot be. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  HttpServer,
  type ServerSettings,
  SWOOLE_SSL_SSLv2,
  SWOOLE_SSL_TLSv1,
  SWOOLE_SSL_TLSv1_2,
  SWOOLE_SSL_TLSv1_3,
} from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { startOn, testLanes } from "../support/lanes.ts";
import { ask, bodyOf, naming, namingServer, pair, path } from "./stage.ts";

test("values that cannot be: set() says which", () => {
  const [server, client] = [new HttpServer(), new HttpClient("localhost")];
  const shared: [setting: string, value: unknown, error: new (message: string) => Error, message: string][] = [
    ["ssl_protocols", "TLSv1.2", TypeError, "a number is needed, not string"],
    ["ssl_protocols", -1, RangeError, "-1 is no whole number from 0 to 127"],
    ["ssl_protocols", 128, RangeError, "128 is no whole number from 0 to 127"],
    ["ssl_protocols", SWOOLE_SSL_SSLv2, RangeError, "2 has no version of TLS"],
    ["ssl_protocols", SWOOLE_SSL_TLSv1 | SWOOLE_SSL_TLSv1_2, RangeError, "40 leaves out TLSv1.1 between others"],
    ["ssl_protocols", SWOOLE_SSL_TLSv1 | SWOOLE_SSL_TLSv1_3, RangeError, "72 leaves out TLSv1.1 between others"],
    ["ssl_ciphers", ["AES"], TypeError, "a string is needed, not a list"],
    ["ssl_passphrase", 1, TypeError, "a string is needed, not number"],
    ["ssl_cafile", null, TypeError, "a string is needed, not null"],
    ["ssl_capath", true, TypeError, "a string is needed, not boolean"],
    ["ssl_verify_depth", -1, RangeError, "-1 is no whole number from 0 to 255"],
    ["ssl_verify_depth", 256, RangeError, "256 is no whole number from 0 to 255"],
    ["ssl_verify_peer", 1, TypeError, "a boolean is needed, not number"],
    ["ssl_allow_self_signed", "yes", TypeError, "a boolean is needed, not string"],
  ];
  for (const [setting, value, error, message] of shared) {
    for (const each of [server, client]) {
      assertThrows(() => each.set({ [setting]: value } as ServerSettings), error, `Cannot set ${setting}: ${message}`);
    }
  }
  const { ssl_cert_file } = pair("one");
  const names: [value: unknown, error: new (message: string) => Error, message: string][] = [
    [["one.example"], TypeError, "an object is needed, not a list"],
    [null, TypeError, "an object is needed, not null"],
    [{ "one.example": ssl_cert_file }, TypeError, "one.example needs an object, not string"],
    [{ "one.example": { ...pair("one"), ssl_ciphers: "AES" } }, TypeError, "there is no ssl_ciphers for one.example"],
    [{ "*": pair("one") }, RangeError, '"*" is no host name'],
    [{ "a.*.example": pair("one") }, RangeError, '"a.*.example" is no host name'],
    [{ "": pair("one") }, RangeError, '"" is no host name'],
    [{ "ö.example": pair("one") }, RangeError, '"ö.example" is no host name'],
  ];
  for (const [value, error, message] of names) {
    assertThrows(() => server.set({ ssl_sni_certs: value as never }), error, `Cannot set ssl_sni_certs: ${message}`);
  }
  const half = { "one.example": { ssl_cert_file } as never };
  const message = "Cannot set ssl_key_file of one.example in ssl_sni_certs: a string is needed, not undefined";
  assertThrows(() => server.set({ ssl_sni_certs: half }), TypeError, message);
});

testLanes("files that are missing or something else: start() says which setting", (runtime) =>
  inFolder(async (folder) => {
    const missing = join(folder, "missing.pem");
    const text = join(folder, "text.pem");
    writeFileSync(text, "certainly");
    writeFileSync(join(folder, "garbage.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const garbage = join(folder, "garbage.pem");
    const verifying = { ssl_verify_peer: true };
    const one = pair("one");
    const cases: [settings: ServerSettings, message: string][] = [
      [{ ...verifying, ssl_client_cert_file: missing }, "Cannot read ssl_client_cert_file: "],
      [{ ...verifying, ssl_client_cert_file: text }, `Cannot use ssl_client_cert_file: ${text} is not in PEM format`],
      [{ ...verifying, ssl_client_cert_file: garbage }, "Cannot listen on 127.0.0.1:0: "],
      [{ ...verifying, ssl_cafile: missing }, "Cannot read ssl_cafile: "],
      [{ ...verifying, ssl_cafile: text }, `Cannot use ssl_cafile: ${text} is not in PEM format`],
      [{ ...verifying, ssl_capath: missing }, "Cannot read ssl_capath: "],
      [{ ...verifying, ssl_capath: folder }, `Cannot use ssl_capath: ${folder} has no certificates named by their hashes`],
      [{ ssl_dhparam: missing }, "Cannot read ssl_dhparam: "],
      [{ ssl_dhparam: text }, `Cannot use ssl_dhparam: ${text} is not in PEM format`],
      [{ ssl_sni_certs: { "a.b": { ...one, ssl_cert_file: missing } } }, "Cannot read ssl_cert_file of a.b in ssl_sni_certs: "],
      [{ ssl_sni_certs: { "a.b": { ...one, ssl_key_file: text } } }, "Cannot use ssl_key_file of a.b in ssl_sni_certs: "],
      [
        { ssl_sni_certs: { "a.b": { ...one, ssl_key_file: pair("wild").ssl_key_file } } },
        "the private key does not belong to the certificate",
      ],
      [
        { ...pair("client"), ssl_key_file: path("encrypted_key.pem") },
        `Cannot use ssl_key_file: ${path("encrypted_key.pem")} is encrypted, and there is no passphrase (ssl_passphrase)`,
      ],
      [{ ...pair("client"), ssl_key_file: path("encrypted_key.pem"), ssl_passphrase: "wrong" }, "ssl_passphrase"],
    ];
    for (const [settings, message] of cases) {
      await assertRejects(() => startOn(runtime, namingServer(settings)), Error, message);
    }
  }));

testLanes("ssl_passphrase opens the key", async (runtime) => {
  const encrypted = { ssl_cert_file: path("client.pem"), ssl_key_file: path("encrypted_key.pem"), ssl_passphrase: "secret" };
  await naming(runtime, encrypted, async (port) => {
    const answer = await ask(port, { rejectUnauthorized: false });
    assertEquals([answer?.server, answer?.body], ["client", "nobody"]);
  });
  await naming(runtime, { ssl_sni_certs: { "a.example": encrypted } }, async (port) => {
    const answer = await ask(port, { servername: "a.example", rejectUnauthorized: false });
    assertEquals([answer?.server, answer?.body], ["client", "nobody"]);
    assertEquals(await bodyOf(ask(port)), "nobody");
  });
});
