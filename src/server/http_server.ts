/**
 * `HttpServer`: the HTTP server of the event style.
 *
 * @module
 */

import type { ConnectionData } from "../transport/connection_end.ts";
import type { EventHandler, EventName, HttpServerEvents, HttpServerHandlers, ObjectEventHandler } from "./events.ts";
import { httpFactory, webSocketFactory } from "./protocols.ts";
import { Server } from "./server.ts";
import { coreOf } from "./server_connections.ts";

/**
 * An HTTP server (Swoole page "Http\Server"). `Data` is the type of `request.data`.
 *
 * @example
 * ```ts
 * import { HttpServer } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.on("request", (request, response) => response.end(`You asked for ${request.server.request_uri}`));
 * await server.start();
 * const answer = await fetch(`http://127.0.0.1:${server.port}/hello`);
 * console.assert(await answer.text() === "You asked for /hello");
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class HttpServer<Data extends ConnectionData = ConnectionData> extends Server<Data> {
  /**
   * Creates a server; `start()` makes it listen. The arguments are those of `Server`.
   *
   * @param host The address to bind; the path for `SWOOLE_SOCK_UNIX_STREAM`.
   * @param port The port, as a number or as digits; 0 picks a free one, see `port` after `start()`.
   * @param mode `SWOOLE_BASE` or `SWOOLE_PROCESS`.
   * @param sockType A `SWOOLE_SOCK_*` number, combined with `SWOOLE_SSL` for TLS.
   */
  constructor(host?: string, port?: number | string, mode?: number, sockType?: number) {
    super(host, port, mode, sockType);
    const core = coreOf(this);
    core.speak("http", httpFactory);
    core.speakOnPorts("websocket", (port) => webSocketFactory(port, this));
  }

  /**
   * Registers the handler of an event, replacing an earlier one.
   *
   * @param event The name, in any letter case.
   * @param handler The handler; its arguments depend on the event, and on the setting `event_object`.
   * @returns `true`.
   * @throws {TypeError} If the event does not exist, or the handler is not a function.
   */
  override on<Name extends string, Given = never>(
    event: EventName<HttpServerEvents<this, Data>, Name>,
    handler: EventHandler<HttpServerHandlers<this, Data>, Name> | ObjectEventHandler<Name, Given>,
  ): boolean {
    return super.on(event as never, handler as never);
  }
}

// Methods that a program may look for if a port speaks WebSocket. They are not in the types.
for (const method of ["push", "ping", "disconnect", "isEstablished", "subscribe", "unsubscribe", "publish", "broadcast"]) {
  const value = () => {
    throw new TypeError(
      `Cannot call ${method}(): it is a method of WebSocketServer; make one of these instead of an HttpServer, ` +
        "or send what Frame.pack() gives by send()",
    );
  };
  Object.defineProperty(HttpServer.prototype, method, { value, configurable: true, writable: true });
}
