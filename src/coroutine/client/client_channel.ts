/**
 * The WebSocket of a client.
 *
 * @module
 */

import { SWOOLE_ERROR_CLIENT_NO_CONNECTION } from "../../errors.ts";
import { compressFrom } from "../../server/websocket/compression.ts";
import type { ProtocolOptions } from "../../websocket/protocol.ts";
import type { ChannelHost } from "../channel.ts";
import { clientConnections } from "./client_connections.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { makeMaskingKey } from "./masking_key.ts";

/** What the WebSockets of one client share, made from its settings. */
export class ClientChannelHost implements ChannelHost {
  readonly answersClose: boolean;
  readonly protocolOptions: ProtocolOptions;
  readonly closeTimeout: number;
  readonly pingInterval: number;
  readonly pingTimeout: number;
  readonly compressFrom: number;
  readonly inputLimit: number;
  readonly messageTimeout: number;
  readonly readTimeout: number;
  readonly writeTimeout: number;
  readonly pushLimit: number;
  readonly closedError: number = SWOOLE_ERROR_CLIENT_NO_CONNECTION;
  readonly goneError: number = SWOOLE_ERROR_CLIENT_NO_CONNECTION;

  constructor(settings: ResolvedClientSettings) {
    this.protocolOptions = {
      masked: false,
      maxLength: settings.package_max_length,
      deliverPing: settings.open_websocket_ping_frame,
      deliverPong: settings.open_websocket_pong_frame,
      deliverClose: true,
      answerClose: false,
      maskingKey: makeMaskingKey,
    };
    this.answersClose = !settings.open_websocket_close_frame;
    this.closeTimeout = settings.websocket_close_timeout * 1000;
    this.pingInterval = settings.websocket_ping_interval * 1000;
    this.pingTimeout = settings.websocket_ping_timeout * 1000;
    this.compressFrom = compressFrom(settings);
    this.inputLimit = settings.input_buffer_size;
    this.messageTimeout = settings.websocket_message_timeout * 1000;
    this.readTimeout = Math.max(settings.read_timeout, 0) * 1000;
    this.writeTimeout = Math.max(settings.write_timeout, 0) * 1000;
    this.pushLimit = settings.socket_buffer_size;
  }

  get now(): number {
    return clientConnections().now;
  }

  idleDeadline(): number {
    return 0;
  }
}
