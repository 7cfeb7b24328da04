/** Versions, cipher suites and groups of TLS that a server takes. */

import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import {
  type ServerSettings,
  SWOOLE_SSL_SSLv2,
  SWOOLE_SSL_TLSv1,
  SWOOLE_SSL_TLSv1_1,
  SWOOLE_SSL_TLSv1_2,
  SWOOLE_SSL_TLSv1_3,
} from "../../mod.ts";
import { loadRuntime, setRuntime } from "../../src/transport/current_runtime.ts";
import {
  AES128,
  AES256,
  CHACHA,
  DHE_AES128,
  type Hello,
  P256,
  P384,
  RSA_AES128,
  sayHello,
  TLS13_AES128,
  TLS13_AES256,
  TLS_1_0,
  TLS_1_1,
  TLS_1_2,
  TLS_1_3,
  X25519,
} from "../support/client_hello.ts";
import { startOn, testLanes } from "../support/lanes.ts";
import { ask, naming, namingServer, pair, path, where } from "./stage.ts";

const VERSIONS = [TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3];

/** `ssl_protocols` and which of the versions are taken. */
const protocols: [bits: number, taken: number[]][] = [
  [0, [TLS_1_2, TLS_1_3]],
  [SWOOLE_SSL_TLSv1_2, [TLS_1_2]],
  [SWOOLE_SSL_TLSv1_3, [TLS_1_3]],
  [SWOOLE_SSL_TLSv1_2 | SWOOLE_SSL_TLSv1_3, [TLS_1_2, TLS_1_3]],
  [SWOOLE_SSL_SSLv2 | SWOOLE_SSL_TLSv1_2, [TLS_1_2]],
];

testLanes("ssl_protocols: other versions of TLS are refused", async (runtime) => {
  for (const [bits, taken] of protocols) {
    await naming(runtime, { ssl_protocols: bits }, async (port) => {
      for (const version of VERSIONS) {
        const choice = await sayHello(port, { version });
        assertEquals(choice?.version, taken.includes(version) ? version : undefined, `${bits}, ${version}`);
      }
    });
  }
});

testLanes("ssl_protocols: TLS 1.0 and 1.1, where the runtime has them", async (runtime) => {
  const old = { ssl_protocols: SWOOLE_SSL_TLSv1 | SWOOLE_SSL_TLSv1_1 };
  if (where === "deno") {
    const message = "Cannot listen on 127.0.0.1:0: ssl_protocols cannot be had here: Deno speaks TLS 1.2 and 1.3 only";
    await assertRejects(() => startOn(runtime, namingServer(old)), Error, message);
    return;
  }
  // OpenSSL holds them too weak for anything but the lowest level.
  const settings = where === "node" ? { ...old, ssl_ciphers: "ALL:@SECLEVEL=0" } : old;
  await naming(runtime, settings, async (port) => {
    for (const version of VERSIONS) {
      assertEquals((await sayHello(port, { version }))?.version, version <= TLS_1_1 ? version : undefined);
    }
  });
});

/** Checks which of the clients' offers a server takes, and what it chooses. */
async function checkChoices(
  runtime: Parameters<typeof naming>[0],
  settings: ServerSettings,
  hellos: readonly [hello: Hello, cipher: number | undefined, group: number | undefined][],
): Promise<void> {
  await naming(runtime, settings, async (port) => {
    for (const [hello, cipher, group] of hellos) {
      const choice = await sayHello(port, hello);
      assertEquals([choice?.cipher, choice?.group], [cipher, group], JSON.stringify(hello));
    }
  });
}

/** A setting that Deno does not have is refused there, under its name. */
function testChoices(name: string, settings: ServerSettings, work: Parameters<typeof testLanes>[1]): void {
  testLanes(name, async (runtime) => {
    if (where !== "deno") return await work(runtime);
    const message = `Cannot listen on 127.0.0.1:0: ${Object.keys(settings)[0]} cannot be had here: Deno `;
    await assertRejects(() => startOn(runtime, namingServer(settings)), Error, message);
  });
}

