/**
 * Values as bytes, for processes of the same program: structured clone, with `node:v8`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import v8 from "node:v8";

const inBun = "Bun" in globalThis;

/** A part of a value, and how to get there. */
interface Part {
  readonly path: string;
  readonly value: unknown;
}

/** Returns the parts of an object, an array, a map or a set; nothing for other values. */
function partsOf({ path, value }: Part): Part[] {
  if (value instanceof Map) {
    return [...value].flatMap(([key, item], at) => [
      { path: `${path}.keys()[${at}]`, value: key },
      { path: `${path}.values()[${at}]`, value: item },
    ]);
  }
  if (value instanceof Set) return [...value].map((item, at) => ({ path: `${path}.values()[${at}]`, value: item }));
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return [];
  return Object.entries(value).map(([key, item]) => ({
    path: /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${Array.isArray(value) ? key : JSON.stringify(key)}]`,
    value: item,
  }));
}

/** Reports whether a value cannot be cloned, whatever its parts are. */
function isToBlame(value: unknown): boolean {
  if (typeof value === "function" || typeof value === "symbol") return true;
  if (typeof value !== "object" || value === null) return false;
  if (value instanceof SharedArrayBuffer) return true;
  return partsOf({ path: "", value }).length === 0 && !works(value);
}

function works(value: unknown): boolean {
  try {
    v8.serialize(value);
    return true;
  } catch {
    return false;
  }
}

/** Finds the first part, or the value itself, for which a test holds. */
function find(value: unknown, test: (part: unknown) => boolean): Part | undefined {
  const seen: Set<unknown> = new Set();
  const open: Part[] = [{ path: "value", value }];
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    if (test(part.value)) return part;
    if (typeof part.value !== "object" || part.value === null || seen.has(part.value)) continue;
    seen.add(part.value);
    open.push(...partsOf(part).reverse());
  }
  return undefined;
}

/** Reports whether a view shows only a part of its buffer. Bun would send the whole buffer. */
function isPartial(value: unknown): boolean {
  return ArrayBuffer.isView(value) && value.byteLength < value.buffer.byteLength;
}

/** Returns a view with a copy of its bytes in a buffer of its own. */
function withOwnBuffer(view: ArrayBufferView): ArrayBufferView {
  const { buffer, byteOffset, byteLength, constructor } = view;
  const own = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  if (Buffer.isBuffer(view)) return Buffer.from(own);
  return new (constructor as new (buffer: ArrayBuffer) => ArrayBufferView)(own);
}

/** Copies what contains views of parts of buffers, and these views. What cannot contain any is left as it is. */
function withOwnBuffers(value: unknown, copies: Map<unknown, unknown> = new Map()): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (copies.has(value)) return copies.get(value);
  const copy = (part: unknown) => withOwnBuffers(part, copies);
  const add = <T>(made: T): T => {
    copies.set(value, made);
    return made;
  };
  if (isPartial(value)) return add(withOwnBuffer(value as ArrayBufferView));
  if (value instanceof Map) {
    const made = add(new Map());
    for (const [key, item] of value) made.set(copy(key), copy(item));
    return made;
  }
  if (value instanceof Set) {
    const made = add(new Set());
    for (const item of value) made.add(copy(item));
    return made;
  }
  if (Array.isArray(value)) {
    const made = add(new Array<unknown>(value.length));
    for (const key of Object.keys(value)) made[key as unknown as number] = copy(value[key as unknown as number]);
    return made;
  }
  if (Object.prototype.toString.call(value) !== "[object Object]") return value;
  const made: Record<string, unknown> = add({});
  for (const [key, item] of Object.entries(value)) made[key] = copy(item);
  return made;
}

/** Implements `ProcessControl.serialize()`. */
export function serialize(value: unknown): Uint8Array {
  try {
    if (!inBun) return v8.serialize(value);
    // Bun would send a shared buffer as a copy that is not shared.
    if (find(value, (part) => part instanceof SharedArrayBuffer) !== undefined) throw new Error("a SharedArrayBuffer");
    return v8.serialize(find(value, isPartial) === undefined ? value : withOwnBuffers(value));
  } catch (cause) {
    const { path } = find(value, isToBlame) ?? { path: "value" };
    const error = new DOMException(`Cannot send to another process: ${path} cannot be cloned`, "DataCloneError");
    throw Object.defineProperty(error, "cause", { value: cause, configurable: true });
  }
}

/** The part of a reader of Node that reads a view. */
interface ViewReader {
  _readHostObject(): ArrayBufferView;
}

/** A reader whose views have buffers of their own; otherwise they would be parts of the memory that is read. Bun has no readers. */
const CopyingReader = inBun ? undefined : class extends v8.DefaultDeserializer {
  _readHostObject(): ArrayBufferView {
    return withOwnBuffer((v8.DefaultDeserializer.prototype as unknown as ViewReader)._readHostObject.call(this));
  }
};

/** Implements `ProcessControl.deserialize()`. Nothing in the value refers to the given memory. */
export function deserialize(bytes: Uint8Array): unknown {
  if (CopyingReader === undefined) return v8.deserialize(bytes);
  // Deno takes bytes of views from the wrong place if the memory does not begin where its buffer does.
  const reader = new CopyingReader("Deno" in globalThis && bytes.byteOffset !== 0 ? bytes.slice() : bytes);
  reader.readHeader();
  return reader.readValue();
}
