// Faults of runtimes that Sluice works around; docs/workarounds.md lists them. A test fails when its runtime no longer has the
// fault: then the work-around can go, unless older versions are still supported.

import { assert } from "@std/assert";
import { renameSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import tls from "node:tls";
import v8 from "node:v8";
import { brotliCompressSync, constants, createBrotliCompress, createBrotliDecompress, deflateSync } from "node:zlib";
import { Codec } from "../../adapters/zlib.ts";
import { inFolder } from "../support/folder.ts";
import { signal } from "../support/serving.ts";
import { read, where } from "../tls/stage.ts";

/** Shows a fault of a runtime, in that runtime only. */
function fault(runtime: typeof where, what: string, place: string, isThere: () => boolean | Promise<boolean>): void {
  if (runtime !== where) return;
  test(`${runtime}: ${what}`, async () => {
    assert(
      await isThere(),
      `This runtime no longer has the fault. See docs/workarounds.md, and remove the work-around in ${place}`,
    );
  });
}

const text = new TextEncoder().encode("one message, and then the same message. ".repeat(50));

fault("deno", "DecompressionStream accepts a zlib stream without its checksum", "src/client/content_decoding.ts", async () => {
  const coded = new Uint8Array(deflateSync(text));
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  const writing = Promise.allSettled([writer.write(coded.subarray(0, -4)), writer.close()]);
  try {
    return (await new Response(readable).bytes()).length === text.length;
  } catch {
    return false;
  } finally {
    await writing;
  }
});

fault("deno", "a Brotli decoder accepts a truncated body", "adapters/content_codecs.ts", () => {
  const coded = brotliCompressSync(text);
  return new Promise((resolve) => {
    const decoder = createBrotliDecompress();
    decoder.on("error", () => resolve(false)).on("end", () => resolve(true)).resume();
    decoder.end(coded.subarray(0, -1));
  });
});

fault("deno", "a deserialized view of memory in the middle of a buffer is wrong", "adapters/serializing.ts", () => {
  const bytes = v8.serialize([Uint8Array.of(1, 2, 3)]);
  const moved = new Uint8Array(bytes.length + 3);
  moved.set(bytes, 3);
  const [view] = v8.deserialize(moved.subarray(3)) as [Uint8Array];
  return view[0] !== 1;
});

fault("bun", "a serialized view brings its whole buffer along", "adapters/serializing.ts", () => {
  return v8.serialize(new Uint8Array(100_000).subarray(0, 10)).length > 100_000;
});

fault("deno", "Deno.connect() that is aborted as the connection arrives leaves it open", "adapters/deno.ts", async () => {
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {}).on("close", () => open.delete(socket)).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const connect = (signal?: AbortSignal) => Deno.connect({ hostname: "127.0.0.1", port, signal });
  const timer = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
  try {
    // The moment in which it happens is short, so there are many connections.
    for (let round = 0; round < 200; round++) {
      const aborter = new AbortController();
      const all = Promise.allSettled(Array.from({ length: 20 }, () => connect(aborter.signal)));
      await timer();
      aborter.abort();
      for (const one of await all) if (one.status === "fulfilled") one.value.close();
      const suspects = [...open];
      for (let i = 0; i < 20; i++) { // time for what is closed to end
        (await connect()).close();
        await timer();
      }
      if (suspects.some((socket) => open.has(socket))) return true;
    }
    return false;
  } finally {
    for (const socket of open) socket.destroy();
    server.close();
  }
});

/** Compresses with a Brotli handle, at the lowest level, before and after a reset. */
function brotliTwice(): Uint8Array[] {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 0 };
  const codec = new Codec(createBrotliCompress({ params }));
  const results = [0, 1].map((count) => {
    if (count > 0) codec.reset();
    const memory = new Uint8Array(4096);
    codec.write(constants.BROTLI_OPERATION_FINISH, text, 0, text.length, memory, 0, memory.length);
    return memory.slice(0, memory.length - codec.outputLeft);
  });
  codec.close();
  return results;
}

for (const runtime of ["deno", "bun", "node"] as const) {
  fault(runtime, "a Brotli handle is not the same after a reset", "adapters/content_codecs.ts", () => {
    const [first, second] = brotliTwice();
    return first.length !== second.length || first.some((byte, at) => byte !== second[at]);
  });
}

fault("deno", "createSecureContext() accepts a key of another certificate", "adapters/node_tls.ts", () => {
  try {
    tls.createSecureContext({ cert: read("cert.pem"), key: read("stranger_key.pem") });
    return true;
  } catch {
    return false;
  }
});

fault("deno", "listeners of signals are called in the order they were added", "adapters/process.ts", async () => {
  const called: string[] = [];
  const second = signal();
  const listeners = ["added", "prepended"].map((name) => () => {
    called.push(name);
    if (called.length === 2) second.resolve();
  });
  process.on("SIGUSR2", listeners[0]);
  process.prependListener("SIGUSR2", listeners[1]);
  const awake = setInterval(() => {}, 1000); // listeners of signals do not keep the test alive
  process.kill(process.pid, "SIGUSR2");
  await second.promise;
  clearInterval(awake);
  for (const listener of listeners) process.off("SIGUSR2", listener);
  return called[0] === "added";
});

fault("bun", "a file that was moved has the size 0", "src/server/http/uploaded_file.ts", () =>
  inFolder((folder) => {
    const path = join(folder, "a");
    writeFileSync(path, "hello");
    const { Bun } = globalThis as unknown as { Bun: { file(path: string): Blob } };
    const file = new File([Bun.file(path)], "a");
    renameSync(path, join(folder, "b"));
    return file.size === 0;
  }));

fault("node", "a missing folder of a unix socket is reported as EACCES", "adapters/node.ts", () => {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.on("error", ({ code }: NodeJS.ErrnoException) => resolve(code === "EACCES"));
    server.listen(join(tmpdir(), "sluice-no-such-folder", "socket"));
  });
});

fault("node", "the error of a host with several addresses has no message", "adapters/node.ts", () => {
  return new Promise((resolve) => {
    const addresses = [{ address: "127.0.0.1", family: 4 }, { address: "::1", family: 6 }];
    const socket = net.connect({
      host: "two.test",
      port: 1, // nobody listens there
      lookup: (_host, _options, done) => (done as (error: null, found: typeof addresses) => void)(null, addresses),
    });
    socket.on("error", (error) => resolve(error.message === ""));
  });
});

/** Returns the names in the certificates that a server has before and after it got another one. */
async function namesAround(port: number, renew: () => void): Promise<string[]> {
  const name = () =>
    new Promise<string>((resolve, reject) => {
      const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject?.CN));
        socket.destroy();
      });
      socket.once("error", reject);
    });
  const before = await name();
  renew();
  return [before, await name()];
}

const pairOf = (cert: string, key: string) => ({ cert: read(cert), key: read(key) });

fault("bun", "Bun.listen({ tls }) cannot renew its certificate", "adapters/bun.ts", async () => {
  // deno-lint-ignore no-explicit-any
  const { Bun } = globalThis as any;
  const socket = { data() {} };
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, tls: pairOf("cert.pem", "key.pem"), socket });
  const names = await namesAround(listener.port, () => listener.reload({ socket, tls: pairOf("rsa.pem", "rsa_key.pem") }));
  listener.stop(true);
  return names[1] === names[0];
});
