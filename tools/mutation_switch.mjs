// The switch in the instrumented copy that tools/mutants.ts makes: every class, function, constant, handler and setting of the public
// interface is handed through here when it is made, and comes out broken if it is the one that SLUICE_BROKEN names.
//
//   SLUICE_BROKEN    "SECTION|NAME", the names as in docs/api.md
//   SLUICE_SAYS      what the broken method returns: "true", "promise" or "promise of true"; nothing by default
//   SLUICE_TOUCHED   a file to which the names are appended that a run comes by, with what methods return

import { appendFileSync, readFileSync } from "node:fs";
import process from "node:process";

const [brokenSection, brokenName] = (process.env.SLUICE_BROKEN ?? "").split(
  "|",
);
const says = process.env.SLUICE_SAYS;
const record = process.env.SLUICE_TOUCHED;
const rows = JSON.parse(
  readFileSync(new URL("./mutation_rows.json", import.meta.url), "utf8"),
);

const touched = new Set();

function touch(section, name, shape = "") {
  if (record === undefined) return;
  const line = `${section}|${name}|${shape}\n`;
  if (touched.has(line)) return;
  touched.add(line);
  appendFileSync(record, line);
}

const isBroken = (section, name) => section === brokenSection && name === brokenName;

/** A method that does nothing, and says what the true one says when it has done something. */
function idle() {
  if (says === "true") return true;
  if (says === "promise") return Promise.resolve(undefined);
  if (says === "promise of true") return Promise.resolve(true);
  return undefined;
}

/** The name of a row as the key of a property. */
function keyOf(name) {
  const bare = name.replace("()", "");
  const symbol = /^\[Symbol\.(\w+)\]$/.exec(bare);
  return symbol === null ? bare : Symbol[symbol[1]];
}

/** Where a key is defined, up the prototype chain. */
function find(owner, key) {
  for (
    let at = owner;
    at !== null && at !== Object.prototype && at !== Function.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    const descriptor = Object.getOwnPropertyDescriptor(at, key);
    if (descriptor !== undefined) return descriptor;
  }
  return undefined;
}

function recording(section, name, original) {
  return function (...args) {
    const result = Reflect.apply(original, this, args);
    if (result instanceof Promise) {
      touch(section, name, "promise");
      result.then(
        (value) => value === true && touch(section, name, "promise of true"),
        () => {},
      );
    } else touch(section, name, result === true ? "true" : "");
    return result;
  };
}

/** Breaks a method or an accessor of a class. */
export function ofClass(section, type) {
  for (const name of Object.keys(rows[section] ?? {})) {
    const broken = isBroken(section, name);
    if (!broken && record === undefined) continue;
    const key = keyOf(name);
    for (const owner of [type, type.prototype]) {
      if (owner === type && ["name", "length", "prototype"].includes(key)) {
        continue;
      }
      const found = find(owner, key);
      if (found === undefined || key === "__construct") continue;
      if (typeof found.value === "function") {
        Object.defineProperty(owner, key, {
          ...found,
          value: broken ? idle : recording(section, name, found.value),
        });
      } else if (found.get !== undefined) {
        const get = broken ? () => undefined : recording(section, name, found.get);
        Object.defineProperty(owner, key, {
          ...found,
          get,
          ...broken ? { set() {} } : {},
        });
      }
    }
  }
  if (
    brokenSection !== "Events" || !Object.hasOwn(type.prototype, "getCallback")
  ) return;
  const original = type.prototype.getCallback;
  type.prototype.getCallback = function (event) {
    const handler = original.call(this, event);
    return given.get(handler) ?? handler;
  };
}

/** Breaks a field, or the constructor. */
export function ofInstance(section, instance) {
  if (record !== undefined) {
    touch("Classes", section);
    touch(section, "__construct()");
    for (const name of Object.keys(rows[section] ?? {})) {
      if (
        !name.endsWith("()") &&
        find(Object.getPrototypeOf(instance), keyOf(name)) === undefined
      ) touch(section, name);
    }
  }
  if (brokenSection === "Classes" && brokenName === section) {
    throw new Error(`There is no ${section}`);
  }
  if (section !== brokenSection) return;
  if (brokenName === "__construct()") throw new Error(`There is no ${section}`);
  const key = keyOf(brokenName);
  if (
    brokenName.endsWith("()") ||
    find(Object.getPrototypeOf(instance), key) !== undefined
  ) return;
  Object.defineProperty(instance, key, {
    get: () => undefined,
    set() {},
    configurable: true,
    enumerable: true,
  });
}

export function ofFunction(name, original) {
  if (isBroken("Functions", name)) return idle;
  return record === undefined ? original : recording("Functions", name, original);
}

/** Breaks the value that programs see, or for a code that methods set the one that they set. */
export function ofConstant(name, value, side) {
  const section = rows.Constants?.[name] === undefined ? "Error codes" : "Constants";
  if (!isBroken(section, name)) return value;
  const isSet = section === "Error codes" && rows[section][name] === "works";
  return side === (isSet ? "inside" : "outside") ? value + 7919 : value;
}

/** The handlers that programs gave, by what stands for them. */
const given = new WeakMap();

/** Breaks an event: its handler is there, and is not called. */
export function ofHandler(event, handler) {
  const name = Object.keys(rows.Events).find((name) => name.toLowerCase() === event.toLowerCase());
  touch("Events", name);
  if (typeof handler !== "function" || !isBroken("Events", name)) {
    return handler;
  }
  const mute = () => {};
  given.set(mute, handler);
  return mute;
}

/** Breaks a setting: it is checked and then forgotten. */
export function ofSettings(section, settings) {
  for (const name of Object.keys(settings)) touch(section, name);
  if (section !== brokenSection || settings[brokenName] === undefined) {
    return settings;
  }
  const { [brokenName]: _, ...rest } = settings;
  return rest;
}
