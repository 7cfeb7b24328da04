/**
 * What Swoole's coroutine server and its client were recorded to do, ours do too, or there is a decision that says why not.
 *
 * @module
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { test } from "node:test";
import { type Difference, DIFFERENCES, LATER } from "./coroutine_differences.ts";
import { CLIENTS, SERVERS } from "./coroutine_programs.ts";
import { type Outcome, type Recording, recordings, replayClient, replayServer } from "./coroutine_replay.ts";

function replayAll(list: Recording[], replay: (recording: Recording, expected: Outcome) => Promise<Outcome>): void {
  for (const recording of list) {
    const { id, title, sent, closed, events } = recording;
    if (id in LATER) continue; // see the test at the end
    const difference: Difference | undefined = DIFFERENCES[id];
    const recorded: Outcome = { sent, closed, events };
    const expected: Outcome = {
      sent: difference?.sent ?? sent,
      closed: difference?.closed ?? closed,
      events: difference?.events ?? events,
    };
    test(`recording ${id}: ${title}${difference === undefined ? "" : ` (differs: ${difference.reason})`}`, async () => {
      const outcome = await replay(recording, expected);
      assertEquals(outcome, expected);
      if (difference !== undefined) assertNotEquals(outcome, recorded, "This is as recorded: it is no difference any more");
    });
  }
}

const [ofServer, ofClient] = [recordings("co-"), recordings("cl-")];
replayAll(ofServer, (recording, expected) => replayServer(recording, SERVERS[recording.id], expected));
replayAll(ofClient, (recording, expected) => replayClient(recording, CLIENTS[recording.id], expected));

test("every recording of the coroutine style is replayed, or waits for something that is still missing", () => {
  const ids = [...ofServer, ...ofClient].map(({ id }) => id);
  assertEquals(ids.length, 59);
  for (const id of [...Object.keys(DIFFERENCES), ...Object.keys(LATER)]) assert(ids.includes(id), `There is no recording ${id}`);
  for (const id of ids) assert(id in SERVERS || id in CLIENTS, `${id} has no program`);
  for (const [id, { reason, missing }] of Object.entries(LATER)) {
    assert(missing(), `${id} can be replayed now; it was left for later because: ${reason}`);
  }
});
