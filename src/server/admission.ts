/**
 * Admission of new connections: the limits for all connections, for those of one address, and for handshakes per second.
 *
 * @module
 */

import type { Connection, ConnectionOrigin, Protocol } from "../transport/connection.ts";
import type { AcceptGate, Address, BytePipe, HandshakeGate, PreambleGate } from "../transport/runtime.ts";
import { ProxyPreamble } from "../transport/proxy_protocol.ts";
import { dropPipe } from "../transport/pipes.ts";
import type { ConnectionTable } from "../transport/connection_table.ts";
import { formatIp, ipOfPeer, isIpv4, type TrustedProxies } from "../transport/ip_addresses.ts";
import { AcceptPace } from "./accept_pace.ts";
import { type Denial, ipOf, type Refusals } from "./refusals.ts";
import type { ResolvedSettings } from "./settings/settings.ts";

/** What admission needs of the port on which a connection arrives. */
interface AdmittingPort extends ConnectionOrigin {
  /** Creates the protocol of a connection. */
  makeProtocol(connection: Connection): Protocol;
  /** The proxies whose connections are those of many clients. */
  readonly proxies: TrustedProxies | undefined;
  /** The settings of the port. */
  readonly settings: Pick<ResolvedSettings, "backlog">;
  /** See `ProtocolFactory`. */
  readonly factory: { refuse?(connection: Connection, denial: Denial): Protocol };
}

/** The settings of admission. */
type AdmissionSettings = Pick<
  ResolvedSettings,
  "accept_rate" | "max_connection_per_ip" | "max_handshake_rate" | "max_handshake_rate_per_ip"
>;

const TOO_MANY = "there are too many connections";
const UNTRUSTED = "only trusted proxies may connect here";
const TOO_FAST = "there are too many TLS handshakes at a time";
const TOO_MANY_NEW = "too many connections wait to begin";
const TOO_MANY_OF_ADDRESS = "there are too many connections of this address";

/** The retry delay, in seconds, while connections or memory are used up: roughly the time until some are released. */
const RETRY_CONNECTION = 5;

const NO_MEMORY: Denial = { reason: "the server is short of memory", setting: "max_buffer_memory", retryAfter: RETRY_CONNECTION };
const ADDRESS_FULL: Denial = { reason: TOO_MANY_OF_ADDRESS, setting: "max_connection_per_ip", retryAfter: RETRY_CONNECTION };
const HANDSHAKES: Denial = { reason: "there are too many handshakes at a time", setting: "max_handshake_rate", retryAfter: 1 };
const HANDSHAKES_OF_ADDRESS: Denial = {
  reason: "there are too many handshakes of this address at a time",
  setting: "max_handshake_rate_per_ip",
  retryAfter: 1,
};

/** The admission control of one server. */
export class Admission {
  readonly #table: ConnectionTable;
  readonly #refusals: Refusals;
  readonly #mostOfAddress: number;
  readonly #rate: number;
  readonly #rateOfAddress: number;
  readonly #addresses: AddressTable | undefined;
  readonly #records: Map<Connection, AddressRecord> = new Map();
  readonly #handshakes: TokenBucket;
  readonly #tlsHandshakes: TokenBucket;
  readonly #pace: AcceptPace | undefined;

  constructor(settings: AdmissionSettings, table: ConnectionTable, refusals: Refusals) {
    const { accept_rate, max_connection_per_ip, max_handshake_rate, max_handshake_rate_per_ip } = settings;
    this.#pace = accept_rate > 0 ? new AcceptPace(accept_rate) : undefined;
    this.#table = table;
    this.#refusals = refusals;
    this.#mostOfAddress = max_connection_per_ip || Infinity;
    this.#rate = max_handshake_rate;
    this.#rateOfAddress = max_handshake_rate_per_ip;
    const isCounted = max_connection_per_ip > 0 || max_handshake_rate_per_ip > 0;
    this.#addresses = isCounted ? new AddressTable(max_handshake_rate_per_ip) : undefined;
    this.#handshakes = new TokenBucket(this.#rate, table.time);
    this.#tlsHandshakes = new TokenBucket(this.#rate, table.time);
  }

  /** The number of addresses on record. */
  get addressCount(): number {
    return this.#addresses?.size ?? 0;
  }

  /** The number of connections that wait because of `accept_rate`. */
  get waitingCount(): number {
    return this.#pace?.size ?? 0;
  }

