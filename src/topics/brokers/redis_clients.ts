/**
 * The clients for Redis that a program may give to the broker, by what they have in common with the two that are known, and their
 * connections.
 *
 * @module
 */

import { describe, utf8Decoder } from "../../values.ts";
import type { RedisCommand, RedisConnection, RedisEvents, RedisOpener } from "./redis_link.ts";

/** The members that the broker needs of a client of the package `redis`, version 6 or later. */
export interface NodeRedisClient {
  /** Makes a client with the same options and others. */
  duplicate(overrides?: object): NodeRedisClient;
  /** Connects. */
  connect(): Promise<unknown>;
  /** Disconnects at once. */
  destroy(): void;
  // deno-lint-ignore no-explicit-any
  /** Sends a command. */ sendCommand(args: any, options?: any): Promise<unknown>;
  // deno-lint-ignore no-explicit-any
  /** Subscribes to channels. */ subscribe(channels: any, listener: any, bufferMode?: any): Promise<unknown>;
  // deno-lint-ignore no-explicit-any
  /** Gives channels up. */ unsubscribe(channels?: any): Promise<unknown>;
  // deno-lint-ignore no-explicit-any
  /** Adds a listener. */ on(event: string, listener: (...args: any[]) => void): unknown;
}

/** The members that the broker needs of a client of the package `ioredis`, version 5.4 or later, or of one with its interface. */
export interface IoRedisClient {
  /** Makes a client with the same options and others. */
  duplicate(overrides?: object): IoRedisClient;
  /** Connects. */
  connect(): Promise<unknown>;
  /** Disconnects at once. */
  disconnect(): void;
  // deno-lint-ignore no-explicit-any
  /** Sends a command whose reply has bytes. */ callBuffer(command: string, ...args: any[]): Promise<unknown>;
  // deno-lint-ignore no-explicit-any
  /** Subscribes to channels. */ subscribe(...channels: any[]): Promise<unknown>;
  // deno-lint-ignore no-explicit-any
  /** Gives channels up. */ unsubscribe(...channels: any[]): Promise<unknown>;
  // deno-lint-ignore no-explicit-any
  /** Adds a listener. */ on(event: string, listener: (...args: any[]) => void): unknown;
}

/** A client for Redis. */
export type RedisClient = NodeRedisClient | IoRedisClient;

/** The class of bytes that the clients take and give, which is not one of the web. */
export interface ClientBytes {
  /** Returns bytes as an object of that class, without a copy. */
  from(buffer: ArrayBufferLike, offset: number, length: number): Uint8Array;
}

/** The options of clients that the tests have proved. Those of both packages: each ignores the others. */
export interface RedisClientOptions {
  /** `redis`: commands fail while there is no connection, and do not queue without limit. */
  readonly disableOfflineQueue: true;
  /** `redis`: connections are not made again by the client, but by the broker. */
  readonly socket: { reconnectStrategy: false; connectTimeout: number };
  /** `ioredis`: the client that is given does not connect. */
  readonly lazyConnect: true;
  /** `ioredis`: commands fail while there is no connection. */
  readonly enableOfflineQueue: false;
  /** `ioredis`: what may have been sent is not sent again. */
  readonly autoResendUnfulfilledCommands: false;
  /** `ioredis`: nor what has failed. */
  readonly maxRetriesPerRequest: 0;
  /** `ioredis`: the broker subscribes again. */
  readonly autoResubscribe: false;
  /** `ioredis`: the broker connects again. */
  readonly retryStrategy: () => null;
  /** `ioredis`: the time to connect, in milliseconds. */
  readonly connectTimeout: number;
}

const never = () => null;

/** Returns the options, anew each time: clients change them. */
export function clientOptions(): RedisClientOptions {
  return {
    disableOfflineQueue: true,
    socket: { reconnectStrategy: false, connectTimeout: 5000 },
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    retryStrategy: never,
    connectTimeout: 5000,
  };
}

/**
 * Returns a function that makes connections of a client.
 *
 * @param bytes The class of bytes that it takes.
 * @throws {TypeError} If it is no client that is known.
 */
