/**
 * A request with its response.
 *
 * @module
 */

import { writeAscii, writeLatin1 } from "../../bytes.ts";
import type { Connection } from "../../connection.ts";
import type { BodyCompression } from "../../http/content_coding.ts";
import type { RequestHead } from "../../http/head.ts";
import type { RequestSource } from "../../http/request.ts";
import type { ResponseTarget } from "../../http/response.ts";
import type { Address } from "../../runtime.ts";
import { hasToken } from "../../websocket/handshake.ts";
import type { FormReader } from "./form_reader.ts";
import { HttpRequest } from "./http_request.ts";
import type { WaitingResponse } from "./http_response.ts";
import type { HttpSession } from "./http_session.ts";
import { type BodySupply, RequestBody } from "./request_body.ts";

/** Bytes of our own that are more than this are sent by reference. */
const COPY_LIMIT = 32 * 1024;

/** The response is not complete. */
const PENDING = 0;
/** The response is complete, and has been handed to the connection. */
const COMPLETE = 1;
/** The response was a 101: the connection speaks another protocol now. */
const SWITCHED = 2;
/** It ended without a complete response: the client has gone, or we have dropped it. */
const CUT_OFF = 3;

/**
 * One request with its response: what the client sent, what makes the response, what waits for it, how long it may take. It
 * begins when the head of the request is there and ends once: with a complete response, with another protocol, or cut off.
 * Whatever its response does later reaches nobody, least of all the next exchange of the connection.
 */
export class Exchange implements ResponseTarget, BodySupply, RequestSource {
  /** Its connection's HTTP. */
  readonly session: HttpSession;
  /** Its connection. */
  readonly connection: Connection;
  /** The head of the request. */
  readonly head: RequestHead;
  /** Whether it is a handshake. */
  readonly isUpgrade: boolean;
  /** When the request was there, milliseconds since 1970. */
  readonly time: number;
  /** The request. */
  readonly request: HttpRequest;
  /** The response. */
  readonly response: WaitingResponse;
  /** The body of the request, if it is read while it arrives. */
  readonly upload: RequestBody | undefined;
  /** The form of the request, while its temporary files are kept for the response. */
  form: FormReader | undefined = undefined;
  /** The web's picture of the request. It is held here, since in Node its signal tells nothing once it has been collected. */
  webRequest: Request | undefined = undefined;
  /** When the program has to be done, on the clock of deadlines; 0 for never. */
  deadline = 0;
  /** Whether the handler has returned and left the response to a file that is being sent. */
  isHandedOver = false;

  readonly #persists: boolean; // as far as the client is concerned
  #state = PENDING;
  #gone: Set<(reason: unknown) => void> | undefined = undefined;
  #aborter: AbortController | undefined = undefined;

  /** @param body The body of the request; without one it is still to arrive. */
  constructor(session: HttpSession, head: RequestHead, body: Uint8Array | undefined, isUpgrade: boolean) {
    const { host, connection } = session;
    this.session = session;
    this.connection = connection;
    this.head = head;
    this.isUpgrade = isUpgrade;
    this.time = Date.now();
    const option = head.header["connection"];
    // RFC 9112 section 9.3.
    this.#persists = head.version === "1.1"
      ? option === undefined || !hasToken(option, "close")
      : option !== undefined && hasToken(option, "keep-alive");
    this.upload = body === undefined ? new RequestBody(this) : undefined;
    this.request = new HttpRequest(head, body ?? this.upload, host.requestOptions, this);
    this.response = host.makeResponse(this, this.request);
  }

  /** Whether it has ended, one way or another. */
  get isOver(): boolean {
    return this.#state !== PENDING;
  }

  // ---- RequestSource ------------------------------------------------------------------------------------------------

  get fd(): number {
    return this.connection.fd;
  }

  get localAddress(): Address | undefined {
    return this.connection.localAddress;
  }

  get remoteAddress(): Address | undefined {
    return this.connection.remoteAddress;
  }

  // ---- who waits for it ---------------------------------------------------------------------------------------------

