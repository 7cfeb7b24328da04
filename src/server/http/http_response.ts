/**
 * `HttpResponse`, Swoole's picture of an answer.
 *
 * @module
 */

import { BaseResponse } from "../../http/response.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpSession } from "./http_session.ts";
import { sendFile } from "../files/send_file.ts";
import { coreOf, type Server } from "../server.ts";

/** The exchange that a response belongs to. */
export let exchangeOf: (response: WaitingResponse) => Exchange;

/** What the responses of both styles have in common. */
export class WaitingResponse extends BaseResponse {
  readonly #exchange: Exchange;

  static {
    exchangeOf = (response) => response.#exchange;
  }

  /** Made by the server. */
  constructor(exchange: Exchange) {
    super(exchange.connection.fd, exchange);
    this.#exchange = exchange;
  }

  /**
   * Waits until everything that was written has been taken by the client's side, as far as this machine can tell.
   *
   * @returns `false` when the client is gone.
   * @example A long answer, as fast as the client reads it
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
    return this.#exchange.drained();
  }

  /**
   * Answers with a file, which is read while it is sent, piece by piece. The headers are those set before, with a Content-Type
   * that goes with the name unless there is one. Nothing else may be done with the answer afterwards; a handler need not wait.
   *
   * @param path The path of the file. Whatever it names is sent: it must not come from the client.
   * @param offset The first octet.
   * @param length How many octets; 0 for all that follow.
   * @returns `false` when there is no such file, or no such part of it (nothing has been answered then, and the program may answer
   * otherwise), or when the answer had begun, or the client has gone.
   */
  sendfile(path: string, offset = 0, length = 0): Promise<boolean> {
    return sendFile(this, path, offset, length);
  }

  /** Runs a part of what makes the answer instead of the program, see `occupy()`. @internal */
  asMaker(work: () => void): void {
    this.release();
    try {
      this.#exchange.connection.gather(work);
    } finally {
      this.occupy();
    }
  }
}

/**
 * An answer (Swoole page "Http\Response"). Headers go out with the first `write()` or with `end()`.
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
   * Finds an answer that a handler has left open with `detach()`.
   *
   * @param server The server.
   * @param fd The connection.
   * @returns The answer, with what was set before; `false` when there is none.
   * @example Answer later, from somewhere else
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
  static create(server: Server, fd: number): HttpResponse | false {
    const protocol = coreOf(server).connection(fd)?.protocol as Partial<HttpSession> | undefined;
    const response = protocol?.detached;
    return response instanceof HttpResponse ? response : false;
  }

  /**
   * Sends a part of the body; the parts travel chunked (RFC 9112 section 7.1). It does not wait: see `drained()`.
   *
   * @param data Text or bytes, which are the program's again when this returns.
   * @returns `false` when the response has ended or the client is gone; or when more than `socket_buffer_size` would wait to be sent
   * (the server's last-error code is 1009 then). A response that lacks this part is broken: nothing more is taken, and `end()` drops
   * the connection instead of completing it, so that the client sees that it was cut off.
   */
  write(data: string | Uint8Array): boolean {
    return this.writePart(data);
  }
}
