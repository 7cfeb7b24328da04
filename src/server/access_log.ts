/**
 * The access log: each HTTP request with its response, and the end of each WebSocket.
 *
 * @module
 */

import type { CloseInfo } from "../transport/connection_end.ts";
import type { Connection } from "../transport/connection.ts";
import type { RequestHead } from "../http/request_head.ts";
import type { Exchange } from "./http/exchange.ts";
import { cleaned, type Log, requestFields } from "./log.ts";
import { ipOf } from "./refusals.ts";
import type { LogFields } from "./settings/log_settings.ts";

/** A WebSocket that is open: what its last record needs. */
interface OpenWebSocket {
  readonly address: string;
  readonly path: string;
  readonly userAgent: string | undefined;
  /** When it was opened, by `performance.now()`. */
  readonly at: number;
}

/** The access log of a server: the setting `access_log`. */
export class AccessLog {
  readonly #log: Log;
  readonly #open: Map<Connection, OpenWebSocket> = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Logs a request with its response.
   *
   * @param status The status of the response; 0 if there was none.
   * @param aborted Whether the response is not complete.
   */
  addRequest(exchange: Exchange, status: number, aborted: boolean): void {
    const { connection, head, receivedBytes, remoteAddress, sentBefore, time } = exchange;
    this.#addRequest(head, {
      fd: exchange.fd,
      address: ipOf(remoteAddress),
      ...requestFields(head),
      status,
      received: receivedBytes,
      sent: connection.sentBytes - sentBefore,
      duration: Math.max(0, Date.now() - time) / 1000,
      ...(aborted ? { aborted } : {}),
    });
  }

  /**
   * Logs bytes that were refused because they are no request, or not a complete one.
   *
   * @param address The IP address of the client.
   * @param head The head, if it is known.
   * @param sent The size of the response.
   */
  addRefused({ fd }: Connection, address: string, status: number, head: RequestHead | undefined, sent: number): void {
    const request = head === undefined ? {} : requestFields(head);
    this.#addRequest(head, { fd, address, ...request, status, sent });
  }

  #addRequest(head: RequestHead | undefined, fields: LogFields): void {
    const agent = head?.header["user-agent"];
    const all = agent === undefined ? fields : { ...fields, userAgent: cleaned(agent) };
    this.#log.access(lineOf(all, fields.method ?? "-", fields.status!), all, "request");
  }

  /** Notes that a handshake has led to a WebSocket. */
  open({ connection, head, remoteAddress }: Exchange): void {
    const { path } = requestFields(head);
    const agent = head.header["user-agent"];
    const userAgent = agent === undefined ? undefined : copyOf(cleaned(agent));
    this.#open.set(connection, { address: ipOf(remoteAddress), path: copyOf(path), userAgent, at: performance.now() });
  }

  /** Logs the end of a connection, if it was a WebSocket. */
  close(connection: Connection, { code, reason }: CloseInfo): void {
    const webSocket = this.#open.get(connection);
    if (webSocket === undefined) return;
    this.#open.delete(connection);
    const { fd, receivedBytes, sentBytes } = connection;
    const { address, at, path, userAgent } = webSocket;
    const fields = {
      fd,
      address,
      path,
      code,
      ...(reason === "" ? {} : { reason: cleaned(reason) }),
      received: receivedBytes,
      sent: sentBytes,
      duration: Math.round(performance.now() - at) / 1000,
      ...(userAgent === undefined ? {} : { userAgent }),
    };
    this.#log.access(lineOf(fields, "WEBSOCKET", code), fields, "websocket");
  }
}

/**
 * Returns the line of a record: address, method, path, status or close code, bytes received and sent, seconds, and user agent. A
 * dash stands for what is unknown.
 */
function lineOf(fields: LogFields, method: string, status: number): string {
  const { aborted, address, duration, path, received = "-", sent, userAgent } = fields;
  const columns = [
    address || "-",
    method,
    inQuotes(path),
    status,
    received,
    sent,
    duration === undefined ? "-" : duration.toFixed(3),
    inQuotes(userAgent),
  ];
  return columns.join(" ") + (aborted ? " aborted" : "");
}

/** @param text A text that is escaped already, but for quotation marks. */
function inQuotes(text: string | undefined): string {
  return text === undefined ? "-" : `"${text.replaceAll('"', '\\"')}"`;
}

/** Returns a text that does not keep the memory of the whole head, of which it was a part. */
function copyOf(text: string): string {
  return JSON.parse(JSON.stringify(text));
}
