// What some tests need of the machine beside Node and npm: where it is, and how to bring it where it is missing.
//
// A variable names another place (CHROMIUM, FIREFOX, PYTHON, OPENSSL, NGINX, HAPROXY, REDIS_SERVER). SLUICE_WITHOUT holds names of this list, separated by
// blanks, that are to count as missing; SLUICE_STRICT=1 makes tests that need something missing fail, not be left out.
//
//   node tools/prerequisites.mjs     prints the Debian packages of what is missing

import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const { env } = process;

/** The first program that can be run: a path, or a name that is looked for in PATH. */
function findProgram(variable, candidates, mode = constants.X_OK) {
  for (const candidate of env[variable] ? [env[variable]] : candidates) {
    const places = candidate.includes("/")
      ? [candidate]
      : (env.PATH ?? "").split(delimiter).map((folder) => join(folder, candidate));
    for (const place of places) {
      try {
        accessSync(place, mode);
        return place;
      } catch {
        // the next one
      }
    }
  }
  return undefined;
}

const CHROMIUM = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
  "/opt/google/chrome/chrome",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const FIREFOX = [
  "firefox-esr",
  "firefox",
  "/usr/bin/firefox-esr",
  "/usr/bin/firefox",
  "/snap/bin/firefox",
  "/Applications/Firefox.app/Contents/MacOS/firefox",
];

/** A Python that has a module. Debian's packages are for /usr/bin/python3, which need not be the first one in PATH. */
function findPython(module) {
  for (
    const candidate of env.PYTHON ? [env.PYTHON] : ["/usr/bin/python3", "python3"]
  ) {
    const python = findProgram("", [candidate]);
    if (
      python !== undefined &&
      spawnSync(python, ["-c", `import ${module}`], { stdio: "ignore" })
          .status === 0
    ) return python;
  }
  return undefined;
}

const NGINX = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];

const HAPROXY = ["haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/opt/homebrew/bin/haproxy"];

/** The module with which nginx passes on bytes: a file to load, or `built-in`. */
function findNginxStream() {
  const nginx = findProgram("NGINX", NGINX);
  if (nginx === undefined) return undefined;
  const { stderr } = spawnSync(nginx, ["-V"], { encoding: "utf8" });
  if (/--with-stream(\s|$)/.test(stderr)) return "built-in";
  const folder = /--modules-path=(\S+)/.exec(stderr)?.[1];
  return folder && findProgram("", [join(folder, "ngx_stream_module.so")], constants.R_OK);
}

/**
 * Each with its name, what it is for, how to find it (a path, or `undefined`), its Debian package, and how else to bring it.
 *
 * @type {readonly { name: string, purpose: string, find: () => string | undefined, apt: string, otherwise: string }[]}
 */
export const prerequisites = [{
  name: "chromium",
  purpose: "the browser tests",
  find: () => findProgram("CHROMIUM", CHROMIUM),
  apt: "chromium",
  otherwise: "CHROMIUM=/path/to/chrome",
}, {
  name: "firefox",
  purpose: "the browser tests in Firefox",
  find: () => findProgram("FIREFOX", FIREFOX),
  apt: "firefox-esr",
  otherwise: "FIREFOX=/path/to/firefox",
}, {
  name: "websockets",
  purpose: "the tests with Python's websockets",
  find: () => findPython("websockets"),
  apt: "python3-websockets",
  otherwise: "pip install websockets, PYTHON=/path/to/python3",
}, {
  name: "aiohttp",
  purpose: "the tests with Python's aiohttp",
  find: () => findPython("aiohttp"),
  apt: "python3-aiohttp",
  otherwise: "pip install aiohttp, PYTHON=/path/to/python3",
}, {
  name: "prometheus_client",
  purpose: "the tests with Prometheus' own parsers of metrics",
  find: () => findPython("prometheus_client"),
  apt: "python3-prometheus-client",
  otherwise: "pip install prometheus_client, PYTHON=/path/to/python3",
}, {
  name: "openssl",
  purpose: "a test of TLS sessions",
  find: () => findProgram("OPENSSL", ["openssl"]),
  apt: "openssl",
  otherwise: "OPENSSL=/path/to/openssl",
}, {
  name: "nginx",
  purpose: "the tests behind nginx",
  find: () => findProgram("NGINX", NGINX),
  apt: "nginx",
  otherwise: "NGINX=/path/to/nginx",
}, {
  name: "nginx-stream",
  purpose: "the tests with the PROXY protocol of nginx",
  find: findNginxStream,
  apt: "libnginx-mod-stream",
  otherwise: "NGINX=/path/to/nginx with its module stream",
}, {
  name: "haproxy",
  purpose: "the tests behind HAProxy",
  find: () => findProgram("HAPROXY", HAPROXY),
  apt: "haproxy",
  otherwise: "HAPROXY=/path/to/haproxy",
}, {
  name: "caddy",
  purpose: "the tests of what the documents say about Caddy",
  find: () => findProgram("CADDY", ["caddy"]),
  apt: "caddy",
  otherwise: "CADDY=/path/to/caddy",
}, {
  name: "redis",
  purpose: "the tests of the broker over Redis",
  find: () => findProgram("REDIS_SERVER", ["redis-server", "/usr/local/bin/redis-server", "/opt/homebrew/bin/redis-server"]),
  apt: "redis-server",
  otherwise: "REDIS_SERVER=/path/to/redis-server, version 6.2 or later",
}, {
  name: "systemd-analyze",
  purpose: "the test of the unit for systemd in the documents",
  find: () => findProgram("SYSTEMD_ANALYZE", ["systemd-analyze"]),
  apt: "systemd",
  otherwise: "SYSTEMD_ANALYZE=/path/to/systemd-analyze",
}];

/** The names that are to count as missing, older variables included. */
function unwanted() {
  const names = new Set((env.SLUICE_WITHOUT ?? "").split(/[\s,]+/));
  if (env.SLUICE_WITHOUT_FIREFOX === "1") names.add("firefox");
  if (env.SLUICE_WITHOUT_PYTHON === "1") names.add("websockets").add("aiohttp");
  return names;
}

/** @type {Map<string, string | undefined>} */
const found = new Map();

/**
 * Where something is; `undefined` where it is missing, or not wanted.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function find(name) {
  if (!found.has(name)) {
    const prerequisite = prerequisites.find((candidate) => candidate.name === name);
    if (prerequisite === undefined) {
      throw new TypeError(`Cannot find ${name}: there is no such prerequisite`);
    }
    found.set(name, unwanted().has(name) ? undefined : prerequisite.find());
  }
  return found.get(name);
}

/**
 * How to bring something that is missing, as part of a sentence.
 *
 * @param {string} name
 * @returns {string}
 */
export function howToBring(name) {
  if (unwanted().has(name)) return "left out as asked";
  const { apt, otherwise } = prerequisites.find((candidate) => candidate.name === name);
  return `apt-get install ${apt}, or ${otherwise}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(
    prerequisites.filter(({ name }) => find(name) === undefined).map((
      { apt },
    ) => apt).join(" "),
  );
}
