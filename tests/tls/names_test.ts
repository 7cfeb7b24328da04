/** Servers with several certificates (SNI, RFC 6066 section 3). */

import { assertEquals } from "@std/assert";
import { SWOOLE_SSL_TLSv1_3 } from "../../mod.ts";
import { sayHello, TLS_1_2, TLS_1_3 } from "../support/client_hello.ts";
import { testLanes } from "../support/lanes.ts";
import { as, ask, bodyOf, naming, pair, path } from "./stage.ts";

const ssl_sni_certs = { "One.example": pair("one"), "*.wild.example": pair("wild") };

/** What a client asks for, and the name in the certificate that it gets. */
const names: [asked: string, certificate: string][] = [
  ["localhost", "localhost"],
  ["one.example", "one"],
  ["ONE.example", "one"],
  ["a.wild.example", "wild"],
  ["b.WILD.example", "wild"],
  ["a.b.wild.example", "localhost"],
  ["wild.example", "localhost"],
  ["two.example", "localhost"],
  ["xone.example", "localhost"],
  ["", "localhost"],
];

const anyName = { checkServerIdentity: () => undefined };

testLanes("ssl_sni_certs: the certificate for the name, else the server's own", async (runtime) => {
  await naming(runtime, { ssl_sni_certs }, async (port) => {
    for (const [servername, certificate] of names) {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const answer = await ask(port, { servername, maxVersion, ...anyName });
        assertEquals([answer?.server, answer?.body], [certificate, "nobody"], servername);
      }
    }
  });
});

testLanes("ssl_sni_certs: a name wins over a wildcard", async (runtime) => {
  const both = { "*.example": pair("wild"), "one.example": pair("one") };
  await naming(runtime, { ssl_sni_certs: both }, async (port) => {
    assertEquals((await ask(port, { servername: "one.example", ...anyName }))?.server, "one");
    assertEquals((await ask(port, { servername: "two.example", ...anyName }))?.server, "wild");
  });
});

testLanes("ssl_sni_certs: the other settings hold for every name", async (runtime) => {
  const settings = { ssl_sni_certs, ssl_verify_peer: true, ssl_cafile: path("second_ca.pem"), ssl_protocols: SWOOLE_SSL_TLSv1_3 };
  await naming(runtime, settings, async (port) => {
    for (const servername of ["localhost", "one.example", "a.wild.example"]) {
      const options = { servername, ...anyName };
      assertEquals(await ask(port, options), undefined);
      assertEquals(await ask(port, { ...options, ...as("stranger") }), undefined);
      assertEquals(await ask(port, { ...options, ...as("client"), maxVersion: "TLSv1.2" }), undefined);
      assertEquals(await bodyOf(ask(port, { ...options, ...as("client") })), "CN=client");
      assertEquals(await sayHello(port, { version: TLS_1_2, serverName: servername }), undefined);
      assertEquals((await sayHello(port, { version: TLS_1_3, serverName: servername }))?.version, TLS_1_3);
    }
  });
});
