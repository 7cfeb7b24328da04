// Certificates that are read again in all workers: what the others answer decides about the result.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { RequestError } from "../../src/cluster/requests.ts";
import { Renewal, type RenewalHost } from "../../src/server/renewal.ts";
import { settle } from "../support/activity.ts";

/** A server in worker 3, and three others, which answer like this. */
function hostOf(...answers: (() => Promise<Uint8Array>)[]) {
  const links = answers.map((answer, id) => ({ peer: { id }, answer }));
  const warnings: string[] = [];
  const host = {
    context: {
      mesh: { self: { id: 3 }, links: [{ peer: { id: -1 } }, ...links, { peer: { id: 4 } }] }, // the master, and a task worker
      requests: { ask: (link: typeof links[number]) => link.answer() },
      log: { warn: (text: string) => void warnings.push(text) },
    },
    processes: { isWorker: true, isTaskWorker: false, workers: 4 },
    renewHere: () => Promise.resolve(),
  };
  return { host, warnings, renewal: new Renewal(host as unknown as RenewalHost) };
}

/** Renews in all of them. Returns the message of the error, if there is one. */
async function renewed(...answers: (() => Promise<Uint8Array>)[]): Promise<string | undefined> {
  return (await hostOf(...answers).renewal.run())?.message;
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

test("the log says which workers go on with the old certificates, if not all do", async () => {
  const logged = async (renewHere: () => Promise<void>, ...answers: (() => Promise<Uint8Array>)[]) => {
    const { host, renewal, warnings } = hostOf(...answers);
    host.renewHere = renewHere;
    const error = await renewal.run() as Error & { code?: unknown };
    return [error?.code, ...warnings];
  };
  const fine = () => Promise.resolve();
  const fails = () => Promise.reject(Object.assign(new Error("no file"), { code: "ENOENT" }));
  assertEquals(await logged(fine, done, done, done), [undefined]);
  assertEquals(await logged(fine, done, rejects("late"), done), [
    undefined,
    "The certificates stay as they are in worker 1: late",
  ]);
  assertEquals(await logged(fails, unread, rejects("late"), done), [
    "ENOENT",
    "The certificates stay as they are in workers 0, 1, 3: no file",
  ]);
  assertEquals(await logged(fails, unread, unread, unread), ["ENOENT", "The certificates stay as they are: no file"]);
  assertEquals(await logged(fails, unread, rejects("gone"), unread), ["ENOENT", "The certificates stay as they are: no file"]);
});

test("calls while certificates are renewed share the next time", async () => {
  const { host, renewal } = hostOf();
  const begun: (() => void)[] = [];
  host.renewHere = () => new Promise((resolve) => begun.push(resolve));
  const first = [renewal.run(), renewal.run()];
  await settle();
  const next = Array.from({ length: 100 }, () => renewal.run());
  let isOver = false;
  Promise.all(next).then(() => isOver = true);
  await settle();
  assertEquals(begun.length, 1);
  begun[0]();
  assertEquals(await Promise.all(first), [undefined, undefined]);
  await settle();
  assertEquals([begun.length, isOver], [2, false]); // the files may have changed since the first has begun
  begun[1]();
  assertEquals(new Set(await Promise.all(next)), new Set([undefined]));
  await settle();
  assertEquals(begun.length, 2);
  const last = renewal.run();
  await settle();
  begun[2]();
  assertEquals(await last, undefined);
});
