/**
 * The opening handshake of a client (RFC 6455 section 4.1).
 *
 * @module
 */

import { loadRuntime } from "../../runtime.ts";
import { CompressionPolicy } from "../../server/websocket/compression.ts";
import { checkAnswer, makeKey } from "../../websocket/handshake.ts";
import { WebSocketChannel } from "../channel.ts";
import { ClientChannelHost } from "./client_channel.ts";
import type { Upgrade } from "./client_session.ts";
import { type ResolvedClientSettings, subprotocolsOf } from "./client_settings.ts";

/** A handshake: what is sent, and how its answer is taken. */
export interface ClientHandshake extends Upgrade {
  /** The header fields of the request. */
  readonly fields: readonly [name: string, value: string][];
}

/**
 * Prepares a handshake.
 *
 * @param settings The client's.
 * @param ownSubprotocols The `Sec-WebSocket-Protocol` that the program has set as a header, if it has.
 * @throws {TypeError} If a subprotocol has no proper name.
 * @throws {Error} If the compression engine that is asked for is not there.
 */
export async function makeHandshake(
  settings: ResolvedClientSettings,
  ownSubprotocols: string | undefined,
): Promise<ClientHandshake> {
  const key = makeKey();
  const subprotocols = subprotocolsOf(ownSubprotocols ?? settings.websocket_subprotocol); // `setting` may have been changed since set()
  const policy = settings.websocket_compression ? new CompressionPolicy(settings, await loadRuntime()) : undefined;
  const host = new ClientChannelHost(settings);
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
      return new WebSocketChannel(connection, host, compression, () => policy?.close());
    },
  };
}
