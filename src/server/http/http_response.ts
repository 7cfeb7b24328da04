/**
 * `HttpResponse`: Swoole's response object.
 *
 * @module
 */

import { BaseResponse, writerOf } from "../../http/base_response.ts";
import { sendFile } from "../files/send_file.ts";
import { coreOf, type ServerConnections } from "../server_connections.ts";
import type { Exchange } from "./exchange.ts";
import { HttpSession } from "./http_session.ts";

/** Returns the exchange that a response belongs to. */
export function exchangeOf(response: WaitingResponse): Exchange {
  return writerOf(response).target as Exchange;
}

/** The common part of the responses of both styles. */
export class WaitingResponse extends BaseResponse {
  /** Created by the server. */
  constructor(exchange: Exchange) {
    super(exchange.fd, exchange.writer);
  }

  /**
   * Waits until the client's side has taken everything that was written, as far as this machine can know.
   *
   * @returns `false` if the client disconnected.
   * @example A long response, as fast as the client reads it
   * ```ts
   * import { HttpServer } from "@sluice/server";
   *
   * const server = new HttpServer("127.0.0.1", 0);
   * server.on("request", async (_request, response) => {
   *   for (let line = 0; line < 1000 && await response.drained(); line++) response.write(`line ${line}\n`);
   *   response.end();
   * });
   * await server.start();
   * const answer = await fetch(`http://127.0.0.1:${server.port}/`);
   * console.assert((await answer.text()).split("\n").length === 1001);
   * server.shutdown();
   * ```
   */
  drained(): Promise<boolean> {
    return exchangeOf(this).drained();
  }

  /**
   * Sends a file as the response, read piece by piece while it is sent. The headers are those set before; a missing Content-Type
   * is derived from the file name. Do not use the response until this resolves. A handler does not have to wait for that.
   *
   * @param path The path of the file. Any file is sent, so the path must not come from the client.
   * @param offset The offset of the first byte.
   * @param length The number of bytes; 0 for all remaining ones.
   * @returns `false` if the file or the range in it does not exist (nothing was sent, and the program may respond in another
   * way), if the response had already begun, or if the client disconnected.
   */
  sendfile(path: string, offset = 0, length = 0): Promise<boolean> {
    return sendFile(exchangeOf(this), path, offset, length);
  }
}

/**
 * A response (Swoole page "Http\Response"). The headers are sent with the first `write()` or with `end()`.
 *
 * @example
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (_request, response) => {
 *   response.status(201);
 *   response.header("Content-Type", "application/json");
 *   response.end('{"made":true}');
 * });
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/`);
 * console.assert(answer.status === 201 && (await answer.json()).made);
 * server.shutdown();
 * ```
 */
export class HttpResponse extends WaitingResponse {
  /**
   * Finds a response that a handler has left open with `detach()`.
   *
   * @param server The server.
   * @param fd The connection.
   * @returns The response, with its status and headers as set before; `false` if there is no such response.
   * @example Respond later, from somewhere else
   * ```ts
   * import { HttpResponse, HttpServer } from "@sluice/server";
   *
   * const server = new HttpServer("127.0.0.1", 0);
   * server.on("request", (request, response) => {
   *   response.detach();
   *   server.after(10, () => {
   *     const later = HttpResponse.create(server, request.fd);
   *     if (later) later.end("at last");
   *   });
   * });
   * await server.start();
   * const answer = await fetch(`http://127.0.0.1:${server.port}/`);
   * console.assert(await answer.text() === "at last");
   * server.shutdown();
   * ```
   */
  static create(server: ServerConnections, fd: number): HttpResponse | false {
    if (typeof server !== "object" || server === null) {
      throw new TypeError(
        "Cannot find the response: HttpResponse.create(server, fd) needs the server, which Swoole knows by itself",
      );
    }
    const protocol = coreOf(server).context.connection(fd)?.protocol;
    const response = protocol instanceof HttpSession ? protocol.detached : undefined;
    return response instanceof HttpResponse ? response : false;
  }

  /**
   * Sends a part of the body, in chunked encoding (RFC 9112 section 7.1). It does not wait: see `drained()`.
   *
   * @param data Text, a number, or bytes, which may be changed as soon as this returns.
   * @returns `false` if the response has ended, the client disconnected, or the send queue would exceed `socket_buffer_size`
   * (last-error code 1009). A response that lacks a part is broken: it accepts nothing more, and `end()` aborts the connection,
   * so that the client can detect the truncation.
   */
  write(data: string | number | Uint8Array): boolean {
    return writerOf(this).writePart(data, "limited");
  }
}