  /** Accepts a connection, refuses it with a response, or drops it. Returns its fd, or 0 if it was not accepted. */
  accept(pipe: BytePipe, port: AdmittingPort): number {
    const table = this.#table;
    if (!table.hasRoom()) return this.#drop(pipe, TOO_MANY, "max_connection");
    const record = this.#addresses && this.#record(pipe.remoteAddress, port.proxies);
    const most = this.#mostOfAddress;
    // A connection that is refused with a response counts until the response is sent: at most `max_connection_per_ip` of them are
    // kept.
    if (record !== undefined && record.connections >= 2 * most) {
      return this.#drop(pipe, TOO_MANY_OF_ADDRESS, "max_connection_per_ip");
    }
    const denial = record !== undefined && record.connections >= most
      ? ADDRESS_FULL
      : table.memory.isScarce
      ? NO_MEMORY
      : undefined;
    // Counted before the protocol starts: the connection may already be released when `table.accept()` returns.
    if (denial === undefined) {
      return table.accept(pipe, (connection) => port.makeProtocol(this.#count(connection, record)), port)!.fd;
    }
    const { factory } = port;
    if (factory.refuse === undefined) return this.#drop(pipe, denial.reason, denial.setting);
    this.#tell("connection", 503, denial, pipe.remoteAddress);
    table.refuse(pipe, (connection) => factory.refuse!(this.#count(connection, record), denial), port);
    return 0;
  }

  #count(connection: Connection, record: AddressRecord | undefined): Connection {
    if (record === undefined) return connection;
    record.connections++;
    this.#records.set(connection, record);
    return connection;
  }

  /** Removes a connection whose transport is gone from the counters. */
  onReleased(connection: Connection): void {
    const record = this.#records.get(connection);
    if (record === undefined) return;
    this.#records.delete(connection);
    record.connections--;
  }

  /** Reports a connection that is closed because memory is scarce. */
  onShed(address: Address | undefined): void {
    this.#tell("connection", 0, NO_MEMORY, address);
  }

  /** Returns the record of an address, if addresses are counted. Those of trusted proxies are not. */
  #record(address: Address | undefined, proxies?: TrustedProxies): AddressRecord | undefined {
    const addresses = this.#addresses;
    if (addresses === undefined || proxies?.trusts(address)) return undefined;
    addresses.sweep(this.#table.time);
    return addresses.record(address);
  }

  #drop(pipe: BytePipe, reason: string, setting: string): 0 {
    const { remoteAddress } = pipe;
    dropPipe(pipe);
    this.#tell("connection", 0, { reason, setting }, remoteAddress);
    return 0;
  }

  #tell(kind: "connection" | "request", status: number, denial: Pick<Denial, "reason" | "setting">, from?: Address): void {
    this.#refusals.add({ kind, status, reason: denial.reason, setting: denial.setting, address: ipOf(from) });
  }

  // ---- new connections ----------------------------------------------------------------------------------------------

  /** Returns the gate for new connections on a port, if not all begin at once. */
  acceptsOf({ settings }: AdmittingPort): AcceptGate | undefined {
    const tell = (reason: string, setting: string, from?: Address) => this.#tell("connection", 0, { reason, setting }, from);
    return this.#pace?.of({
      most: settings.backlog,
      enter: (address) => {
        const hasRoom = this.#table.enterHandshake();
        if (!hasRoom) tell(TOO_MANY, "max_connection", address);
        return hasRoom;
      },
      leave: () => this.#table.leaveHandshake(),
      onRefused: (address) => tell(TOO_MANY_NEW, "accept_rate", address),
    });
  }

  // ---- the PROXY protocol -------------------------------------------------------------------------------------------

  /** Returns the gate for headers of the PROXY protocol on a port. */
  preamblesOf({ proxies }: AdmittingPort): PreambleGate {
    const refuse = (address: Address, reason: string, setting: string): false => {
      this.#tell("connection", 0, { reason, setting }, address);
      return false;
    };
    return {
      enter: (address) => {
        if (!proxies?.trusts(address)) return refuse(address, UNTRUSTED, "trusted_proxies");
        return this.#table.enterHandshake() || refuse(address, TOO_MANY, "max_connection");
      },
      leave: () => this.#table.leaveHandshake(),
      begin: (address) => new ProxyPreamble((reason) => refuse(address, reason, "proxy_protocol")),
    };
  }

  // ---- TLS ----------------------------------------------------------------------------------------------------------

  /** Returns the gate for TLS handshakes on a port. */
  gateOf({ proxies }: AdmittingPort): HandshakeGate {
    return {
      enter: (address) => this.#enter(address, proxies),
      leave: (address) => this.#leave(address, proxies),
    };
  }

  #enter(address: Address, proxies: TrustedProxies | undefined): boolean {
    const refuse = (reason: string, setting: string): false => {
      this.#tell("connection", 0, { reason, setting }, address);
      return false;
    };
    const record = this.#record(address, proxies);
    if (record !== undefined && record.connections >= 2 * this.#mostOfAddress) {
      return refuse(TOO_MANY_OF_ADDRESS, "max_connection_per_ip");
    }
    if (record !== undefined && this.#rateOfAddress > 0) {
      const { time } = this.#table;
      const bucket = record.tlsHandshakes ??= new TokenBucket(this.#rateOfAddress, time);
      if (!bucket.take(this.#rateOfAddress, time)) return refuse(TOO_FAST, "max_handshake_rate_per_ip");
    }
    if (this.#rate > 0 && !this.#tlsHandshakes.take(this.#rate, this.#table.time)) return refuse(TOO_FAST, "max_handshake_rate");
    if (!this.#table.enterHandshake()) return refuse(TOO_MANY, "max_connection");
    if (record !== undefined) record.connections++;
    return true;
  }

  #leave(address: Address, proxies: TrustedProxies | undefined): void {
    this.#table.leaveHandshake();
    const record = proxies?.trusts(address) ? undefined : this.#addresses?.record(address);
    if (record !== undefined) record.connections--;
  }

  // ---- WebSockets ---------------------------------------------------------------------------------------------------

  /**
   * Counts a WebSocket handshake. Returns the reason if it is refused.
   *
   * @param client The address of the client, if it has connected through trusted proxies: the connection is then counted for it.
   */
  refuseHandshake(connection: Connection, client?: Address): Denial | undefined {
    if (client !== undefined && this.#mostOfAddress < Infinity) {
      const own = this.#record(client);
      if (own !== undefined && own.connections >= this.#mostOfAddress) return ADDRESS_FULL;
      this.#count(connection, own);
    }
    if (this.#rate === 0 && this.#rateOfAddress === 0) return undefined;
    const { time } = this.#table;
    const record = this.#rateOfAddress > 0 ? this.#record(client ?? connection.remoteAddress) : undefined;
    if (record !== undefined) {
      const bucket = record.handshakes ??= new TokenBucket(this.#rateOfAddress, time);
      if (!bucket.take(this.#rateOfAddress, time)) return HANDSHAKES_OF_ADDRESS;
    }
    if (this.#rate > 0 && !this.#handshakes.take(this.#rate, time)) return HANDSHAKES;
    return undefined;
  }
}

/** A rate limiter: `rate` tokens per second, with a burst of one second's worth. */
export class TokenBucket {
  #tokens: number;
  #at: number;

  constructor(rate: number, now: number) {
    this.#tokens = rate;
    this.#at = now;
  }

  /** Takes a token. Returns whether one was available. */
  take(rate: number, now: number): boolean {
    this.#fill(rate, now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Reports whether no token is missing, so that the bucket can be discarded. */
  isFull(rate: number, now: number): boolean {
    this.#fill(rate, now);
    return this.#tokens === rate;
  }

  #fill(rate: number, now: number): void {
    this.#tokens = Math.min(rate, this.#tokens + Math.max(0, now - this.#at) * rate / 1000);
    this.#at = now;
  }
}

/** The counters of one address. */
class AddressRecord {
  /** The number of its connections: open, in a TLS handshake, or lingering. */
  connections = 0;
  /** The limiter of its WebSocket handshakes, once there was one. */
  handshakes: TokenBucket | undefined = undefined;
  /** The limiter of its TLS handshakes, once there was one. */
  tlsHandshakes: TokenBucket | undefined = undefined;
}

/** The interval between two sweeps of the records, in milliseconds: a bucket is full again after a second. */
const SWEEP_INTERVAL = 1000;

/** The records of all addresses that have a connection, or had one within the last seconds. */
export class AddressTable {
  readonly #rate: number;
  readonly #records: Map<string, AddressRecord> = new Map();
  #sweptAt = 0;

  /** @param rate The number of handshakes per second that an address may begin; 0 for no limit. */
  constructor(rate: number) {
    this.#rate = rate;
  }

  /** The number of records. */
  get size(): number {
    return this.#records.size;
  }

  /** Returns the record of an address, creating it if necessary; `undefined` for unix sockets and unknown addresses. */
  record(address: Address | undefined): AddressRecord | undefined {
    if (address === undefined || address.transport === "unix") return undefined;
    const group = addressGroup(address.hostname);
    let record = this.#records.get(group);
    if (record === undefined) this.#records.set(group, record = new AddressRecord());
    return record;
  }

  /** Removes records without a connection whose buckets are full. Call it regularly. */
  sweep(now: number): void {
    if (now < this.#sweptAt + SWEEP_INTERVAL) return;
    this.#sweptAt = now;
    const rate = this.#rate;
    for (const [group, { connections, handshakes, tlsHandshakes }] of this.#records) {
      if (connections > 0 || handshakes?.isFull(rate, now) === false || tlsHandshakes?.isFull(rate, now) === false) continue;
      this.#records.delete(group);
    }
  }
}

/**
 * Returns the key under which an IP address is counted: an IPv4 address as it is, also if it is mapped into IPv6; of an IPv6
 * address the first 64 bits, which usually belong to one customer.
 */
export function addressGroup(hostname: string): string {
  const ip = ipOfPeer({ transport: "tcp", hostname, port: 0 });
  if (ip === undefined) return hostname; // of a pipe that the program has made
  return isIpv4(ip) ? formatIp(ip) : `${ip.slice(0, 4).map((group) => group.toString(16)).join(":")}::/64`;
}
