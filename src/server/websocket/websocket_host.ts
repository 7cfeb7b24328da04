/**
 * What the WebSockets of one server share, made from its settings.
 *
 * @module
 */

import type { Connection } from "../../connection.ts";
import type { ProtocolOptions } from "../../websocket/protocol.ts";
import { compressFrom } from "./compression.ts";
import type { PortCore } from "../port_core.ts";
import type { WebSocketHost } from "./websocket_session.ts";

/** The WebSockets of a server: settings, clock and idle times. */
export class ServerWebSocketHost implements WebSocketHost {
  readonly protocolOptions: ProtocolOptions;
  readonly closeTimeout: number;
  readonly pingInterval: number;
  readonly pingTimeout: number;
  readonly compressFrom: number;
  readonly inputLimit: number;
  readonly messageTimeout: number;
  readonly #core: PortCore;

  /**
   * @param core The port of the server.
   * @param close What the style does with a Close frame.
   */
  constructor(core: PortCore, close: Pick<ProtocolOptions, "deliverClose" | "answerClose">) {
    const { settings } = this.#core = core;
    this.protocolOptions = {
      masked: true,
      maxLength: settings.package_max_length,
      deliverPing: settings.open_websocket_ping_frame,
      deliverPong: settings.open_websocket_pong_frame,
      ...close,
    };
    this.closeTimeout = settings.websocket_close_timeout * 1000;
    this.pingInterval = settings.websocket_ping_interval * 1000;
    this.pingTimeout = settings.websocket_ping_timeout * 1000;
    this.compressFrom = compressFrom(settings);
    this.inputLimit = settings.input_buffer_size;
    this.messageTimeout = settings.websocket_message_timeout * 1000;
  }

  get now(): number {
    return this.#core.now;
  }

  idleDeadline(connection: Connection): number {
    return this.#core.idleDeadline(connection);
  }
}