const ciphers = { ssl_ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256" };
const version = TLS_1_2;

testChoices("ssl_ciphers: other cipher suites are refused", ciphers, async (runtime) => {
  await checkChoices(runtime, ciphers, [
    [{ version, ciphers: [AES128] }, AES128, X25519],
    [{ version, ciphers: [CHACHA, AES256] }, AES256, X25519],
    [{ version, ciphers: [CHACHA] }, undefined, undefined],
  ]);
});

testChoices("ssl_ciphers: the server's order counts, unless ssl_prefer_server_ciphers is off", ciphers, async (runtime) => {
  const hello = { version, ciphers: [AES128, AES256] };
  await checkChoices(runtime, ciphers, [[hello, AES256, X25519]]);
  await checkChoices(runtime, { ...ciphers, ssl_prefer_server_ciphers: true }, [[hello, AES256, X25519]]);
  await checkChoices(runtime, { ...ciphers, ssl_prefer_server_ciphers: false }, [[hello, AES128, X25519]]);
});

testLanes("ssl_ciphers of TLS 1.3: in Node; others refuse them", async (runtime) => {
  const settings = { ssl_ciphers: "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384" };
  if (where === "node") {
    await checkChoices(runtime, settings, [
      [{ version: TLS_1_3, ciphers: [TLS13_AES128, TLS13_AES256] }, TLS13_AES256, X25519],
      [{ version: TLS_1_3, ciphers: [TLS13_AES128] }, undefined, undefined],
      [{ version, ciphers: [AES128, AES256] }, AES256, X25519],
    ]);
  } else {
    await assertRejects(() => startOn(runtime, namingServer(settings)), Error, "ssl_ciphers cannot be had here: ");
  }
});

test("ssl_prefer_server_ciphers is told to the runtime where there are ssl_ciphers", async () => {
  const told: unknown[] = [];
  setRuntime({
    ...await loadRuntime(),
    listen: ({ tls }) => {
      told.push(tls?.preferServerCiphers);
      return Promise.reject(new Error("told to stop"));
    },
  });
  try {
    for (const settings of [{}, ciphers, { ...ciphers, ssl_prefer_server_ciphers: false }]) {
      await assertRejects(() => namingServer(settings).start(), Error, "told to stop");
    }
  } finally {
    setRuntime(undefined);
  }
  assertEquals(told, [undefined, true, false]);
});

const curve = { ssl_ecdh_curve: "P-384:prime256v1", ...pair("rsa") }; // an elliptic certificate has a curve of its own

testChoices("ssl_ecdh_curve: other groups are refused", curve, async (runtime) => {
  const ciphers = [RSA_AES128];
  await checkChoices(runtime, curve, [
    [{ version, groups: [X25519, P384], ciphers }, RSA_AES128, P384],
    [{ version, groups: [P256], ciphers }, RSA_AES128, P256],
    [{ version, groups: [X25519], ciphers }, undefined, undefined],
    [{ version: TLS_1_3, groups: [P256] }, TLS13_AES128, P256],
    [{ version: TLS_1_3, groups: [X25519] }, undefined, undefined],
  ]);
});

testLanes("ssl_dhparam: DHE with the prime of the file, in Node; others refuse it", async (runtime) => {
  const settings = { ...pair("rsa"), ssl_dhparam: path("dh.pem") };
  if (where === "node") {
    await checkChoices(runtime, { ...settings, ssl_ciphers: "DHE-RSA-AES128-GCM-SHA256" }, [
      [{ version, ciphers: [DHE_AES128] }, DHE_AES128, 2048],
      [{ version, ciphers: [AES128] }, undefined, undefined],
    ]);
  } else {
    const message = "Cannot listen on 127.0.0.1:0: ssl_dhparam cannot be had here: ";
    await assertRejects(() => startOn(runtime, namingServer(settings)), Error, message);
  }
});

testLanes("ssl_ecdh_curve auto leaves it to the runtime", async (runtime) => {
  await checkChoices(runtime, { ssl_ecdh_curve: "auto" }, [[{ version: TLS_1_3 }, TLS13_AES128, X25519]]);
});

testLanes("ssl_ciphers and ssl_ecdh_curve that are none: start() says which", async (runtime) => {
  for (const settings of [{ ssl_ciphers: "nonsense" }, { ssl_ecdh_curve: "nonsense" }]) {
    const [name] = Object.keys(settings);
    await assertRejects(() => startOn(runtime, namingServer(settings)), Error, `127.0.0.1:0: ${name} cannot be `);
  }
});

testLanes("clients of the runtime get through whatever is chosen", async (runtime) => {
  const choices: ServerSettings[] = [
    { ssl_protocols: SWOOLE_SSL_TLSv1_2 },
    { ssl_protocols: SWOOLE_SSL_TLSv1_3 },
    ...(where === "deno" ? [] : [{ ...ciphers, ...curve }]),
  ];
  for (const settings of choices) {
    await naming(runtime, settings, async (port) => assertEquals((await ask(port))?.body, "nobody"));
  }
});
