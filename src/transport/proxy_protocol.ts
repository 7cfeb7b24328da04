/**
 * The PROXY protocol: a header with the addresses of a client, which a proxy sends before the bytes of its connection. Version 1
 * is a line of text, version 2 is binary.
 *
 * @module
 */

import { formatIp, MAPPED, parseIp } from "./ip_addresses.ts";
import type { Address, Preamble } from "./runtime.ts";

/** The header of the PROXY protocol. */
export interface ProxyHeader {
  /** The address of the client; `undefined` if the proxy does not know it, or has connected for itself. */
  readonly source: Address | undefined;
  /** The address to which the client has connected; `undefined` as `source`. */
  readonly destination: Address | undefined;
}

/** Why a header is refused. */
export type ProxyHeaderFailure = "there is no PROXY header" | "the PROXY header is malformed" | "the PROXY header is too long";

const MISSING = "there is no PROXY header";
const MALFORMED = "the PROXY header is malformed";
const TOO_LONG = "the PROXY header is too long";

/** The longest line of version 1, with its end: 107 bytes. */
const LONGEST_LINE = 107;

/** The longest header of version 2, with its additional fields: what the smallest segment of TCP holds. */
const LONGEST_HEADER = 536;

/** The first bytes of version 1 and of version 2. */
const SIGNATURE_1 = [0x50, 0x52, 0x4f, 0x58, 0x59, 0x20]; // "PROXY "
const SIGNATURE_2 = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

/** The number of bytes before the addresses in version 2: signature, command, family, length. */
const FIXED_SIZE = 16;

/** The families of version 2, with the size of their two addresses. */
const FAMILIES: ReadonlyMap<number, number> = new Map([
  [0x00, 0], // unspecified
  [0x11, 12], // TCP over IPv4
  [0x12, 12], // UDP over IPv4: a client of HTTP/3, for example
  [0x21, 36], // TCP over IPv6
  [0x22, 36], // UDP over IPv6
  [0x31, 216], // unix, stream
  [0x32, 216], // unix, datagram
]);

const UNKNOWN: ProxyHeader = { source: undefined, destination: undefined };

/**
 * A parser for one header, of either version.
 *
 * A header is refused at its first wrong byte. What it may hold is strict, because a proxy writes it, and no person.
 */
export class ProxyHeaderParser {
  /** The header, once it is complete. */
  header: ProxyHeader | undefined = undefined;
  /** Why the bytes are refused, if they are. */
  failure: ProxyHeaderFailure | undefined = undefined;

  readonly #bytes: Uint8Array = new Uint8Array(LONGEST_HEADER);
  #length = 0;

  /**
   * Receives bytes, until `header` or `failure` is set.
   *
   * @returns The number of bytes that belong to the header.
   */
  receive(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && this.header === undefined && this.failure === undefined) this.#take(chunk[at++]);
    return at;
  }

  #take(byte: number): void {
    const bytes = this.#bytes;
    const at = this.#length++;
    bytes[at] = byte;
    const signature = bytes[0] === SIGNATURE_1[0] ? SIGNATURE_1 : SIGNATURE_2;
    if (at < signature.length) {
      if (byte !== signature[at]) this.failure = MISSING;
    } else if (signature === SIGNATURE_1) this.#takeText(byte);
    else this.#takeBinary();
  }

  #takeText(byte: number): void {
    const length = this.#length;
    if (byte === 0x0a) {
      const line = ascii(this.#bytes, SIGNATURE_1.length, length - 2);
      this.#settle(this.#bytes[length - 2] === 0x0d ? parseLine(line) : undefined);
    } else if (length === LONGEST_LINE) this.failure = TOO_LONG;
    else if (this.#bytes[length - 2] === 0x0d) this.failure = MALFORMED; // its line feed is missing
  }

  #takeBinary(): void {
    const bytes = this.#bytes;
    const length = this.#length;
    if (length === 13 && bytes[12] >> 1 !== 0x10) this.failure = MALFORMED; // version 2, LOCAL (0) or PROXY (1)
    if (length === 14 && !FAMILIES.has(bytes[13])) this.failure = MALFORMED;
    if (length < FIXED_SIZE) return;
    const rest = bytes[14] << 8 | bytes[15];
    if (!this.#isLocal && rest < FAMILIES.get(bytes[13])!) this.failure = MALFORMED;
    else if (FIXED_SIZE + rest > LONGEST_HEADER) this.failure = TOO_LONG;
    else if (length === FIXED_SIZE + rest) this.#settle(this.#isLocal ? UNKNOWN : parseAddresses(bytes));
  }

  /** Whether the proxy has connected for itself, for example to see whether the server is there. */
  get #isLocal(): boolean {
    return (this.#bytes[12] & 1) === 0;
  }

  #settle(header: ProxyHeader | undefined): void {
    this.header = header;
    if (header === undefined) this.failure = MALFORMED;
  }
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end));
}

