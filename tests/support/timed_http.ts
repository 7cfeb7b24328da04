/**
 * One HTTP connection without a server, at a time that a test sets.
 *
 * @module
 */

import { HttpResponse } from "../../mod.ts";
import type { Exchange } from "../../src/server/http/exchange.ts";
import type { HttpContext } from "../../src/server/http/http_context.ts";
import type { HttpRequest } from "../../src/server/http/http_request.ts";
import { HttpSession } from "../../src/server/http/http_session.ts";
import type { Connection, Protocol } from "../../src/transport/connection.ts";
import type { ConnectionEnd } from "../../src/transport/connection_end.ts";
import { ConnectionTable } from "../../src/transport/connection_table.ts";
import { FakeLane, laneOnly } from "./fake_lane.ts";
import { WIDE } from "./http_parsing.ts";
import { settle } from "./memory_client.ts";

const START = 1_000_000;

/** What a connection has other than the defaults. */
export type TimedOptions = Partial<HttpContext> & {
  /** Whether the handler never settles. Without it, each response is detached, for the test to complete. */
  handlerWaits?: boolean;
  /** Whether handshakes have a handler, which never settles. */
  takesUpgrades?: boolean;
  /** What takes the place of the handlers above. */
  handler?: (parts: TimedParts) => void | Promise<void>;
  /** Makes the protocol that follows a handshake. Handshakes are then accepted at once. */
  makeSwitched?: () => Protocol;
  /** The size of the send queue, in bytes, from which no further request is handled until it has drained. */
  highWatermark?: number;
};

/** A request with its response. */
export interface TimedParts {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
}

/** A connection, and what came of it. */
export interface TimedConnection {
  readonly lane: FakeLane;
  readonly connection: Connection;
  readonly session: HttpSession;
  /** The requests whose handlers were called. */
  readonly requests: TimedParts[];
  /** The warnings about handlers. */
  readonly warnings: string[];
  /** The refusals: kind, status, reason. */
  readonly refusals: [kind: string, status: number, reason: string][];
  /** The number of requests whose client has gone and whose handler has not settled. */
  readonly late: () => number;
  /** How the connection ended, once it has. */
  readonly end: () => ConnectionEnd | undefined;
  /** Sets the time, in seconds since the start, when what was written is on its way. */
  readonly at: (seconds: number) => Promise<void>;
  /** The state of the connection: `closing` while output waits. */
  readonly state: () => "open" | "closing" | "ended" | "aborted";
}

function partsOf({ request, response }: Exchange): TimedParts {
  return { request, response: response as HttpResponse };
}

/** Opens a connection. */
export function timedConnection(
  { handlerWaits = false, takesUpgrades = false, handler, makeSwitched, highWatermark = 1e9, ...options }: TimedOptions = {},
): TimedConnection {
  let time = START;
  const lane = new FakeLane();
  const requests: TimedParts[] = [];
  const warnings: string[] = [];
  const refusals: [string, number, string][] = [];
  const late = new Set<Exchange>();
  let end: ConnectionEnd | undefined;
  const nothing = () => {};
  const never = (exchange: Exchange) => {
    requests.push(partsOf(exchange));
    return new Promise<void>(() => {});
  };
  const context = {
    requestLimits: WIDE,
    requestOptions: { parsePost: true, parseCookie: true, maxParameters: 1000, maxBodySize: 1e9 },
    streamsBodies: false,
    headerTimeout: 10_000,
    bodyTimeout: 10_000,
    bodyMinRate: 1024,
    handlerTimeout: 0,
    handshakeTimeout: 10_000,
    allowsHalfOpen: false,
    keepAliveTimeout: 30_000,
    sendTimeout: 60_000,
    get now() {
      return time;
    },
    date: "",
    application: {
      makeResponse: (exchange: Exchange) => new HttpResponse(exchange),
      onRequest: handlerWaits ? never : (exchange: Exchange) => {
        const parts = partsOf(exchange);
        requests.push(parts);
        if (handler !== undefined) return handler(parts);
        exchange.response.detach(); // completed by the test
      },
      onUpgrade: takesUpgrades ? never : makeSwitched && ((exchange: Exchange) => {
        requests.push(partsOf(exchange));
        exchange.writer.switchProtocols([]);
      }),
      onSwitch: makeSwitched,
      onMisuse: nothing,
    },
    isSecure: false,
    forwardedOf: nothing,
    serveFile: nothing,
    isShortOfMemory: false,
    onAnswered: nothing,
    warn: (exchange: Exchange, what: string) => void warnings.push(`${exchange.request.getMethod()}: ${what}`),
    refuseHandshake: () => undefined,
    hasRoom: () => true,
    onRefused: (_: Connection, kind: string, { status, reason }: { status: number; reason: string }) =>
      void refusals.push([kind, status, reason]),
    onRejected: (_: Connection, { status, reason }: { status: number; reason: string }) =>
      void refusals.push(["request", status, reason]),
    onCutOff: (exchange: Exchange) => void late.add(exchange),
    onHandled: (exchange: Exchange) => void late.delete(exchange),
    ...options,
  } as unknown as HttpContext;
  const table = new ConnectionTable(
    { maxConnections: 1, lingerTimeout: 5000, highWatermark, lowWatermark: 0 },
    {
      makeProtocol: (connection) => new HttpSession(connection, context),
      onAccepted: nothing,
      onClosed: (_connection, how) => void (end = how),
      onBufferFull: nothing,
      onBufferEmpty: nothing,
      onFault(_connection, error) {
        throw error;
      },
    },
    () => time,
  );
  const connection = table.accept(laneOnly(lane))!;
  const session = connection.protocol as HttpSession;
  const at = async (seconds: number) => {
    await settle();
    time = START + 1000 * seconds;
    table.tick();
  };
  const state = () => lane.aborted ? "aborted" : lane.ended ? "ended" : connection.isOpen ? "open" : "closing";
  return { lane, at, state, requests, connection, session, warnings, refusals, late: () => late.size, end: () => end };
}
