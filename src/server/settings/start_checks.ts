/**
 * Checks that are only possible when a server starts: settings that contradict each other, and missing files and folders.
 *
 * @module
 */

import type { Runtime } from "../../transport/runtime.ts";
import { logPath } from "../log_output.ts";
import type { ResolvedSettings, ServerSettings } from "./settings.ts";

/**
 * Checks that the send queue of a port can reach both watermarks.
 *
 * @param given The settings of the program: only these can be wrong.
 * @throws {RangeError} If the low watermark is above the high one, or the high one is above the maximum size of the queue.
 */
export function checkWatermarks(settings: ResolvedSettings, given: ServerSettings): void {
  const { buffer_high_watermark: high, buffer_low_watermark: low, socket_buffer_size: size } = settings;
  if (low > high) {
    throw new RangeError(`Cannot start the server: buffer_low_watermark (${low}) is above buffer_high_watermark (${high})`);
  }
  if (given.buffer_high_watermark !== undefined && high > size) {
    throw new RangeError(`Cannot start the server: buffer_high_watermark (${high}) is above socket_buffer_size (${size})`);
  }
}

/** Returns the names of the TLS settings among those given. */
function tlsSettings(given: ServerSettings): string[] {
  return Object.keys(given).filter((key) => key.startsWith("ssl_") && key !== "ssl_compress");
}

/** The properties of a port that matter for TLS. */
interface Port {
  /** The settings of the program for this port. */
  readonly config: { readonly given: ServerSettings };
  /** The address to listen on. */
  readonly place: { readonly ssl: boolean; readonly type?: number; readonly hostname: string; readonly port: number } | undefined;
}

/**
 * Checks that TLS settings are used only where TLS is. Otherwise data meant to be encrypted would be served in plain text.
 *
 * @param ports The ports of a server, its own first, whose settings also apply to the others.
 * @throws {TypeError} If a port without TLS has TLS settings.
 */
export function checkTls(ports: readonly Port[]): void {
  for (const [index, { config, place }] of ports.entries()) {
    const [name] = tlsSettings(config.given);
    if (name === undefined || place?.ssl) continue;
    if (index === 0 && ports.some((port) => port.place?.ssl)) continue;
    const who = index === 0 ? "the server" : `the port ${place?.hostname}:${place?.port}`;
    const way = place?.type === undefined ? "pass true as the third argument of HttpServer" : "add SWOOLE_SSL to the socket type";
    throw new TypeError(`Cannot start the server: ${name} is set, but ${who} does not speak TLS; ${way}`);
  }
}

/**
 * Checks that the files and folders named by settings exist and are of the right kind. Of permissions, only those for
 * `document_root`, `log_file` and `access_log_file` are checked.
 *
 * @throws {Error} If one is missing or of the wrong kind, with the setting and the path.
 */
export async function checkFiles(runtime: Runtime, settings: ResolvedSettings): Promise<void> {
  const { document_root, enable_static_handler, http_parse_files, upload_tmp_dir, log_file, access_log_file, stats_file } =
    settings;
  if (enable_static_handler && document_root === "") {
    throw new TypeError("Cannot start the server: enable_static_handler needs the setting document_root");
  }
  if (document_root !== "") await checkFolder(runtime, "document_root", document_root, enable_static_handler);
  if (http_parse_files && upload_tmp_dir !== "") await checkFolder(runtime, "upload_tmp_dir", upload_tmp_dir);
  for (const [name, file] of Object.entries({ log_file, access_log_file })) {
    if (file !== "") await checkWriting(runtime, name, logPath(file, settings, Date.now()));
  }
  if (stats_file === "") return;
  if (await kindOf(runtime, stats_file) === "folder") throw wrong("stats_file", `${stats_file} is a folder`);
  if (await kindOf(runtime, folderOf(stats_file)) === "nothing") {
    throw wrong("stats_file", `there is no folder ${folderOf(stats_file)}`);
  }
}

/** Returns the folder of a file: with a slash at the end, or `.` for the working directory. */
function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1) || ".";
}

/** Checks that a file can be written. Creates it if necessary: there is no other portable way to find out. */
async function checkWriting(runtime: Runtime, name: string, path: string): Promise<void> {
  try {
    await runtime.appendTextFile(path, "");
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENOENT" || code === "ENOTDIR") throw wrong(name, `there is no folder ${folderOf(path)}`);
    if (code === "EISDIR") throw wrong(name, `${path} is a folder`);
    if (code === "EACCES" || code === "EROFS") throw wrong(name, `${path} may not be written`);
  }
}

async function checkFolder(runtime: Runtime, name: string, path: string, isRead = false): Promise<void> {
  const kind = await kindOf(runtime, path);
  if (isRead && kind === "unknown") throw wrong(name, `${path} may not be read`);
  if (kind === "nothing") throw wrong(name, `there is no folder ${path}`);
  if (kind === "file") throw wrong(name, `${path} is not a folder`);
}

function wrong(name: string, state: string): Error {
  return new Error(`Cannot use ${name}: ${state}`);
}

/** Returns the kind of file at a path; `unknown` if it cannot be accessed. */
async function kindOf(runtime: Runtime, path: string): Promise<"nothing" | "folder" | "file" | "unknown"> {
  try {
    await (await runtime.openFile(path)).close();
    return "file";
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "EISDIR") return "folder";
    if (code === "ENOENT" || code === "ENOTDIR") return "nothing";
    return code === "EINVAL" || code === "ENXIO" ? "file" : "unknown";
  }
}
