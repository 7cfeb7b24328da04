/**
 * A request with its response.
 *
 * @module
 */

import { appendLatin1, EMPTY, writeAscii, writeLatin1 } from "../../transport/bytes.ts";
import type { ConnectionData, EndCause } from "../../transport/connection_end.ts";
import type { Connection } from "../../transport/connection.ts";
import type { BodyCompression } from "../../http/content_coding.ts";
import type { BaseResponse } from "../../http/base_response.ts";
import type { HttpFailure, RequestHead } from "../../http/request_head.ts";
import { type HeadStart, switchingHead } from "../../http/response_head.ts";
import { type ResponseTarget, ResponseWriter } from "../../http/response_writer.ts";
import type { Address } from "../../transport/runtime.ts";
import type { FormFields } from "../../http/form.ts";
import type { Forwarded } from "../../http/forwarded.ts";
import { hasToken } from "../../http/field_values.ts";
import type { Compression } from "../../websocket/deflate/compression.ts";
import type { FormReader } from "./form_reader.ts";
import { HttpRequest, type HttpRequestOptions, type HttpRequestSource } from "./http_request.ts";
import { type BodySupply, RequestBody } from "./request_body.ts";

/** A refusal of a request or a handshake. */
export type HttpRefusal = Pick<HttpFailure, "status" | "reason">;

/** What an exchange needs of the class of its server. */
export interface ExchangeApplication {
  /** Creates the response as the program sees it. */
  makeResponse(exchange: Exchange): BaseResponse;
  /** Called before a response with status 101 is sent. */
  beforeSwitch?(exchange: Exchange): void;
  /** Called when the program uses a response that has ended. */
  onMisuse(exchange: Exchange): void;
}

/** What an exchange needs of its server. */
export interface ExchangeContext {
  /** See `ExchangeApplication`. */
  readonly application: ExchangeApplication;
  /** How requests are parsed. */
  readonly requestOptions: HttpRequestOptions;
  /** How bodies are compressed; `undefined` if they are not. */
  readonly bodyCompression: BodyCompression | undefined;
  /** The value of the `Date` field. */
  readonly date: string;
  /** Whether the scheme is `https`. */
  readonly isSecure: boolean;
  /** Returns what trusted proxies say of a request; `undefined` if it comes from somebody else. */
  forwardedOf(connection: Connection, head: RequestHead): Forwarded | undefined;
  /** Reports whether a queue of `queued` bytes has room for `size` more; sets the last-error code if not. */
  hasRoom(queued: number, size: number): boolean;
  /** Returns the data that the program keeps for a connection, if it can have any. */
  dataOf(fd: number): ConnectionData | undefined;
  /**
   * Called when the server, not the program, refuses a handshake or a request.
   *
   * @param head The head of the request, if it is known.
   */
  onRefused(connection: Connection, kind: "handshake" | "request", refusal: HttpRefusal, head: RequestHead | undefined): void;
}

/** What an exchange needs of the HTTP session of its connection. */
export interface ExchangeSession {
  /** The connection. */
  readonly connection: Connection;
  /** Whether the connection closes after the pending response. */
  readonly isClosing: boolean;
  /** Whether bytes have arrived that come after the pending request. */
  readonly hasMore: boolean;
  /** Swoole's `websocket_status` of a connection that is not (yet) a WebSocket: 0, 1 or 2; 5 after a refusal. */
  status: number;
  /** Closes the connection after the pending response. */
  closeBehind(cause: EndCause): void;
  /** Called when `deadline` has changed. */
  onDeadlineChange(): void;
  /** Called when a body that is read while it arrives is full, or has room again. */
  onUploadPauseChange(): void;
  /** Refuses a request whose handler is running while the body arrives. */
  refuseUpload(refusal: HttpRefusal): void;
  /** Called when a file has given the response back, without having sent it. */
  onReleased(exchange: Exchange): void;
  /** Called when the response has been sent or queued. */
  onComplete(exchange: Exchange, status: number, keepAlive: boolean): void;
}

/** Pages of the server itself. */
export interface OwnPages {
  /** Responds to a request for one of the pages. Returns `false` if it is for none; a promise if the response comes later. */
  respond(exchange: Exchange): boolean | Promise<void>;
}

/** The size up to which bytes of the server are copied; larger ones are sent by reference. */
const COPY_LIMIT = 32 * 1024;

