/**
 * `HttpResponse`, Swoole's picture of an answer.
 *
 * @module
 */

import { BaseResponse } from "../../http/response.ts";
import type { HttpSession } from "./http_session.ts";
import { sendFile } from "../files/send_file.ts";
import { coreOf, type Server } from "../server.ts";

const TRUE: Promise<true> = Promise.resolve(true);

/** What is behind a response. */
export let sessionOf: (response: WaitingResponse) => HttpSession;

/** What the answers of both styles have in common. */
export class WaitingResponse extends BaseResponse {
  readonly #session: HttpSession;

  static {
    sessionOf = (response) => response.#session;
  }

  /** Made by the server. */
  constructor(session: HttpSession) {
    super(session.connection.fd, session);
    this.#session = session;
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
    const { connection } = this.#session;
    if (connection.isOpen && connection.queuedBytes === 0) return TRUE;
    return connection.whenTaken().then(() => connection.isOpen);
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
      this.#session.connection.gather(work);
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
   * @param data Text or octets. The octets may not be changed afterwards.
   * @returns `false` when the answer has ended or the client is gone, or more than `socket_buffer_size` would wait to be sent
   * (the server's last-error code is 1009 then, and nothing of this part is sent).
   */
  write(data: string | Uint8Array): boolean {
    return this.writePart(data);
  }
}
