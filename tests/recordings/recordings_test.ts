/**
 * What Swoole was recorded to do, our server does too, or there is a decision that says why not.
 *
 * @module
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { test } from "node:test";
import { type Difference, DIFFERENCES, LATER } from "./differences.ts";
import { HANDLERS } from "./handlers.ts";
import { recordings, replay, type Result } from "./replay.ts";

const RECORDINGS = recordings();

for (const recording of RECORDINGS) {
  const { id, title } = recording;
  if (id in LATER) continue; // see the tests at the end
  const difference: Difference | undefined = DIFFERENCES[id];
  const recorded: Result = { server: recording.server, closed: recording.closed, events: recording.events };
  const expected: Result = {
    server: difference?.server ?? recorded.server,
    closed: difference?.closed ?? recorded.closed,
    events: difference?.events ?? recorded.events,
  };
  test(`recording ${id}: ${title}${difference === undefined ? "" : ` (differs: ${difference.reason})`}`, async () => {
    const result = await replay(recording, HANDLERS[id], expected);
    result.closed = result.closed.map((end, step) => end !== "" && expected.closed[step] === "END" ? "END" : end);
    assertEquals(result, expected);
    if (difference !== undefined) assertNotEquals(result, recorded, "This is as recorded: it is no difference any more");
  });
}

test("every recording is replayed, as it is or with a named difference, or waits for something that is still missing", () => {
  const ids = RECORDINGS.map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length);
  for (const id of [...Object.keys(DIFFERENCES), ...Object.keys(LATER)]) assert(ids.includes(id), `There is no recording ${id}`);
  for (const id of ids) {
    assert(!(id in DIFFERENCES && id in LATER), `${id} cannot be both: different and left for later`);
    assert(id in HANDLERS || id in LATER, `${id} has no program`);
  }
  for (const [id, { reason, missing }] of Object.entries(LATER)) {
    assert(missing(), `${id} can be replayed now; it was left for later because: ${reason}`);
  }
});
