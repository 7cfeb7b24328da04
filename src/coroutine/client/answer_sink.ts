/**
 * Which answers are taken while they arrive, and by what.
 *
 * @module
 */

import { SWOOLE_ERROR_HTTP_INVALID_PROTOCOL } from "../../errors.ts";
import type { AnswerHead } from "../../http/response_parser.ts";
import { loadRuntime } from "../../runtime.ts";
import { type BodySink, CallbackSink, decodingSink, DownloadSink } from "./body_sink.ts";
import { ClientFailure } from "./client_failure.ts";

/** A file that an answer is to be written to. */
export interface Download {
  /** The path. */
  readonly file: string;
  /** How much of it there is. */
  readonly offset: number;
  /** Whether the rest was asked for here, and not by a header of the program. */
  readonly asked: boolean;
}

/** The header fields that ask for the rest of a file. Ranges count coded octets (RFC 9110 section 14.1): so there must be no code. */
export function rangeFields(offset: number): [name: string, value: string][] {
  return offset === 0 ? [] : [["Range", `bytes=${offset}-`], ["Accept-Encoding", "identity"]];
}

/**
 * What an answer is written to.
 *
 * @param head Its head.
 * @param download Where to.
 * @param decompress Whether a content coding is undone.
 * @returns `undefined` for an answer that is no file; a failure for a part that does not fit.
 */
export function downloadSink(
  head: AnswerHead,
  { file, offset, asked }: Download,
  decompress: boolean,
): BodySink | ClientFailure | undefined {
  const { status, header } = head;
  if (status < 200 || status > 299) return undefined;
  const isPart = status === 206 && offset > 0;
  const coding = decompress ? header["content-encoding"] : undefined;
  if (isPart && asked) {
    const [, first] = /^bytes ([0-9]+)-/i.exec(header["content-range"] ?? "") ?? [];
    const fault = Number(first) !== offset
      ? "the server sent another part than the one that was asked for"
      : coding !== undefined && coding.trim().toLowerCase() !== "identity"
      ? "the server sent a part of a compressed body"
      : undefined;
    if (fault !== undefined) return new ClientFailure(status, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, fault);
  }
  const opening = loadRuntime().then((runtime) => runtime.openForWriting(file, { offset: isPart ? offset : 0 }));
  return decodingSink(isPart ? undefined : coding, status, new DownloadSink(opening, status));
}

/**
 * What hands an answer to a function of the program.
 *
 * @param head Its head.
 * @param call The function.
 * @param decompress Whether a content coding is undone.
 */
export function callbackSink(head: AnswerHead, call: (piece: Uint8Array) => unknown, decompress: boolean): BodySink {
  return decodingSink(decompress ? head.header["content-encoding"] : undefined, head.status, new CallbackSink(call));
}
