/**
 * Requests between the processes of a server: each has a reply, or ends by its deadline or with its link.
 *
 * @module
 */

import { EMPTY, sliceBytes } from "../transport/bytes.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";
import type { Link } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import { BodyReader, BodyWriter, REPLY, REQUEST } from "./wire.ts";

/**
 * Replies to the requests of one method. The body is lent for the length of the call. The message of an error, thrown or the reason
 * of a rejection, is sent to the process that has asked.
 */
export type RequestHandler = (link: Link, body: Uint8Array) => Uint8Array | PromiseLike<Uint8Array>;

/**
 * Why a request has no reply: the link is not there or has ended (`gone`), the time is over (`late`), too many requests or bytes
 * wait (`full`), or the other process could not reply (`failed`).
 */
export type RequestFailure = "gone" | "late" | "full" | "failed";

/** A request that has no reply. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  /** Why. */
  readonly failure: RequestFailure;

  constructor(failure: RequestFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** The number of requests that may wait for a reply over one link, in each direction. */
export const MOST_REQUESTS = 4096;

// What a reply begins with, after the number of the request.
const DONE = 0;
const FAILED = 1;
const BUSY = 2;

interface Pending {
  readonly due: number;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: RequestError) => void;
}

/** The requests of one process. */
export class Requests {
  readonly #mesh: Mesh;
  readonly #handlers: Map<number, RequestHandler> = new Map();
  readonly #pending: Map<Link, Map<number, Pending>> = new Map();
  readonly #served: Map<Link, number> = new Map();
  #last = 0; // number

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
    mesh.handle(REQUEST, (link, bytes, start, end) => this.#onRequest(link, new BodyReader(bytes, start, end)));
    mesh.handle(REPLY, (link, bytes, start, end) => this.#onReply(link, new BodyReader(bytes, start, end)));
    mesh.watch({ onLeft: (link) => this.#onLeft(link), onTick: (now) => this.#onTick(now) });
  }

  /** Sets what replies to the requests of a method. */
  serve(method: number, handler: RequestHandler): void {
    this.#handlers.set(method, handler);
  }

  /**
   * Sends a request.
   *
   * @param method The method.
   * @param body The body, which may be changed afterwards.
   * @param timeout How long to wait for the reply, in milliseconds; `Infinity` for as long as the process lives. It is checked
   * every 250 ms.
   * @returns The body of the reply. Rejects with a `RequestError`.
   */
  ask(link: Link | undefined, method: number, body: Uint8Array = EMPTY, timeout = 10_000): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const fail = (failure: RequestFailure, message: string) => reject(new RequestError(failure, message));
      if (link === undefined || !link.isOpen) return fail("gone", "the process is not there");
      let pending = this.#pending.get(link);
      if (pending === undefined) this.#pending.set(link, pending = new Map());
      if (pending.size >= MOST_REQUESTS) return fail("full", `${MOST_REQUESTS} requests wait for their reply`);
      const number = this.#last = (this.#last + 1) >>> 0;
      const head = new BodyWriter().uint32(number).uint16(method).take();
      if (!link.send(REQUEST, head, body)) return fail("full", "there is no room in the queue of the link");
      pending.set(number, { due: this.#mesh.now + timeout, resolve, reject });
    });
  }

  #onRequest(link: Link, reader: BodyReader): void {
    const number = reader.uint32();
    const handler = this.#handlers.get(reader.uint16());
    const count = this.#served.get(link) ?? 0;
    if (handler === undefined) return this.#reply(link, number, FAILED, utf8Encoder.encode("the method is unknown"));
    if (count >= MOST_REQUESTS) return this.#reply(link, number, BUSY, EMPTY);
    this.#served.set(link, count + 1);
    const settle = (status: number, body: Uint8Array) => {
      const served = this.#served.get(link);
      if (served !== undefined) this.#served.set(link, served - 1); // the link has not ended
      this.#reply(link, number, status, body);
    };
    const fail = (error: unknown) => settle(FAILED, utf8Encoder.encode(messageOf(error).slice(0, 1000)));
    try {
      const result = handler(link, reader.bytes.subarray(reader.at, reader.end));
      if (result instanceof Uint8Array) settle(DONE, result);
      else result.then((body) => settle(DONE, body), fail);
    } catch (error) {
      fail(error);
    }
  }

  #reply(link: Link, number: number, status: number, body: Uint8Array): void {
    const head = new BodyWriter().uint32(number).uint8(status).take();
    if (!link.isOpen || link.send(REPLY, head, body)) return;
    link.tell(REPLY, new BodyWriter().uint32(number).uint8(BUSY).take());
  }

  #onReply(link: Link, reader: BodyReader): void {
    const number = reader.uint32();
    const status = reader.uint8();
    const pending = this.#pending.get(link);
    const request = pending?.get(number);
    if (request === undefined) return; // it was late
    pending!.delete(number);
    const { bytes, at, end } = reader;
    if (status === DONE) request.resolve(sliceBytes(bytes, at, end));
    else if (status === BUSY) request.reject(new RequestError("full", "the process has too much to do"));
    else request.reject(new RequestError("failed", utf8Decoder.decode(bytes.subarray(at, end))));
  }

  #onLeft(link: Link): void {
    const pending = this.#pending.get(link);
    this.#pending.delete(link);
    this.#served.delete(link);
    for (const { reject } of pending?.values() ?? []) reject(new RequestError("gone", "the process has ended"));
  }

  #onTick(now: number): void {
    for (const pending of this.#pending.values()) {
      for (const [number, { due, reject }] of pending) {
        if (due > now) continue;
        pending.delete(number);
        reject(new RequestError("late", "the process has not replied in time"));
      }
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
