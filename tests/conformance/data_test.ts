import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { type DataName, slice } from "./data.ts";
import { joined } from "./frame_reader.ts";

const sizes: readonly (readonly [name: DataName, length: number, bytes: number])[] = [
  ["json", 194_056, 194_056],
  ["bitmap", 263_222, 263_222],
  ["poem", 222_218, 222_218],
  ["html", 263_620, 263_647],
  ["pdf", 1_042_328, 1_042_328],
];

test("the data are of the same sizes as the suite's", () => {
  for (const [name, length, bytes] of sizes) assertEquals(slice(name, 0, length).length, bytes, name);
});

test("the data are of the same kinds as the suite's", () => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const all = Object.fromEntries(sizes.map(([name, length]) => [name, slice(name, 0, length)])) as Record<DataName, Uint8Array>;
  assert(all.json.every((byte) => byte < 0x80));
  assert(Array.isArray(JSON.parse(decoder.decode(all.json))));
  assertEquals(decoder.decode(all.bitmap.subarray(0, 2)), "BM");
  assert(decoder.decode(all.poem).startsWith("\ufeff"));
  assert(decoder.decode(all.html).startsWith("<!DOCTYPE html>") && decoder.decode(all.html).endsWith("</html>\n"));
  assertEquals(decoder.decode(all.pdf.subarray(0, 8)), "%PDF-1.4");
  // Of 100 bytes, how many are left.
  const left = (bytes: Uint8Array) => 100 * deflateRawSync(bytes).length / bytes.length;
  for (const name of ["json", "poem", "html"] as const) assert(left(all[name]) < 50, `${name}: ${left(all[name])}`);
  assert(left(all.bitmap) > 30 && left(all.bitmap) < 80, `bitmap: ${left(all.bitmap)}`);
  assert(left(all.pdf) > 90, `pdf: ${left(all.pdf)}`);
});

test("slices go through the data round and round", () => {
  for (const [name, length] of sizes) {
    const whole = slice(name, 0, length);
    const parts = Array.from({ length: Math.ceil(2 * length / 60_000) }, (_, i) => slice(name, i * 60_000, 60_000));
    assertEquals(joined(parts).subarray(0, 2 * whole.length), joined([whole, whole]), name);
    assertEquals(
      slice(name, length - 1, 2 * length),
      joined([slice(name, length - 1, 1), whole, slice(name, 0, length - 1)]),
      name,
    );
  }
});
