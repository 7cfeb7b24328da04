/**
 * A look at all connections of a server, for `stats()` and `metrics()`: what need not be counted as it happens.
 *
 * @module
 */

import type { ConnectionTable } from "../transport/connection_table.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { HttpSession } from "./http/http_session.ts";

/** What was found. */
export interface Survey {
  /** Connections that speak HTTP. */
  http: number;
  /** Open WebSockets. */
  webSockets: number;
  /** Raw connections. */
  raw: number;
  /** HTTP requests being handled or waiting for their turn. */
  answering: number;
  /** Bytes that wait to be sent. */
  sendQueueBytes: number;
  /** Connections that are above their high watermark. */
  slow: number;
  /** Messages that wait for the program. */
  waitingMessages: number;
  /** The lowest fd; 0 if there is none. */
  minFd: number;
  /** The highest fd; 0 if there is none. */
  maxFd: number;
}

/** Looks at all open connections. Takes time in proportion to their number. */
export function surveyOf(table: ConnectionTable | undefined): Survey {
  const survey: Survey = {
    http: 0,
    webSockets: 0,
    raw: 0,
    answering: 0,
    sendQueueBytes: 0,
    slow: 0,
    waitingMessages: 0,
    minFd: 0,
    maxFd: 0,
  };
  if (table === undefined) return survey;
  for (const connection of table.connections()) { // in ascending order of fds
    const { fd, protocol } = connection;
    if (survey.minFd === 0) survey.minFd = fd;
    survey.maxFd = fd;
    if (connection.isFull) survey.slow++;
    if (protocol instanceof WebSocketSession) {
      survey.webSockets++;
      survey.waitingMessages += protocol.waiting.size;
      survey.sendQueueBytes += protocol.queuedBytes;
      continue;
    }
    survey.sendQueueBytes += connection.queuedBytes;
    if (protocol instanceof HttpSession) {
      survey.http++;
      if (protocol.isAnswering) survey.answering++;
    } else {
      survey.raw++;
    }
  }
  return survey;
}
