/**
 * How answers leave a connection.
 *
 * @module
 */

import { writeAscii, writeLatin1 } from "../../bytes.ts";
import type { Connection } from "../../connection.ts";
import type { BodyCompression } from "../../http/content_coding.ts";
import type { RequestHead } from "../../http/head.ts";
import type { ResponseTarget } from "../../http/response.ts";
import type { Compression } from "../../websocket/deflate/compression.ts";
import type { HttpHost } from "./http_host.ts";

/** What is longer is sent by reference. */
const COPY_LIMIT = 32 * 1024;

/** The half of an `HttpSession` that sends: what answers know of their connection, and where their octets go. */
export abstract class HttpOutput implements ResponseTarget {
  /** The connection. */
  readonly connection: Connection;
  /** The compression that a handshake has agreed on. */
  compression: Compression | undefined = undefined;
  /** Swoole's `websocket_status` of a connection that is no WebSocket (yet): 0, 1 or 2; 5 after a refusal. */
  status = 0;

  protected readonly host: HttpHost;
  protected head: RequestHead | undefined = undefined; // of the request that is being answered
  protected over = false;

  constructor(connection: Connection, host: HttpHost) {
    this.connection = connection;
    this.host = host;
  }

  get isOpen(): boolean {
    return !this.over && this.connection.isOpen;
  }

  abstract get keepAlive(): boolean;

  get isHead(): boolean {
    return this.head!.method === "HEAD";
  }

  get takesChunks(): boolean {
    return this.head!.version === "1.1";
  }

  get isUpgrade(): boolean {
    return this.status !== 0;
  }

  get date(): string {
    return this.host.date;
  }

  /** `http` or `https`. */
  get scheme(): string {
    return this.host.isSecure ? "https" : "http";
  }

  get acceptEncoding(): string | undefined {
    return this.head!.header["accept-encoding"];
  }

  get bodyCompression(): BodyCompression | undefined {
    return this.host.bodyCompression;
  }

  hasRoom(size: number): boolean {
    return this.host.hasRoom(this.connection, size);
  }

  later(work: () => void): void {
    setTimeout(() => this.connection.gather(work), 0);
  }

  send(bytes: Uint8Array): void {
    const { connection } = this;
    if (bytes.length > COPY_LIMIT) return connection.appendCopy(bytes);
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

  abstract onEnd(status: number, keepAlive: boolean): void;

  onMisuse(): void {
    this.host.setError(7106);
  }

  close(): boolean {
    if (!this.isOpen) return false;
    this.connection.end(true);
    return true;
  }
}
