/**
 * The WebSocket of a client: its opening handshake (RFC 6455 section 4.1), and what its settings mean for it.
 *
 * @module
 */

import { loadRuntime } from "../transport/current_runtime.ts";
import { CompressionPolicy } from "../websocket/connection/compression_policy.ts";
import { checkAnswer, makeKey } from "../websocket/handshake.ts";
import { type ChannelContext, WebSocketChannel } from "../websocket/connection/channel.ts";
import { SessionLimits } from "../websocket/connection/session_interfaces.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { SWOOLE_ERROR_CLIENT_NO_CONNECTION } from "../errors.ts";
import type { EndpointOptions } from "../websocket/endpoint.ts";
import { makeMaskingKey } from "../websocket/masking.ts";
import type { Upgrade } from "./client_session.ts";
import { type ResolvedClientSettings, subprotocolsOf } from "./client_settings.ts";
import { clientConnections } from "./connecting.ts";

/** A handshake: the fields to send, and the check of the response. */
export interface ClientHandshake extends Upgrade {
  /** The header fields of the request. */
  readonly fields: readonly [name: string, value: string][];
}

/**
 * Prepares a handshake.
 *
 * @param settings The settings of the client.
 * @param ownSubprotocols The `Sec-WebSocket-Protocol` that the program set as a header field, if any.
 * @throws {TypeError} If the name of a subprotocol is invalid.
 * @throws {Error} If the requested compression engine is not available.
 */
export async function makeHandshake(
  settings: ResolvedClientSettings,
  ownSubprotocols: string | undefined,
): Promise<ClientHandshake> {
  const key = makeKey();
  const subprotocols = subprotocolsOf(ownSubprotocols ?? settings.websocket_subprotocol); // may have changed since set()
  const policy = settings.websocket_compression ? new CompressionPolicy(settings, await loadRuntime()) : undefined;
  const context = new ClientChannelContext(settings);
  return {
    fields: [
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", key],
      ["Sec-WebSocket-Protocol", subprotocols.join(", ")],
      ["Sec-WebSocket-Extensions", policy?.offer ?? ""],
    ],
    accept: (head, connection) => {
      const wrong = checkAnswer(head, key, subprotocols, policy !== undefined);
      if (wrong !== undefined) return wrong;
      const compression = policy?.check(head.header["sec-websocket-extensions"]);
      if (typeof compression === "string") return compression;
      const makeChannel = (session: WebSocketSession) => new WebSocketChannel(session, context, () => policy?.close());
      return new WebSocketSession(connection, context, makeChannel, compression);
    },
  };
}

/** Settings shared by the WebSockets of one client. */
class ClientChannelContext extends SessionLimits implements ChannelContext {
  readonly answersClose: boolean;
  readonly endpointOptions: EndpointOptions;
  readonly readTimeout: number;
  readonly writeTimeout: number;
  readonly closedError: number = SWOOLE_ERROR_CLIENT_NO_CONNECTION;
  readonly goneError: number = SWOOLE_ERROR_CLIENT_NO_CONNECTION;

  constructor(settings: ResolvedClientSettings) {
    super(settings);
    this.endpointOptions = {
      masked: false,
      maxLength: settings.package_max_length,
      deliverPing: settings.open_websocket_ping_frame,
      deliverPong: settings.open_websocket_pong_frame,
      deliverClose: true,
      answerClose: false,
      maskingKey: makeMaskingKey,
    };
    this.answersClose = !settings.open_websocket_close_frame;
    this.readTimeout = Math.max(settings.read_timeout, 0) * 1000;
    this.writeTimeout = Math.max(settings.write_timeout, 0) * 1000;
  }

  get now(): number {
    return clientConnections().now;
  }

  idleDeadline(): number {
    return 0;
  }

  idleSetting(): "max_idle_time" {
    return "max_idle_time";
  }

  dataOf(): undefined {}

  onViolation(): void {}
}
