/**
 * What an answer is sent to.
 *
 * @module
 */

import type { BodyCompression } from "./content_coding.ts";

/** The exchange that a response belongs to. */
export interface ResponseTarget {
  /** Whether the peer can still be answered. */
  readonly isOpen: boolean;
  /** Whether the connection stays open after this answer, as far as the request is concerned. */
  readonly keepAlive: boolean;
  /** Whether the request was HEAD: then no body is sent. */
  readonly isHead: boolean;
  /** Whether the peer takes chunks (HTTP/1.1). */
  readonly takesChunks: boolean;
  /** Whether this answers a WebSocket handshake. */
  readonly isUpgrade: boolean;
  /** The value for `Date`. */
  readonly date: string;
  /** The value of the request's Accept-Encoding. */
  readonly acceptEncoding?: string | undefined;
  /** How bodies are compressed, if they are. */
  readonly bodyCompression?: BodyCompression | undefined;
  /** Whether the queue takes so many octets more; otherwise the last-error code is 1009. */
  hasRoom?(size: number): boolean;
  /** Calls back in a later turn of the event loop. */
  later?(work: () => void): void;
  /** Sends octets of the answer. */
  send(bytes: Uint8Array): void;
  /** Sends a part of the head. */
  sendHead(text: string): void;
  /** Sends a head and a body that is ASCII. Returns `false`, and has sent nothing, if it is something else, or too long for that. */
  sendText?(head: string, body: string): boolean;
  /**
   * The answer is complete.
   *
   * @param status Its status.
   * @param keepAlive Whether the connection stays open.
   */
  onEnd(status: number, keepAlive: boolean): void;
  /** The program used a response that has ended: sets the last-error code 7106. */
  onMisuse(): void;
  /** The program closes the connection. */
  close(): boolean;
}
