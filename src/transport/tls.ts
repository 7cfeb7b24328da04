/**
 * TLS for servers and clients: the settings under Swoole's names, and the reading of the files that they name.
 *
 * @module
 */

import { SWOOLE_SSL_TLSv1, SWOOLE_SSL_TLSv1_1, SWOOLE_SSL_TLSv1_2, SWOOLE_SSL_TLSv1_3 } from "../constants.ts";
import type { Runtime, TlsChoices, TlsVersion } from "./runtime.ts";
import { checkValue, type Kind } from "../values.ts";

/** The TLS settings that servers and clients share. */
export interface SharedTlsSettings {
  /** The path of our certificate chain, in PEM. Required for a server; for a client, if the server requests a certificate. */
  ssl_cert_file?: string;
  /** The path of the private key, in PEM. */
  ssl_key_file?: string;
  /** The passphrase of the private key, if it is encrypted. */
  ssl_passphrase?: string;
  /**
   * The accepted TLS versions: the sum of `SWOOLE_SSL_TLSv1_2`, `SWOOLE_SSL_TLSv1_3`, … without a gap. 0 means the default of the
   * runtime, TLS 1.2 and 1.3.
   */
  ssl_protocols?: number;
  /** The accepted cipher suites of TLS 1.2, in OpenSSL's syntax. By default, those of the runtime. Not available in Deno. */
  ssl_ciphers?: string;
  /** Whether self-signed certificates are accepted. Default: `false`. */
  ssl_allow_self_signed?: boolean;
  /** The path of the authorities to trust, in PEM. By default, a client trusts those of the runtime. */
  ssl_cafile?: string;
  /** The path of a folder of authorities to trust, in PEM, one per file, named by their hashes (`openssl rehash`). */
  ssl_capath?: string;
  /** The maximum number of certificates between the peer's and a trusted authority. Default: 100. */
  ssl_verify_depth?: number;
}

/** At this depth, the runtime's own limit applies, which is OpenSSL's. */
const DEFAULT_DEPTH = 100;

export const SHARED_TLS_DEFAULTS: Readonly<Required<SharedTlsSettings>> = {
  ssl_cert_file: "",
  ssl_key_file: "",
  ssl_passphrase: "",
  ssl_protocols: 0,
  ssl_ciphers: "",
  ssl_allow_self_signed: false,
  ssl_cafile: "",
  ssl_capath: "",
  ssl_verify_depth: DEFAULT_DEPTH,
};

export const SHARED_TLS_KINDS: Record<keyof SharedTlsSettings, Kind> = {
  ssl_cert_file: "text",
  ssl_key_file: "text",
  ssl_passphrase: "text",
  ssl_protocols: checkProtocols,
  ssl_ciphers: "text",
  ssl_allow_self_signed: "boolean",
  ssl_cafile: "text",
  ssl_capath: "text",
  ssl_verify_depth: { from: 0, to: 255 },
};

/** All versions, oldest first. */
const VERSIONS: readonly (readonly [bit: number, version: TlsVersion])[] = [
  [SWOOLE_SSL_TLSv1, "TLSv1"],
  [SWOOLE_SSL_TLSv1_1, "TLSv1.1"],
  [SWOOLE_SSL_TLSv1_2, "TLSv1.2"],
  [SWOOLE_SSL_TLSv1_3, "TLSv1.3"],
];

/** Checks that no version in between is left out: TLS options name only the oldest and the newest version. */
function checkProtocols(key: string, value: unknown): void {
  checkValue(key, { from: 0, to: 0x7f }, value);
  const bits = value as number;
  if (bits === 0) return;
  const spoken = VERSIONS.map(([bit]) => (bits & bit) !== 0);
  if (!spoken.includes(true)) throw new RangeError(`Cannot set ${key}: ${bits} has no version of TLS`);
  const gap = spoken.indexOf(false, spoken.indexOf(true));
  if (gap >= 0 && spoken.includes(true, gap)) {
    throw new RangeError(`Cannot set ${key}: ${bits} leaves out ${VERSIONS[gap][1]} between others`);
  }
}

/** Returns the TLS options that correspond to the settings. */
export function tlsChoices(settings: Readonly<Required<SharedTlsSettings>>): TlsChoices & { readonly depth: number | undefined } {
  const versions = VERSIONS.filter(([bit]) => (settings.ssl_protocols & bit) !== 0);
  return {
    minVersion: versions.at(0)?.[1],
    maxVersion: versions.at(-1)?.[1],
    ciphers: settings.ssl_ciphers || undefined,
    depth: settings.ssl_verify_depth === DEFAULT_DEPTH ? undefined : settings.ssl_verify_depth,
  };
}

/**
 * Reads a file in PEM format.
 *
 * @param name The setting that contains the path, for error messages.
 * @throws {Error} If the file cannot be read.
 * @throws {TypeError} If it is not in PEM format, or not complete.
 */
export async function readPem(runtime: Runtime, name: string, path: string): Promise<string> {
  const text = await attempt(name, path, runtime.readTextFile(path));
  const [begun, ended] = ["-----BEGIN ", "-----END "].map((mark) => text.split(mark).length - 1);
  if (begun === 0) throw new TypeError(`Cannot use ${name}: ${path} is not in PEM format`);
  if (begun !== ended) throw new TypeError(`Cannot use ${name}: ${path} is not complete`);
  return text;
}

/** Reads a private key; throws as `readPem()`, also if the key is encrypted and there is no passphrase. */
export async function readKey(runtime: Runtime, name: string, path: string, passphrase: string): Promise<string> {
  const text = await readPem(runtime, name, path);
  if (passphrase === "" && /ENCRYPTED/.test(text)) {
    throw new TypeError(`Cannot use ${name}: ${path} is encrypted, and there is no passphrase (ssl_passphrase)`);
  }
  return text;
}

/** The names that OpenSSL looks for in a folder of certificates. */
const HASHED_NAME = /^[0-9a-f]{8}\.\d+$/;

/**
 * Reads the authorities that the settings name.
 *
 * @param more Further files with authorities, by setting.
 * @returns The certificates in PEM, or an empty string if no authorities are named.
 */
export async function readAuthorities(
  runtime: Runtime,
  settings: Readonly<Required<SharedTlsSettings>>,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { ssl_cafile, ssl_capath } = settings;
  const texts: string[] = [];
  for (const [name, path] of Object.entries({ ...more, ssl_cafile })) {
    if (path !== "") texts.push(await readPem(runtime, name, path));
  }
  if (ssl_capath !== "") {
    const entries = await attempt("ssl_capath", ssl_capath, runtime.readFolder(ssl_capath));
    const names = entries.filter(({ name, isFolder }) => !isFolder && HASHED_NAME.test(name)).map(({ name }) => name);
    if (names.length === 0) {
      throw new TypeError(`Cannot use ssl_capath: ${ssl_capath} has no certificates named by their hashes (openssl rehash)`);
    }
    for (const name of names) texts.push(await readPem(runtime, "ssl_capath", `${ssl_capath}/${name}`));
  }
  return texts.join("\n");
}

/** The reasons why a file or folder cannot be read, by the system's code. */
const STATES: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  ENOTDIR: "does not exist, or is not a folder",
  EISDIR: "is a folder",
  EACCES: "may not be read by this user",
};

async function attempt<T>(name: string, path: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (cause) {
    const state = STATES[String((cause as { code?: unknown } | null)?.code)];
    const why = state === undefined ? cause instanceof Error ? cause.message : cause : `${path} ${state}`;
    throw new Error(`Cannot read ${name}: ${why}`, { cause });
  }
}