/** The response is not complete. */
const PENDING = 0;
/** The response is complete, and has been handed to the connection. */
const COMPLETE = 1;
/** The response was a 101: the connection has changed to another protocol. */
const SWITCHED = 2;
/** The exchange ended without a complete response: the client disconnected, or the server dropped it. */
const CUT_OFF = 3;

/**
 * One request with its response: the bytes from the client, the response being made, the callbacks, and the deadline. It begins
 * with the head of the request and ends once: complete, switched to another protocol, or aborted. A response used later is
 * not sent, least of all as that of the next exchange of the connection.
 */
export class Exchange implements ResponseTarget, BodySupply, HttpRequestSource {
  /** The HTTP session of the connection. */
  readonly session: ExchangeSession;
  /** The part of the server that all exchanges share. */
  readonly context: ExchangeContext;
  /** The connection. */
  readonly connection: Connection;
  /** The head of the request. */
  readonly head: RequestHead;
  /** Whether the request is a WebSocket handshake. */
  readonly isUpgrade: boolean;
  /** When the request arrived, in milliseconds since 1970. */
  readonly time: number;
  /** The request. */
  readonly request: HttpRequest;
  body: Uint8Array;
  readonly upload: RequestBody | undefined;
  fields: FormFields | undefined = undefined;
  /** The form of the request, if it has files, from the start of reading on. */
  form: FormReader | undefined = undefined;
  /** The web `Request`. Held here, because in Node its signal no longer fires once the request has been garbage-collected. */
  webRequest: { abort(reason: unknown): void } | undefined = undefined;
  /** When the program must be done, on the clock of deadlines; 0 for never. */
  deadline = 0;
  /** Whether the program took longer than it may. */
  isExpired = false;
  /** Whether the handler has returned and left the response to a file that is being sent. */
  isHandedOver = false;
  /** Whether it is for a page of the server itself, which is neither counted nor logged. */
  isOwnPage = false;
  /** The status with which the server refused the request while its body arrived; 0 if it did not. */
  refusedStatus = 0;
  /** The number of bytes that the connection had sent before. */
  readonly sentBefore: number;
  /** The compression negotiated in a handshake. */
  compression: Compression | undefined = undefined;

  readonly #persists: boolean; // according to the client
  #writer: ResponseWriter | undefined = undefined;
  #response: BaseResponse | undefined = undefined;
  #state = PENDING;
  #collected = 0; // bytes of the response that wait for its end
  #holdsFiles = false; // of the form, until the response is complete
  #gone: Set<(reason: unknown) => void> | undefined = undefined;
  #aborter: AbortController | undefined = undefined;

  /** @param body The body of the request; `undefined` if it has yet to arrive. */
  constructor(
    session: ExchangeSession,
    context: ExchangeContext,
    head: RequestHead,
    body: Uint8Array | undefined,
    isUpgrade: boolean,
  ) {
    this.session = session;
    this.context = context;
    this.connection = session.connection;
    this.head = head;
    this.isUpgrade = isUpgrade;
    this.time = Date.now();
    this.sentBefore = this.connection.sentBytes;
    const option = head.header["connection"];
    // RFC 9112 section 9.3.
    this.#persists = head.version === "1.1"
      ? option === undefined || option === "keep-alive" || !hasToken(option, "close")
      : option !== undefined && hasToken(option, "keep-alive");
    this.body = body ?? EMPTY;
    this.upload = body === undefined ? new RequestBody(this) : undefined;
    this.request = new HttpRequest(this, context.requestOptions);
  }

  /** The response. */
  get writer(): ResponseWriter {
    return this.#writer ??= new ResponseWriter(this);
  }

  /** The response as the program sees it. */
  get response(): BaseResponse {
    return this.#response ??= this.context.application.makeResponse(this);
  }

  /** Whether a response can still be made. */
  get isWritable(): boolean {
    return this.#writer === undefined ? this.isOpen : this.#writer.isWritable;
  }

