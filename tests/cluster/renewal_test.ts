// Certificates that are read again in all workers: what the others answer decides about the result.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { RequestError } from "../../src/cluster/requests.ts";
import { type ProcessesHost, renewEverywhere, type ServerProcesses } from "../../src/server/server_processes.ts";

/** Renews in this process and in three others, which answer like this. Returns the message of the error, if there is one. */
async function renewed(...answers: (() => Promise<Uint8Array>)[]): Promise<string | undefined> {
  const links = answers.map((answer, id) => ({ peer: { id }, answer }));
  const host = {
    context: { mesh: { links }, requests: { ask: (link: typeof links[number]) => link.answer() } },
    renewHere: () => Promise.resolve(),
  };
  const processes = { isWorker: true, isTaskWorker: false, workers: 4 };
  try {
    await renewEverywhere(host as unknown as ProcessesHost, processes as ServerProcesses);
  } catch (error) {
    return (error as Error).message;
  }
}

const done = () => Promise.resolve(new Uint8Array(0));
const rejects = (failure: "gone" | "late" | "full" | "failed") => () => Promise.reject(new RequestError(failure, failure));
const unread = () => Promise.resolve(new TextEncoder().encode(JSON.stringify({ message: "no such file", code: "ENOENT" })));

test("certificates are renewed in all workers, of which one may end meanwhile", async () => {
  assertEquals(await renewed(done, done, done), undefined);
  assertEquals(await renewed(done, rejects("gone"), done), undefined);
  assertEquals(await renewed(rejects("gone"), done, unread), "no such file");
});

test("certificates are not renewed in all workers if one that is there does not do it", async () => {
  for (const failure of ["late", "full", "failed"] as const) assertEquals(await renewed(done, rejects(failure), done), failure);
});
