/**
 * From what a program has set to a request that can be sent, and from the response to what the program gets.
 *
 * @module
 */

import type { AnswerHead } from "../http/response_parser.ts";
import { delayOf } from "../transport/deadlines.ts";
import { type BodySink, callbackSink, type Download, downloadSink, rangeFields } from "./body_sink.ts";
import { ClientFailure } from "./client_failure.ts";
import type { ClientHandshake } from "./client_websocket.ts";
import type { Outcome, OutgoingRequest } from "./client_session.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { acceptedCodings, decodeContent } from "./content_decoding.ts";
import type { RequestDraft } from "./request_draft.ts";
import { authorityOf, proxyAuthorization, type Target } from "./connecting.ts";

/** The default time limit of a response, in seconds. */
const READ_TIMEOUT = 60;

/** Everything that makes up a request. */
interface RequestPlan {
  /** The server. */
  readonly target: Target;
  /** Whether the request is addressed to an HTTP proxy, which forwards it. */
  readonly asksProxy: boolean;
  /** The path and query. */
  readonly path: string;
  /** The method, header fields and body. */
  readonly draft: RequestDraft;
  /** The value of Cookie. */
  readonly cookies: string;
  /** The settings. */
  readonly settings: ResolvedClientSettings;
  /** The WebSocket handshake, if the request is one. */
  readonly handshake: ClientHandshake | undefined;
  /** The file to which the body of the response is written. */
  readonly download: Omit<Download, "asked"> | undefined;
  /** Receives the head of a response whose body is consumed while it arrives. */
  onHead(head: AnswerHead): void;
  /** Receives the pieces of that body, unless they are written to a file; `undefined` if the program does not want them. */
  readonly onPiece: ((piece: Uint8Array) => unknown) | undefined;
}

/** A request, with its head as text for programs. */
interface ComposedRequest extends OutgoingRequest {
  /** The request line and header fields, including the empty line. */
  readonly head: string;
}

/** Composes a request. */
export function composeRequest(plan: RequestPlan): ComposedRequest {
  const { target, asksProxy, path, draft, cookies, settings, handshake, download } = plan;
  const asked = download !== undefined && draft.header("range") === undefined;
  const fields = [...handshake?.fields ?? [["Connection", settings.keep_alive ? "keep-alive" : "close"] as const]];
  if (asked) fields.push(...rangeFields(download.offset));
  if (settings.http_compression && !(asked && download.offset > 0)) fields.push(["Accept-Encoding", acceptedCodings()]);
  if (asksProxy) fields.push(["Proxy-Authorization", proxyAuthorization(settings)]);
  const authority = authorityOf(target);
  const composed = draft.compose(path, asksProxy ? `http://${authority}` : "", authority, fields, cookies);
  const seconds = settings.read_timeout === 0 ? READ_TIMEOUT : Math.max(settings.read_timeout, 0);
  return {
    ...composed,
    timeout: delayOf(seconds),
    maxBodySize: settings.package_max_length,
    upgrade: handshake,
    onHead: sinkOf(plan, asked),
  };
}

/** Returns the function that chooses the sink of a response; `undefined` if its body is to be collected. */
function sinkOf(plan: RequestPlan, asked: boolean): ((head: AnswerHead) => BodySink | ClientFailure | undefined) | undefined {
  const { handshake, download, onPiece, settings: { body_decompression: decompress } } = plan;
  if (handshake !== undefined || (download === undefined && onPiece === undefined)) return undefined;
  return (head) => {
    plan.onHead(head);
    if (download !== undefined) return downloadSink(head, { ...download, asked }, decompress);
    return callbackSink(head, onPiece!, decompress);
  };
}

/** Undoes the content coding of a collected body. */
export async function decodeBody(outcome: Outcome, settings: ResolvedClientSettings): Promise<Outcome> {
  if (outcome instanceof ClientFailure || outcome.body === undefined || !settings.body_decompression) return outcome;
  const { head, body } = outcome;
  const decoded = await decodeContent(head.header["content-encoding"], head.status, body, settings.package_max_length);
  return decoded instanceof ClientFailure ? { ...outcome, failure: decoded } : { ...outcome, body: decoded };
}
