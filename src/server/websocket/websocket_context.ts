/**
 * The settings shared by the WebSockets of one server.
 *
 * @module
 */

import type { ConnectionData, TimeoutSetting } from "../../transport/connection_end.ts";
import type { Connection } from "../../transport/connection.ts";
import type { EndpointOptions } from "../../websocket/endpoint.ts";
import { MAX_LOGGED, quoted } from "../log.ts";
import type { PortCore } from "../port_core.ts";
import { type MessageCounters, SessionLimits, type WebSocketContext } from "../../websocket/connection/session_interfaces.ts";

/** The maximum number of paths kept. */
const MOST_PATHS = 100;

/** The paths of WebSockets, shared by those with the same one, so that a path costs a connection only a reference. */
class KnownPaths {
  readonly #texts: Map<string, string> = new Map();

  /** Returns a path without its query, quoted for the log; `undefined` if it is new and too many others are kept. */
  find(target: string): string | undefined {
    const end = target.indexOf("?");
    const path = target.slice(0, Math.min(end < 0 ? target.length : end, MAX_LOGGED + 1));
    const known = this.#texts.get(path);
    if (known !== undefined || this.#texts.size >= MOST_PATHS) return known;
    const text = quoted(path);
    this.#texts.set(JSON.parse(JSON.stringify(path)), text); // a copy: a slice would keep the whole head in memory
    return text;
  }
}

/** What the WebSockets of a port share: settings, clock and idle times. */
export class ServerWebSocketContext extends SessionLimits implements WebSocketContext {
  readonly endpointOptions: EndpointOptions;
  readonly dropsPongs: boolean;
  readonly counters: MessageCounters;
  /** The paths of handshakes, for the log. */
  readonly paths: KnownPaths = new KnownPaths();
  readonly #port: PortCore;

  /**
   * @param port The port.
   * @param close How Close frames are handled.
   */
  constructor(port: PortCore, close: Pick<EndpointOptions, "deliverClose" | "answerClose">) {
    const { settings } = port;
    super(settings);
    this.#port = port;
    this.endpointOptions = {
      masked: true,
      maxLength: settings.package_max_length,
      deliverPing: settings.open_websocket_ping_frame,
      deliverPong: true,
      ...close,
    };
    this.dropsPongs = !settings.open_websocket_pong_frame;
    this.counters = port.context.counters;
  }

  get now(): number {
    return this.#port.now;
  }

  idleDeadline(connection: Connection): number {
    return this.#port.idleDeadline(connection);
  }

  idleSetting(connection: Connection): TimeoutSetting {
    return this.#port.idleSetting(connection);
  }

  dataOf(fd: number): ConnectionData | undefined {
    return this.#port.context.dataOf(fd);
  }

  onViolation(connection: Connection, path: string | undefined, code: number, reason: string): void {
    const { context } = this.#port;
    context.endings.addViolation(connection.fd, context.addressOf(connection), path, code, reason);
  }
}
