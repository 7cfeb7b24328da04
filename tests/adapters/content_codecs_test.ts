import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { commandWithGarbage } from "../support/garbage.ts";
import { running } from "../support/program.ts";

test("a long body that is decoded in many pieces leaves nothing of them in memory", { timeout: 120_000 }, async () => {
  await running(commandWithGarbage(new URL("./decoding_program.ts", import.meta.url)), async (program) => {
    for (const expected of ["gzip noise", "deflate noise", "br noise", "gzip zeros"]) {
      const { coding, content, count, growth } = JSON.parse(await program.line());
      assertEquals(`${coding} ${content}`, expected);
      assert(count > 10_000, `There were only ${count} pieces: ${expected}`);
      // A promise that is left behind is 200 bytes and more.
      assert(growth < count * 60, `${growth} bytes are left of ${count} pieces: ${expected}`);
    }
    assertEquals(await program.exited, 0);
  });
});
