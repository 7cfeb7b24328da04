/**
 * How a request is handled: its form is read, a file is sent or the handler called, and a missing response is completed.
 *
 * @module
 */

import { timedOut } from "../../transport/connection_end.ts";
import { deadlineIn } from "../../transport/deadlines.ts";
import type { HttpFailure } from "../../http/request_head.ts";
import { isMultipart } from "../../http/request_parser.ts";
import type { Exchange } from "./exchange.ts";
import { FormReader } from "./form_reader.ts";
import type { HttpContext } from "./http_context.ts";
import { refuseExchange } from "./error_response.ts";

/** Handles a request: it is for a page of the server itself, or its form is read, if it has one, and a file or the handler follows. */
export function handleRequest(exchange: Exchange, context: HttpContext): void {
  if (context.pages !== undefined && context.pages.respond(exchange) !== false) return;
  const { connection, session } = exchange;
  const { forms } = context;
  if (forms === undefined || !isMultipart(exchange.head)) return void handle(exchange, context);
  const form = exchange.form = new FormReader(forms);
  readForm(exchange, form).then((failure) =>
    connection.gather(() => {
      if (exchange.isOver) {
        context.onHandled(exchange);
        return form.drop();
      }
      if (failure !== undefined) {
        session.closeBehind({ reason: failure.reason });
        return refuseExchange(exchange, failure);
      }
      exchange.holdFiles();
      const done = handle(exchange, context);
      if (done === undefined) form.release();
      else done.then(() => form.release());
    })
  );
}

/** Reads a form. Returns the reason if it is refused. */
async function readForm(exchange: Exchange, form: FormReader): Promise<HttpFailure | undefined> {
  const { context, head, upload } = exchange;
  let body: Uint8Array | undefined = exchange.body;
  const whole = () => {
    const all = body;
    body = undefined;
    return Promise.resolve(all);
  };
  const failure = await form.read(head.header["content-type"], upload === undefined ? whole : () => upload.take());
  if (failure === undefined && context.requestOptions.parsePost) exchange.fields = form.fields.result;
  return failure;
}

/** Sends a file or calls the handler. The promise, if any, settles when that is done. */
function handle(exchange: Exchange, context: HttpContext): void | Promise<void> {
  const served = context.serveFile(exchange);
  if (served === undefined) return call(exchange, context);
  return served.then((done) => {
    let rest: void | Promise<void> = undefined;
    exchange.connection.gather(() => {
      if (!done && !exchange.isOver) rest = call(exchange, context);
      else context.onHandled(exchange);
    });
    return rest;
  });
}

function call(exchange: Exchange, context: HttpContext): void | Promise<void> {
  if (context.handlerTimeout > 0) {
    exchange.deadline = deadlineIn(context.handlerTimeout, context.now);
    exchange.session.onDeadlineChange();
  }
  return completeBehind(exchange, context, context.application.onRequest(exchange));
}

/** Completes the response when the handler is done. */
export function completeBehind(exchange: Exchange, context: HttpContext, done: void | Promise<void>): void | Promise<void> {
  if (done === undefined) return completeUnfinished(exchange, context);
  return done.then(() => {
    context.onHandled(exchange);
    exchange.connection.gather(() => completeUnfinished(exchange, context));
  });
}

/** Completes a response left unfinished by the handler, or by a file that could not be sent. */
export function completeUnfinished(exchange: Exchange, context: HttpContext): void {
  if (exchange.isSwitched) return;
  const { writer } = exchange;
  if (writer.isOccupied) exchange.isHandedOver = true;
  if (writer.isSettled || exchange.isOver) return;
  if (writer.hasBegun) return void writer.end(); // as in Swoole, the parts written so far are the response
  context.warn(exchange, "the handler has returned without a response");
  writer.fail(500);
}

/** Ends an exchange whose handler took too long. */
export function expire(exchange: Exchange, context: HttpContext): void {
  const { connection, head, isUpgrade, session, writer } = exchange;
  exchange.deadline = 0;
  if (writer.isOccupied || (writer.isDetached && !isUpgrade)) return; // the timeout does not apply to these
  exchange.isExpired = true;
  const setting = isUpgrade ? "websocket_handshake_timeout" : "http_handler_timeout";
  context.warn(exchange, `it takes longer than ${setting}`);
  exchange.cancel(new DOMException("The response takes too long", "TimeoutError"));
  if (exchange.isOver) return;
  const cause = timedOut(setting);
  if (writer.headSent) return exchange.breakOff(true, cause);
  const failure = { status: 503, reason: "it takes too long" };
  context.onRefused(connection, isUpgrade ? "handshake" : "request", failure, head);
  if (isUpgrade) session.closeBehind(cause);
  writer.fail(failure.status, failure.reason);
}
