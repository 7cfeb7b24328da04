/**
 * The interface through which a response is sent.
 *
 * @module
 */

import type { CodingTarget } from "./content_coding.ts";

/** The exchange of a response. */
export interface ResponseTarget extends CodingTarget {
  /** Whether the connection stays open after this response, as far as the request is concerned. */
  readonly keepAlive: boolean;
  /** Whether the request was HEAD, so that no body is sent. */
  readonly isHead: boolean;
  /** Whether the client accepts chunks (HTTP/1.1). */
  readonly takesChunks: boolean;
  /** Whether a body that ends with the connection may be sent in parts. The client must then notice if it is cut off. */
  readonly canStreamToEnd?: boolean;
  /** Whether the request is a WebSocket handshake. */
  readonly isUpgrade: boolean;
  /** The value of `Date`. */
  readonly date: string;
  /** The value of Accept-Encoding in the request. */
  readonly acceptEncoding?: string | undefined;
  /**
   * Reports whether a queue has room for more bytes; if not, the last-error code is 1009.
   *
   * @param size The number of bytes to add.
   * @param queued The number of bytes in the queue; by default those of the connection's output.
   */
  hasRoom?(size: number, queued?: number): boolean;
  /** Called with the size of a part that the response keeps until its end. */
  onCollected?(size: number): void;
  /**
   * Sends bytes of the response.
   *
   * @param isOurs Whether the bytes never change.
   */
  send(bytes: Uint8Array, isOurs: boolean): void;
  /** Sends a part of the head. */
  sendHead(text: string): void;
  /** Sends a head and an ASCII body. Returns `false`, having sent nothing, if the body is not ASCII or is too long for this. */
  sendText?(head: string, body: string): boolean;
  /** Called before the head of a response with status 101 is made: the last chance to add fields. */
  beforeSwitch?(): void;
  /**
   * Called when the response is complete.
   *
   * @param status The status.
   * @param keepAlive Whether the connection stays open.
   */
  onEnd(status: number, keepAlive: boolean): void;
  /** Sets the last-error code 7106: the program used a response that has ended. */
  onMisuse(): void;
  /** Closes the connection after pending output. */
  close(): void;
  /** Aborts the connection, so that the client notices that the response was cut off. */
  abort(): void;
}
