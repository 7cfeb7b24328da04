// Makes the WebAssembly module of src/websocket/masking.ts and prints it in Base64.
//
// The module has a memory, `m`, and one function:
//
//   (func (export "f") (param $at i32) (param $end i32) (param $key i32) (result i32)
//     (local $keys v128) (local $seen v128) (local $block v128)
//     (local.set $keys (i32x4.splat (local.get $key)))
//     (loop
//       (v128.store (local.get $at)
//         (local.tee $block (v128.xor (v128.load (local.get $at)) (local.get $keys))))
//       (local.set $seen (v128.or (local.get $seen) (local.get $block)))
//       (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
//     (i8x16.bitmask (local.get $seen)))

/** The size of its memory in pages of 64 KiB. */
const PAGES = 2;

const I32 = 0x7f, V128 = 0x7b, VOID = 0x40, SIMD = 0xfd;
const AT = 0, END = 1, KEY = 2, KEYS = 3, SEEN = 4, BLOCK = 5;
const get = (local) => [0x20, local];
const set = (local) => [0x21, local];
const tee = (local) => [0x22, local];
const LOAD = [SIMD, 0x00, 0, 0], STORE = [SIMD, 0x0b, 0, 0]; // neither alignment nor offset
const SPLAT = [SIMD, 0x11], OR = [SIMD, 0x50], XOR = [SIMD, 0x51], BITMASK = [SIMD, 0x64];
const CONST = (value) => [0x41, value], ADD = [0x6a], LESS = [0x49];
const LOOP = [0x03, VOID], REPEAT_IF = [0x0d, 0], CLOSE = [0x0b];

/** A section or another list of bytes, behind its length. All of them are shorter than 128 bytes. */
const sized = (...bytes) => [bytes.length, ...bytes];
const section = (id, ...bytes) => [id, ...sized(...bytes)];
const name = (text) => sized(...Buffer.from(text));

const body = [
  ...[1, 3, V128], // one group of locals: three vectors
  ...get(KEY),
  ...SPLAT,
  ...set(KEYS),
  ...LOOP,
  ...get(AT),
  ...get(AT),
  ...LOAD,
  ...get(KEYS),
  ...XOR,
  ...tee(BLOCK),
  ...STORE,
  ...get(SEEN),
  ...get(BLOCK),
  ...OR,
  ...set(SEEN),
  ...get(AT),
  ...CONST(16),
  ...ADD,
  ...tee(AT),
  ...get(END),
  ...LESS,
  ...REPEAT_IF,
  ...CLOSE,
  ...get(SEEN),
  ...BITMASK,
  ...CLOSE,
];

/** The module. */
export const maskingModule = Uint8Array.of(
  ...[0x00, ...Buffer.from("asm"), 1, 0, 0, 0],
  ...section(1, 1, 0x60, ...sized(I32, I32, I32), ...sized(I32)), // types: that of the function
  ...section(3, 1, 0), // functions: one, of the first type
  ...section(5, 1, 0, PAGES), // memories: one
  ...section(7, 2, ...name("m"), 2, 0, ...name("f"), 0, 0), // exports
  ...section(10, 1, ...sized(...body)), // code
);

if (process.argv[1] === import.meta.filename) console.log(Buffer.from(maskingModule).toString("base64"));