  /** Sends a response with status 101 and these fields. Most programs add nothing, so that nothing of a response has been made. */
  switchProtocols(fields: readonly (readonly [name: string, value: string])[]): void {
    if (this.#writer !== undefined) return this.#writer.switchProtocols(fields);
    this.sendHead(switchingHead(fields, this.date));
    this.onEnd(101, false);
  }

  /** The number of bytes of memory that the request takes. */
  get heldBytes(): number {
    const { body, form, head, upload } = this;
    return head.text.length + (upload?.heldBytes ?? body.length) + this.#collected + (form?.heldBytes ?? 0);
  }

  /** The size of the request as it arrived: its head, and its body without the framing of chunks. */
  get receivedBytes(): number {
    return this.head.text.length + 2 + (this.upload?.receivedBytes ?? this.body.length);
  }

  onCollected(size: number): void {
    this.#collected += size;
    this.connection.grown += size;
  }

  /** Whether the response has been passed to the connection completely. */
  get isComplete(): boolean {
    return this.#state === COMPLETE;
  }

  /** Whether the exchange has ended, in any way. */
  get isOver(): boolean {
    return this.#state !== PENDING;
  }

  /** Whether the connection has changed to another protocol. */
  get isSwitched(): boolean {
    return this.#state === SWITCHED;
  }

  /** Keeps the temporary files of the form until the response is complete. */
  holdFiles(): void {
    this.#holdsFiles = true;
  }

  // ---- HttpRequestSource --------------------------------------------------------------------------------------------

  get fd(): number {
    return this.connection.fd;
  }

  get isReceived(): boolean {
    return this.upload === undefined || this.upload.isComplete;
  }

  get localAddress(): Address | undefined {
    return this.connection.pipe.localAddress;
  }

  /** The address of the client, which may have connected through trusted proxies. */
  get remoteAddress(): Address | undefined {
    return this.forwarded?.client ?? this.connection.remoteAddress;
  }

  /** What trusted proxies say of the request; `undefined` if it comes from somebody else. */
  get forwarded(): Forwarded | undefined {
    return this.context.forwardedOf(this.connection, this.head);
  }

  /** The data that the program keeps for the WebSocket that a handshake leads to. */
  get data(): ConnectionData | undefined {
    if (!this.isUpgrade) return undefined;
    return this.context.dataOf(this.fd) ?? this.connection.protocol.closeInfo?.data;
  }

  // ---- waiting ------------------------------------------------------------------------------------------------------

  /** A signal that aborts when the exchange is cut off or, after a 101, when the connection ends. Created on first use. */
  get signal(): AbortSignal {
    if (this.#aborter !== undefined) return this.#aborter.signal;
    const { signal } = this.#aborter = new AbortController();
    if (this.#state === SWITCHED) this.#followConnection();
    else if (this.#state === CUT_OFF) this.#abortSignal(clientGone());
    return signal;
  }

  /** Reports whether an error only says that the signal has aborted. */
  isAbortedBy(error: unknown): boolean {
    const signal = this.#aborter?.signal;
    return signal?.aborted === true && (error === signal.reason || (error instanceof Error && error.name === "AbortError"));
  }

  #abortSignal(reason: unknown): void {
    this.#aborter?.abort(reason);
    this.webRequest?.abort(reason);
  }

  #followConnection(): void {
    const { connection } = this;
    const abort = () => this.#abortSignal(new DOMException("The connection has ended", "AbortError"));
    if (connection.isOpen) connection.onOver = abort;
    else abort();
  }

  /**
   * Registers a callback for when the exchange is cut off or takes too long. Calls it at once if the exchange is already cut off.
   *
   * @returns A function that removes the callback.
   */
  onGone(callback: (reason: unknown) => void): () => void {
    if (this.#state === CUT_OFF) callback(clientGone());
    if (this.#state !== PENDING) return () => {};
    const gone = this.#gone ??= new Set();
    gone.add(callback);
    return () => void gone.delete(callback);
  }

  /** Notifies everything that waits for this exchange of its cancellation. */
  cancel(reason: unknown): void {
    const gone = this.#gone;
    this.#gone = undefined;
    if (gone !== undefined) { for (const callback of gone) callback(reason); }
    this.#abortSignal(reason);
  }

  /** Ends the exchange without a complete response. */
  cutOff(): void {
    if (this.#state !== PENDING) return;
    this.#state = CUT_OFF;
    this.#dispose("the client has gone");
    this.cancel(clientGone());
  }

  #dispose(reason: string): void {
    this.upload?.fail(reason);
    if (this.#holdsFiles) this.form!.release();
  }

  /** Resolves to `true` when all output has been taken, or to `false` as soon as the client disconnects. */
  drained(): Promise<boolean> {
    const { connection } = this;
    if (connection.queuedBytes === 0) return Promise.resolve(this.isOpen || (this.isComplete && !connection.hasLost));
    return new Promise((resolve) => {
      const forget = this.onGone(() => resolve(false));
      connection.whenTaken().then((taken) => {
        forget();
        resolve(taken && (this.isOpen || this.isComplete));
      });
    });
  }

  // ---- BodySupply ---------------------------------------------------------------------------------------------------

  onWanted(): void {
    const { upload } = this;
    if (!upload?.clientWaits || !this.isOpen || this.writer.headSent) return;
    upload.clientWaits = false;
    this.connection.gather(() => this.sendHead("HTTP/1.1 100 Continue\r\n\r\n"));
  }

  onPauseChange(): void {
    if (this.isOpen) this.session.onUploadPauseChange();
  }

  onTooLarge(): void {
    if (this.isOpen) this.session.refuseUpload({ status: 413, reason: "the body is too large" });
  }

  // ---- ResponseTarget -----------------------------------------------------------------------------------------------

  get isOpen(): boolean {
    return this.#state === PENDING && this.connection.isOpen;
  }

  get keepAlive(): boolean {
    return this.#persists && !this.isUpgrade && !this.session.isClosing && this.isReceived;
  }

  get isHead(): boolean {
    return this.head.method === "HEAD";
  }

  get takesChunks(): boolean {
    return this.head.version === "1.1";
  }

  /** Whether a body may end with the connection: that requires a reset, so that the client can detect a truncated body. */
  get canStreamToEnd(): boolean {
    return this.connection.canReset;
  }

  get date(): string {
    return this.context.date;
  }

  /** The scheme that the client used, as far as is known. */
  get scheme(): "http" | "https" {
    return this.forwarded?.scheme ?? (this.context.isSecure ? "https" : "http");
  }

  get acceptEncoding(): string | undefined {
    return this.head.header["accept-encoding"];
  }

  get bodyCompression(): BodyCompression | undefined {
    return this.context.bodyCompression;
  }

  hasRoom(size: number, queued: number = this.connection.queuedBytes): boolean {
    return this.context.hasRoom(queued, size);
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
    appendLatin1(this.connection, text);
  }

  sendStart(start: HeadStart, rest: string): void {
    const { connection } = this;
    const { length } = start.text;
    const at = connection.reserve(length + rest.length);
    start.write(connection.memory, at);
    writeLatin1(rest, connection.memory, at + length);
    connection.commit(length + rest.length);
  }

  sendText(start: HeadStart, rest: string, body: string): boolean {
    const { connection } = this;
    const before = start.text.length + rest.length;
    const size = before + body.length;
    if (size > COPY_LIMIT) return false;
    const at = connection.reserve(size);
    if (!writeAscii(body, connection.memory, at + before)) return false;
    start.write(connection.memory, at);
    writeLatin1(rest, connection.memory, at + start.text.length);
    connection.commit(size);
    return true;
  }

  beforeSwitch(): void {
    this.context.application.beforeSwitch?.(this);
  }

  onEnd(status: number, keepAlive: boolean): void {
    if (this.#state !== PENDING) return;
    this.#state = status === 101 ? SWITCHED : COMPLETE;
    this.#gone = undefined;
    this.#dispose("the response was complete before it had arrived");
    this.session.onComplete(this, status, keepAlive);
    if (this.#state === SWITCHED && this.#aborter !== undefined) this.#followConnection();
  }

  /** Completes the response after a file gave it back (`sendfile()`, static files), if the handler has already returned. */
  onReleased(): void {
    if (this.isHandedOver && this.isOpen) this.session.onReleased(this);
  }

  onMisuse(): void {
    this.context.application.onMisuse(this);
  }

  close(): void {
    this.connection.end(true);
  }

  abort(): void {
    this.connection.abort();
  }

  breakOff(byServer = true, cause?: EndCause): void {
    if (this.writer.isFramed) this.connection.end(byServer, cause);
    else this.connection.cutOff(byServer, cause);
  }
}

function clientGone(): DOMException {
  return new DOMException("The client has gone", "AbortError");
}
