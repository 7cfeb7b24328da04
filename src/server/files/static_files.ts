/**
 * Files below a folder, served without the program (Swoole's `enable_static_handler`).
 *
 * @module
 */

import { type FileSource, loadRuntime, type Runtime } from "../../runtime.ts";
import { type ByteRange, contentRange, multipart } from "./byte_ranges.ts";
import { chooseParts, entityTag } from "./file_conditions.ts";
import type { HttpRequest } from "../http/http_request.ts";
import type { WaitingResponse } from "../http/http_response.ts";
import { listOf } from "../settings/http_settings.ts";
import { isAtOrBelow, readRules, rewrite, type RewriteRule } from "./rewrite_rules.ts";
import { sendPieces } from "./send_file.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** What the system says where there is no such file, whatever the client asks for: a cache may keep that. */
const NOT_THERE: readonly unknown[] = ["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "EINVAL"];

/** The status for an error of the system; 0 for a folder. */
function failureStatus(error: unknown): number {
  const { code } = error as { code?: unknown };
  if (code === "EISDIR") return 0;
  if (NOT_THERE.includes(code)) return 404;
  if (code === "EACCES" || code === "EPERM") return 403;
  return code === "EMFILE" || code === "ENFILE" ? 503 : 500;
}

/** The files of one server. */
export class StaticFiles {
  readonly #root: string;
  readonly #locations: readonly string[];
  readonly #indexes: readonly string[];
  readonly #listsFolders: boolean;
  readonly #rules: readonly RewriteRule[];
  readonly #report: (error: unknown) => void;

  /** @param report Takes what the system could not do. */
  constructor(settings: ResolvedSettings, report: (error: unknown) => void) {
    this.#report = report;
    this.#root = settings.document_root;
    this.#locations = listOf(settings.static_handler_locations);
    this.#indexes = listOf(settings.http_index_files);
    this.#listsFolders = settings.http_autoindex;
    this.#rules = readRules(settings.url_rewrite_rules);
  }

  /** Whether files are looked for at all for a request. */
  takes(request: HttpRequest): boolean {
    const method = request.getMethod();
    if (method !== "GET" && method !== "HEAD") return false;
    return this.#locations.length === 0 || this.#isLocated(request);
  }

  /** Whether the path of a request is at, or below, one of the locations. */
  #isLocated(request: HttpRequest): boolean {
    const path = this.#pathOf(request);
    return this.#locations.some((one) => isAtOrBelow(path, one));
  }

  /** The path of a request, rewritten. */
  #pathOf(request: HttpRequest): string {
    return rewrite(String(request.server.request_uri), this.#rules);
  }

  /**
   * Answers a request with a file, with 404 for what no file can be meant by, or, where there are locations, for what is not
   * there.
   *
   * @returns `false` when the program has to answer.
   */
  async serve(request: HttpRequest, response: WaitingResponse): Promise<boolean> {
    const runtime = await loadRuntime();
    const path = safePath(this.#pathOf(request));
    if (path !== undefined && await this.#send(runtime, path, request, response)) return true;
    if (path !== undefined && this.#locations.length === 0) return false;
    if (!response.isWritable()) return true;
    response.status(404);
    response.header("Content-Type", "text/plain");
    response.end("not found");
    return true;
  }

  async #send(runtime: Runtime, path: string, request: HttpRequest, response: WaitingResponse): Promise<boolean> {
    let folder: string;
    try {
      const root = await runtime.realPath(this.#root);
      folder = await runtime.realPath(root + path);
      // A link may lead out of the root.
      if (folder !== root && !folder.startsWith(root.endsWith("/") ? root : `${root}/`)) return false;
      const file = await runtime.openFile(folder);
      if (path.endsWith("/")) return await file.close(), false; // what is below a file
      return await answer(folder, file, request, response);
    } catch (error) {
      const status = failureStatus(error);
      if (status === 404) return false;
      if (status !== 0) {
        if (status !== 403) this.#report(error);
        response.fail(status);
        return true;
      }
    }
    if (this.#indexes.length === 0 && !this.#listsFolders) return false;
    if (!path.endsWith("/")) { // so that the links of a page lead below it
      const { request_uri, query_string } = request.server;
      response.redirect(`${request_uri}/${query_string === undefined ? "" : `?${query_string}`}`, 301);
      return true;
    }
    for (const name of this.#indexes) {
      if (safePath(`/${name}`) !== undefined && await this.#send(runtime, `${path}${name}`, request, response)) return true;
    }
    return this.#listsFolders && await list(runtime, folder!, path, response);
  }
}

/**
 * The path of a file that a request target means: decoded once, absolute, without anything that leads upwards or is read as a
 * separator somewhere. Names with a dot in front are not served, `.well-known` excepted (RFC 8615).
 */
function safePath(target: string): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(target);
  } catch {
    return undefined;
  }
  // deno-lint-ignore no-control-regex
  if (!path.startsWith("/") || /[\x00-\x1f\x7f\\]|%(?:2e|2f|5c|00)/i.test(path)) return undefined;
  if (/%2f/i.test(target)) return undefined; // a slash in a name
  const names = path.slice(1).split("/");
  if (names.at(-1) === "") names.pop();
  return names.every((name) => name !== "" && (!name.startsWith(".") || name === ".well-known")) ? path : undefined;
}

async function answer(path: string, file: FileSource, request: HttpRequest, response: WaitingResponse): Promise<boolean> {
  try {
    const { size } = file;
    const { status, parts } = chooseParts(request.header, file, request.getMethod() === "GET");
    response.status(status);
    response.header("Last-Modified", new Date(file.mtime).toUTCString());
    response.header("ETag", entityTag(file), false);
    response.header("Accept-Ranges", "bytes");
    let pieces: readonly (string | ByteRange)[] = parts;
    if (parts.length > 1) {
      const body = multipart(path, parts, size);
      response.header("Content-Type", body.type);
      pieces = body.pieces;
    } else if (status === 206 || status === 416) {
      response.header("Content-Range", contentRange(parts[0], size));
    }
    if (parts.length > 0) {
      response.occupy();
      await sendPieces(response, path, file, pieces);
    } else {
      response.end();
    }
    return true;
  } finally {
    await file.close().catch(() => {});
  }
}

/** Lists a folder. */
async function list(runtime: Runtime, folder: string, path: string, response: WaitingResponse): Promise<boolean> {
  const entries = await runtime.readFolder(folder).catch(() => undefined);
  if (entries === undefined) return false;
  const names = entries.map(({ name, isFolder }) => isFolder ? `${name}/` : name)
    .filter((name) => safePath(`/${encodeURIComponent(name.replace(/\/$/, ""))}`) !== undefined).sort();
  if (path !== "/") names.unshift("../");
  const lines = names.map((name) => {
    const link = name === "../" ? name : `./${encodeURIComponent(name).replace(/%2F$/, "/")}`;
    return `<li><a href="${link}">${escapeHtml(name)}</a></li>`;
  });
  const title = escapeHtml(path);
  response.header("Content-Type", "text/html; charset=utf-8");
  response.end(
    `<!doctype html>\n<meta charset="utf-8">\n<title>${title}</title>\n<h1>${title}</h1>\n<ul>\n${lines.join("\n")}\n</ul>\n`,
  );
  return true;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
