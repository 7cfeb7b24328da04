/**
 * What an answer is sent to.
 *
 * @module
 */

import type { BodyCompression } from "./content_coding.ts";

/** The exchange that a response belongs to. */
export interface ResponseTarget {
  /** Whether the response can still be sent: nothing has ended it, and the peer is there. */
  readonly isOpen: boolean;
  /** Whether the connection stays open behind this response, as far as the request is concerned. */
  readonly keepAlive: boolean;
  /** Whether the request was HEAD: then no body is sent. */
  readonly isHead: boolean;
  /** Whether the peer takes chunks (HTTP/1.1). */
  readonly takesChunks: boolean;
  /** Whether a body whose end is that of the connection may be sent piece by piece: one that is cut off has to look like it. */
  readonly canStreamToEnd?: boolean;
  /** Whether this answers a WebSocket handshake. */
  readonly isUpgrade: boolean;
  /** The value for `Date`. */
  readonly date: string;
  /** The value of the request's Accept-Encoding. */
  readonly acceptEncoding?: string | undefined;
  /** How bodies are compressed, if they are. */
  readonly bodyCompression?: BodyCompression | undefined;
  /**
   * Whether a queue takes so many bytes more; otherwise the last-error code is 1009.
   *
   * @param queued How many are in it; those of the connection unless given.
   */
  hasRoom?(size: number, queued?: number): boolean;
  /** Calls back in a later turn of the event loop. */
  later?(work: () => void): void;
  /**
   * Sends bytes of the response.
   *
   * @param isOurs Whether nobody changes them any more.
   */
  send(bytes: Uint8Array, isOurs: boolean): void;
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
  /** Closes the connection, behind what was sent. */
  close(): boolean;
  /** Drops the connection, so that the peer sees that the response was cut off. */
  abort(): void;
}
