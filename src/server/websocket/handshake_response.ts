/**
 * The response of a `handshake` handler.
 *
 * @module
 */

import type { Exchange } from "../http/exchange.ts";
import { HttpResponse } from "../http/http_response.ts";
import type { CompressionPolicy } from "./compression.ts";

/** Agrees on compression when it ends with 101, as the server does by itself, unless the handler has chosen extensions. */
export class HandshakeResponse extends HttpResponse {
  readonly #exchange: Exchange;
  readonly #policy: CompressionPolicy;
  #isAccepted = false;

  /** Made by the server. */
  constructor(exchange: Exchange, policy: CompressionPolicy) {
    super(exchange);
    this.#exchange = exchange;
    this.#policy = policy;
  }

  override status(code: number, reason?: string): boolean {
    const isSet = super.status(code, reason);
    if (isSet) this.#isAccepted = code === 101;
    return isSet;
  }

  override end(data: string | Uint8Array = ""): boolean {
    if (this.#isAccepted && this.isWritable() && !this.headSent) this.#agree();
    return super.end(data);
  }

  /** What the handler has chosen itself is agreed on only where it is what the server would have chosen. */
  #agree(): void {
    const { session, head } = this.#exchange;
    const agreed = this.#policy.accept(head.header["sec-websocket-extensions"]);
    if (agreed === undefined) return;
    const own = this.fieldValue("sec-websocket-extensions");
    if (own === undefined) this.header("Sec-WebSocket-Extensions", agreed.answer);
    else if (parametersOf(own) !== parametersOf(agreed.answer)) return;
    session.compression = agreed.compression;
  }
}

/** An extension with its parameters in one order. */
function parametersOf(extension: string): string {
  return extension.toLowerCase().split(";").map((part) => part.trim()).sort().join(";");
}
