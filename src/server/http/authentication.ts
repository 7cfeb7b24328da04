/**
 * The `authenticate` handler: the program decides whether a client may open a WebSocket, before the handshake is answered.
 *
 * @module
 */

import { describe } from "../../values.ts";
import type { Handler } from "../configuration.ts";
import type { PortCore } from "../port_core.ts";
import { promised } from "../running_handlers.ts";
import { refuseExchange } from "./error_response.ts";
import type { Exchange } from "./exchange.ts";

/** The reason for a refusal by the program. */
const NOT_AUTHENTICATED = "the client is not authenticated";

/** The status of a refusal for which the program sets no other. A 401 would need a challenge (RFC 9110 section 15.5.2). */
const FORBIDDEN = 403;

/**
 * Checks a handshake, and asks the program whether the client may open a WebSocket.
 *
 * @param handler The `authenticate` handler.
 * @param goOn Continues with the handshake. Not called if it is refused, or if the client has gone.
 */
export function authenticate(
  exchange: Exchange,
  port: PortCore,
  handler: Handler,
  goOn: () => void | Promise<void>,
): void | Promise<void> {
  const { connection, head, request, response, writer } = exchange;
  const refusal = port.checkHandshake(head, exchange.forwarded);
  if (refusal !== undefined) return refuseExchange(exchange, refusal);
  writer.status(FORBIDDEN);
  let isAuthentic = false;
  const decide = (answer: unknown): void => {
    isAuthentic = answer === true && isUntouched(exchange);
    if (!isAuthentic) refuse(exchange, answer);
  };
  const { context } = port;
  const done = context.run(connection, "authenticate", () => {
    const answer = handler(request, response, context.server);
    const pending = promised(answer);
    if (pending === undefined) return decide(answer);
    return pending.then((answer) => connection.gather(() => decide(answer)), (error) => {
      if (!exchange.isAbortedBy(error)) throw error;
    });
  }, exchange);
  const proceed = (): void | Promise<void> => {
    if (!isAuthentic || !exchange.isOpen) return;
    if (context.state === "stopping") return refuseExchange(exchange, { status: 503, reason: "the server stops" });
    writer.status(200);
    return goOn();
  };
  if (done === undefined) return proceed();
  return done.then(() => {
    let rest: void | Promise<void> = undefined;
    connection.gather(() => rest = proceed());
    return rest;
  });
}

function mistake(what: string): TypeError {
  return new TypeError(`Cannot authenticate the client: the handler ${what}`);
}

/** Whether the program has begun no response, so that the server can make it. */
function isUntouched({ isOpen, writer }: Exchange): boolean {
  return isOpen && !writer.hasBegun && !writer.isOccupied && writer.isWritable;
}

/**
 * Refuses a handshake with what the handler has made of the response.
 *
 * @throws {TypeError} If the handler has not returned a boolean, nor made a response; or if it has opened the WebSocket.
 */
function refuse(exchange: Exchange, answer: unknown): void {
  const { connection, context, head, session, writer } = exchange;
  if (exchange.isSwitched) throw mistake("has to return true, and not to open the WebSocket");
  if (exchange.isOver ? !exchange.isComplete || exchange.isExpired : !connection.isOpen) return; // there is no request to refuse any more
  const isMade = exchange.isOver || writer.hasBegun || writer.isOccupied;
  if (!isMade && typeof answer !== "boolean") throw mistake(`has to return true or false, not ${describe(answer)}`);
  if (!isMade && writer.statusCode < 300) writer.status(FORBIDDEN);
  context.onRefused(connection, "handshake", { status: writer.statusCode, reason: NOT_AUTHENTICATED }, head);
  if (exchange.isOver || writer.isOccupied) return;
  session.closeBehind({ reason: NOT_AUTHENTICATED });
  if (!isMade && writer.fieldValue("content-type") === undefined) writer.header("Content-Type", "text/plain");
  writer.end(isMade ? "" : NOT_AUTHENTICATED);
}