/** Parses a line of version 1, without its first word. */
function parseLine(line: string): ProxyHeader | undefined {
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return UNKNOWN; // what follows is to be ignored
  const [family, from, to, fromPort, toPort, ...more] = line.split(" ");
  if ((family !== "TCP4" && family !== "TCP6") || more.length > 0) return undefined;
  const source = parseEnd(family, from, fromPort);
  const destination = parseEnd(family, to, toPort);
  return source && destination && { source, destination };
}

function parseEnd(family: "TCP4" | "TCP6", address = "", port = ""): Address | undefined {
  const ip = address.includes(":") === (family === "TCP6") ? parseIp(address) : undefined;
  if (ip === undefined || !/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) return undefined;
  return { transport: "tcp", hostname: formatIp(ip), port: Number(port) };
}

/** Reads the addresses of version 2. What comes after them is not used. */
function parseAddresses(bytes: Uint8Array): ProxyHeader {
  const size = FAMILIES.get(bytes[13])! / 2;
  if (size === 0) return UNKNOWN;
  const at = FIXED_SIZE;
  if (bytes[13] >> 4 === 3) return { source: unixAddress(bytes, at), destination: unixAddress(bytes, at + size) };
  const [ipSize, ports] = [size - 2, at + 2 * (size - 2)];
  return {
    source: tcpAddress(bytes, at, ipSize, ports),
    destination: tcpAddress(bytes, at + ipSize, ipSize, ports + 2),
  };
}

function tcpAddress(bytes: Uint8Array, at: number, size: number, port: number): Address {
  const group = (i: number) => bytes[i] << 8 | bytes[i + 1];
  const groups = Array.from({ length: size / 2 }, (_, i) => group(at + 2 * i));
  return { transport: "tcp", hostname: formatIp(size === 4 ? [...MAPPED, ...groups] : groups), port: group(port) };
}

/** Reads the path of a unix socket: 108 bytes, with zeros at its end. */
function unixAddress(bytes: Uint8Array, at: number): Address {
  const path = bytes.subarray(at, at + 108);
  const end = path.indexOf(0);
  return { transport: "unix", hostname: ascii(path, 0, end < 0 ? path.length : end), port: 0 };
}

/** The header of one connection. */
export class ProxyPreamble implements Preamble {
  readonly #parser: ProxyHeaderParser = new ProxyHeaderParser();
  readonly #onRefused: (reason: string) => void;

  /** @param onRefused Called once, if the connection is dropped because of its header, or because there is none. */
  constructor(onRefused: (reason: string) => void) {
    this.#onRefused = onRefused;
  }

  get remoteAddress(): Address | undefined {
    return this.#parser.header?.source;
  }

  get localAddress(): Address | undefined {
    return this.#parser.header?.destination;
  }

  receive(chunk: Uint8Array): number | undefined {
    const parser = this.#parser;
    const taken = parser.receive(chunk);
    if (parser.failure !== undefined) return void this.#onRefused(parser.failure);
    return parser.header === undefined ? -1 : taken;
  }

  onMissing(isLate: boolean): void {
    this.#onRefused(isLate ? "the PROXY header took too long" : "the connection ended before its PROXY header");
  }
}
