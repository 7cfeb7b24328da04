/**
 * Answers that say why there is no other.
 *
 * @module
 */

import type { BaseResponse } from "../../http/response.ts";
import { reasonPhrase } from "../../http/status.ts";
import type { HandshakeRefusal } from "../../websocket/handshake.ts";

/** The answer to what is no request for a handler. The connection ends with it. */
export function refusal(status: number, reason: string, date: string): string {
  return `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\nServer: sluice\r\nDate: ${date}\r\n` +
    `Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`;
}

/** Refuses a request with a status and a line that says why. */
export function refuse(response: BaseResponse, { status, reason }: HandshakeRefusal): void {
  if (status === 426) {
    response.header("Upgrade", "websocket"); // RFC 9110 section 15.5.22
    response.header("Sec-WebSocket-Version", "13", false); // RFC 6455 section 4.4
  }
  response.status(status);
  response.header("Content-Type", "text/plain");
  response.end(reason);
}