  /** Aborts when the exchange is cut off, or behind a 101 when the connection ends. Made on first use. */
  get signal(): AbortSignal {
    if (this.#aborter !== undefined) return this.#aborter.signal;
    const { signal } = this.#aborter = new AbortController();
    if (this.#state === SWITCHED) this.#followConnection();
    else if (this.#state === CUT_OFF) this.#abortSignal(clientGone());
    return signal;
  }

  #abortSignal(reason: unknown): void {
    this.#aborter?.abort(reason);
  }

  #followConnection(): void {
    const { connection } = this;
    const abort = () => this.#abortSignal(new DOMException("The connection has ended", "AbortError"));
    if (connection.isOpen) connection.onOver = abort;
    else abort();
  }

  /**
   * Calls back, at once or later, when the exchange is cut off or takes too long.
   *
   * @returns Takes the callback back.
   */
  onGone(callback: (reason: unknown) => void): () => void {
    if (this.#state === CUT_OFF) callback(clientGone());
    if (this.#state !== PENDING) return () => {};
    const gone = this.#gone ??= new Set();
    gone.add(callback);
    return () => void gone.delete(callback);
  }

  /** Tells everybody who waits for it that nobody waits for them any more. */
  cancel(reason: unknown): void {
    const gone = this.#gone;
    this.#gone = undefined;
    if (gone !== undefined) { for (const callback of gone) callback(reason); }
    this.#abortSignal(reason);
  }

  /** Ends it without a complete response. */
  cutOff(): void {
    if (this.#state !== PENDING) return;
    this.#state = CUT_OFF;
    this.#dispose("the client has gone");
    this.cancel(clientGone());
  }

  #dispose(reason: string): void {
    this.upload?.fail(reason);
    this.form?.release();
    this.form = undefined;
  }

  /** Resolves when all that was sent was taken: to `true`, or to `false` as soon as the client has gone. */
  drained(): Promise<boolean> {
    const { connection } = this;
    if (connection.queuedBytes === 0) return Promise.resolve(this.isOpen || (this.#state === COMPLETE && connection.isOpen));
    return new Promise((resolve) => {
      const forget = this.onGone(() => resolve(false));
      connection.whenTaken().then((taken) => {
        forget();
        resolve(taken && connection.isOpen);
      });
    });
  }

  // ---- BodySupply ---------------------------------------------------------------------------------------------------

  onWanted(): void {
    const { upload } = this;
    if (!upload?.clientWaits || !this.isOpen || this.response.headSent) return;
    upload.clientWaits = false;
    this.connection.gather(() => this.sendHead("HTTP/1.1 100 Continue\r\n\r\n"));
  }

  onPauseChange(): void {
    if (this.isOpen) this.session.onUploadPauseChange();
  }

  onTooLarge(): void {
    if (this.isOpen) this.session.refuseUpload(413, "the body is too large");
  }

  // ---- ResponseTarget -----------------------------------------------------------------------------------------------

  get isOpen(): boolean {
    return this.#state === PENDING && this.connection.isOpen;
  }

  get keepAlive(): boolean {
    return this.#persists && !this.isUpgrade && !this.session.isClosing && (this.upload === undefined || this.upload.isComplete);
  }

  get isHead(): boolean {
    return this.head.method === "HEAD";
  }

  get takesChunks(): boolean {
    return this.head.version === "1.1";
  }

  /** A body that ends with its connection has to look cut off when it is. */
  get canStreamToEnd(): boolean {
    return this.connection.canReset;
  }

  get date(): string {
    return this.session.host.date;
  }

  /** `http` or `https`. */
  get scheme(): string {
    return this.session.host.isSecure ? "https" : "http";
  }

  get acceptEncoding(): string | undefined {
    return this.head.header["accept-encoding"];
  }

  get bodyCompression(): BodyCompression | undefined {
    return this.session.host.bodyCompression;
  }

  hasRoom(size: number, queued: number = this.connection.queuedBytes): boolean {
    return this.session.host.hasRoom(queued, size);
  }

  later(work: () => void): void {
    setTimeout(() => this.connection.gather(work), 0);
  }

  send(bytes: Uint8Array, isOurs: boolean): void {
    const { connection } = this;
    if (bytes.length > COPY_LIMIT) return isOurs ? connection.append(bytes) : connection.appendCopy(bytes);
    const at = connection.reserve(bytes.length);
    connection.memory.set(bytes, at);
    connection.commit(bytes.length);
  }

  sendHead(text: string): void {
    const { connection } = this;
    const at = connection.reserve(text.length);
    writeLatin1(text, connection.memory, at);
    connection.commit(text.length);
  }

  sendText(head: string, body: string): boolean {
    const { connection } = this;
    const size = head.length + body.length;
    if (size > COPY_LIMIT) return false;
    const at = connection.reserve(size);
    if (!writeAscii(body, connection.memory, at + head.length)) return false;
    writeLatin1(head, connection.memory, at);
    connection.commit(size);
    return true;
  }

  onEnd(status: number, keepAlive: boolean): void {
    if (this.#state !== PENDING) return;
    this.#state = status === 101 ? SWITCHED : COMPLETE;
    this.#gone = undefined;
    this.#dispose("the response was complete before it had arrived");
    this.session.onComplete(this, status, keepAlive);
    if (this.#state === SWITCHED && this.#aborter !== undefined) this.#followConnection();
  }

  /** Nothing else makes a response any more that the program has left to it; if the program is done too, somebody has to. */
  onReleased(): void {
    if (this.isHandedOver && this.isOpen) this.session.completeUnfinished(this);
  }

  onMisuse(): void {
    this.session.host.setError(7106);
  }

  close(): boolean {
    if (!this.isOpen) return false;
    this.connection.end(true);
    return true;
  }

  abort(): void {
    if (this.isOpen) this.connection.abort();
  }
}

function clientGone(): DOMException {
  return new DOMException("The client has gone", "AbortError");
}