export function openerOf(client: RedisClient, bytes: ClientBytes): RedisOpener {
  const has = (...names: string[]) =>
    names.every((name) => typeof (client as unknown as Record<string, unknown>)?.[name] === "function");
  const { isCluster, options } = (client ?? {}) as { isCluster?: unknown; options?: { sentinels?: unknown } };
  if (has("nodeClient") || has("getMasterNode") || isCluster === true || options?.sentinels) {
    throw new TypeError("Cannot make a broker: a client of one Redis server is needed, not of a cluster or Sentinel");
  }
  if (has("callBuffer", "duplicate", "disconnect")) {
    return (events) => new IoRedisConnection(client as IoRedisClient, bytes, events);
  }
  if (has("sendCommand", "duplicate", "destroy")) {
    return (events) => new NodeRedisConnection(client as NodeRedisClient, bytes, events);
  }
  const needed = "a client of the package redis (version 6 or later) or ioredis";
  throw new TypeError(
    `Cannot make a broker: ${needed} is needed, not ${typeof client === "string" ? "an address" : describe(client)}`,
  );
}

/** Returns a command as a client takes it. */
function argumentsOf(command: RedisCommand, bytes: ClientBytes): (string | Uint8Array)[] {
  return command.map((part) => typeof part === "string" ? part : bytes.from(part.buffer, part.byteOffset, part.byteLength));
}

function textOf(channel: string | Uint8Array): string {
  return typeof channel === "string" ? channel : utf8Decoder.decode(channel);
}

/** The type of strings in the protocol of Redis, as the package `redis` names it. */
const BLOB_STRING = 36;

class NodeRedisConnection implements RedisConnection {
  readonly connection: RedisConnection = this;
  readonly opened: Promise<unknown>;

  readonly #client: NodeRedisClient;
  readonly #bytes: ClientBytes;
  readonly #replies: object; // strings as bytes
  readonly #listener: (message: Uint8Array, channel: string | Uint8Array) => void;

  constructor(template: NodeRedisClient, bytes: ClientBytes, { onLost, onMessage }: RedisEvents) {
    const { socket } = (template as { options?: { socket?: object } }).options ?? {};
    const { disableOfflineQueue, socket: own } = clientOptions();
    const client = this.#client = template.duplicate({ disableOfflineQueue, socket: { ...socket, ...own } });
    this.#bytes = bytes;
    this.#replies = { typeMapping: { [BLOB_STRING]: bytes } };
    this.#listener = (message, channel) => onMessage(textOf(channel), message);
    client.on("error", onLost);
    client.on("end", () => onLost("the connection has ended"));
    this.opened = client.connect();
  }

  command(command: RedisCommand): Promise<unknown> {
    return this.#client.sendCommand(argumentsOf(command, this.#bytes), this.#replies);
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.#client.subscribe([...channels], this.#listener, true);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.#client.unsubscribe([...channels]);
  }

  destroy(): void {
    this.#client.destroy();
  }
}

class IoRedisConnection implements RedisConnection {
  readonly connection: RedisConnection = this;
  readonly opened: Promise<unknown>;

  readonly #client: IoRedisClient;
  readonly #bytes: ClientBytes;

  constructor(template: IoRedisClient, bytes: ClientBytes, { onLost, onMessage }: RedisEvents) {
    const { socket: _none, disableOfflineQueue: _too, ...own } = clientOptions();
    const client = this.#client = template.duplicate({ ...own, keyPrefix: "" });
    this.#bytes = bytes;
    client.on("messageBuffer", (channel: Uint8Array, message: Uint8Array) => onMessage(textOf(channel), message));
    client.on("error", onLost);
    client.on("close", () => onLost("the connection has ended"));
    this.opened = client.connect();
  }

  command([name, ...args]: RedisCommand): Promise<unknown> {
    return this.#client.callBuffer(name as string, ...argumentsOf(args, this.#bytes));
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.#client.subscribe(...channels);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.#client.unsubscribe(...channels);
  }

  destroy(): void {
    this.#client.disconnect();
  }
}
