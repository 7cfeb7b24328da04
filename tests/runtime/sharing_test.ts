/** Several processes that serve one port: a listening socket that goes from one to the next, connections that the master passes. */

import { assert, assertEquals } from "@std/assert";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import tls from "node:tls";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { authority } from "../support/tls_client.ts";
import "../../adapters/auto.ts";

const file = new URL("./sharing_program.ts", import.meta.url);
const { name } = await loadRuntime();
const adapters = name === "node" ? ["own"] : ["own", "node:net"];

/** How many times a listening socket is handed over; 20 with SLUICE_HANDOVERS=20. */
const HANDOVERS = Number(process.env.SLUICE_HANDOVERS ?? 3);

interface Asked {
  readonly layers: string;
  readonly name?: string;
  /** Whether the client ends its side first, as one that has nothing more to say does. */
  readonly ends?: boolean;
}

/** Connects, says a word, and returns the answer, or the code of the error. Over TLS, the subject of the certificate comes first. */
function ask(target: net.NetConnectOpts, { layers, name, ends = false }: Asked): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const finish = (result: string) => {
      clearTimeout(timer);
      socket.destroy();
      below.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish("timeout"), 20_000);
    const below = net.connect(target);
    if (layers.includes("preamble")) below.write("!");
    const isSecure = layers.includes("tls");
    const servername = name ?? "localhost";
    // With authorities of its own, Deno does not resume the session of another connection, with the certificate of that one.
    const socket = isSecure ? tls.connect({ socket: below, rejectUnauthorized: false, ca: authority, servername }) : below;
    socket.once(isSecure ? "secureConnect" : "connect", () => ends ? socket.end("word") : void socket.write("word"));
    for (const each of [below, socket]) {
      each.on("error", (error: Error & { code?: string }) => finish(error.code ?? error.message));
    }
    socket.on("data", (text) => {
      got += text;
      if (!got.endsWith("word")) return;
      const subject = isSecure ? `${(socket as tls.TLSSocket).getPeerCertificate().subject.CN} ` : "";
      if (!ends) finish(subject + got);
    });
    socket.on("end", () => finish(got || "end"));
  });
}

/** Runs the program, and calls back with the port and the processes that serve it. */
async function sharing(
  args: readonly string[],
  work: (program: Program, port: number, pids: string[]) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const program = new Program(inThisRuntime(file, ...args), env, true);
  try {
    const [port, ...pids] = (await program.line()).split(" ");
    await work(program, Number(port), pids);
    assertEquals([program.printed(), program.errors.replace(/^.*ExperimentalWarning.*\n.*\n/gm, "")], [[], ""]);
  } finally {
    program.process.stdin!.end();
    await program.kill();
  }
}

for (const adapter of adapters) {
  for (const layers of ["plain", "tls", "preamble", "preamble tls names"]) {
    test(`a listening socket is handed over under load: nobody is refused, reset or left (${adapter}, ${layers})`, () =>
      sharing([adapter, "handover", layers], async (program, port, [first]) => {
        const answers = new Map<string, number>();
        const pids = [first];
        let isOver = false;
        let count = 0;
        const load = Array.from({ length: 6 }, async (_, at) => {
          while (!isOver) {
            const answer = await ask({ port, host: "127.0.0.1" }, { layers, ends: at % 2 === 0 });
            answers.set(answer, (answers.get(answer) ?? 0) + 1);
            count++;
          }
        });
        const until = async (more: number) => {
          for (const least = count + more; count < least;) await new Promise((resolve) => setTimeout(resolve, 5));
        };
        for (let round = 0; round < HANDOVERS; round++) {
          await until(50);
          program.tell("reload");
          const [word, pid] = (await program.line()).split(" ");
          assertEquals(word, "reload");
          pids.push(pid);
        }
        await until(50);
        isOver = true;
        await Promise.all(load);
        const client = layers.includes("preamble") ? "203.0.113.7" : "127.0.0.1";
        const expected = pids.map((pid) => `${pid} ${client} word`);
        const others = [...answers.keys()].filter((answer) => !expected.some((each) => answer.endsWith(each)));
        assertEquals(others, [], JSON.stringify([...answers]));
        for (const each of expected) assert([...answers.keys()].some((answer) => answer.endsWith(each)), each);
      }));
  }

  for (const layers of ["plain", "tls", "preamble", "preamble tls names", "unix"]) {
    test(`connections that the master passes are spread and served (${adapter}, ${layers})`, () =>
      inFolder((folder) => {
        const path = join(folder, "socket");
        const isUnix = layers === "unix";
        return sharing([adapter, "passed", layers], async (_program, port, pids) => {
          const target = isUnix ? { path } : { port, host: "127.0.0.1" };
          const asked = Array.from({ length: 40 }, (_, at) => ask(target, { layers, ends: at % 4 < 2 }));
          const answers = await Promise.all(asked);
          const client = layers.includes("preamble") ? "203.0.113.7" : isUnix ? "unix" : "127.0.0.1";
          const counts = pids.map((pid) => answers.filter((answer) => answer.endsWith(`${pid} ${client} word`)).length);
          assertEquals(counts, [20, 20], JSON.stringify(answers));
        }, { SOCKET: path });
      }));
  }

  test(`a client that leaves before its connection is taken harms nobody (${adapter})`, () =>
    sharing([adapter, "passed", "plain"], async (_program, port) => {
      const target = { port, host: "127.0.0.1" };
      for (let i = 0; i < 20; i++) {
        await new Promise<void>((resolve) => {
          const socket = net.connect(target, () => {
            socket.resetAndDestroy();
            resolve();
          });
        });
      }
      for (let i = 0; i < 4; i++) assert((await ask(target, { layers: "plain" })).endsWith(" 127.0.0.1 word"));
    }));

  for (const way of ["handover", "passed"]) {
    test(`certificates by name, and their renewal, of sockets that came from elsewhere (${adapter}, ${way})`, () =>
      sharing([adapter, way, "tls names"], async (program, port) => {
        const target = { port, host: "127.0.0.1" };
        const subject = async (name: string) => (await ask(target, { layers: "tls", name })).split(" ")[0];
        if (way === "handover") {
          program.tell("reload");
          assert((await program.line()).startsWith("reload"));
        }
        const before = [await subject("localhost"), await subject("one.test")];
        program.tell("renew");
        assert((await program.line()).startsWith("renew"));
        const after = [await subject("localhost"), await subject("one.test")];
        assert(before[0] !== before[1]);
        assert(after[0] !== before[0]);
        assertEquals(after[1], before[1]);
      }));
  }
}
