/**
 * The settings of HTTP: requests, responses, files.
 *
 * @module
 */

import { describe, isRecord, type Kind } from "../../values.ts";
import { readRules } from "../files/rewrite_rules.ts";

/** The settings of requests, of the compression of responses, and of static files, under Swoole's names. */
export interface HttpSettings {
  /** Whether forms in bodies are parsed into `request.post`. Default: `true`. */
  http_parse_post?: boolean;
  /** Whether cookies are parsed into `request.cookie`. Default: `true`. */
  http_parse_cookie?: boolean;
  /**
   * Whether `multipart/form-data` is read into `request.post` and `request.files`, before the handler is called. Default:
   * `false`.
   */
  http_parse_files?: boolean;
  /** The folder for the temporary files of such forms. If it is empty, files are kept in memory. Default: `/tmp`. */
  upload_tmp_dir?: string;
  /**
   * The maximum size of one file, in bytes; larger ones are refused with 413. If set, forms are read while they arrive, and may
   * be larger than `package_max_length`. Default: 0, off.
   */
  upload_max_filesize?: number;
  /** The maximum number of parameters of a query, and of a form; further ones are ignored. Default: 1000. */
  http_max_parameters?: number;
  /** The maximum number of files in a form (PHP's `max_file_uploads`); a form with more is refused with 413. Default: 20. */
  http_max_uploaded_files?: number;
  /**
   * Whether the handler is called as soon as the head of a request has arrived. It can then read the body while it arrives, with
   * `request.body`. Default: `false`.
   */
  http_stream_body?: boolean;
  /**
   * The maximum size of such a body, and of a form that is read while it arrives, in bytes; larger ones are refused with 413.
   * Default: 0, no limit for bodies; for forms, `http_max_uploaded_files` of the largest files plus `package_max_length`.
   */
  http_stream_body_max_length?: number;
  /**
   * The time that the head of a request may take to arrive, in seconds. Afterwards the response is 408, or the connection closes
   * if nothing has arrived. Default: 10; 0 for no limit.
   */
  http_header_timeout?: number;
  /**
   * The time that a client may send nothing of a body that is being read, in seconds. Afterwards the response is 408, or the
   * connection is aborted if the response has begun. Default: 10; 0 for no limit.
   */
  http_body_timeout?: number;
  /**
   * The minimum rate at which a client must send a body, in bytes per second; it may lag by `http_body_timeout`. Default: 1024; 0
   * for no minimum.
   */
  http_body_min_rate?: number;
  /**
   * The time that a handler may take for a response, in seconds. Afterwards the response is 503, or the connection is aborted if
   * the response has begun; `request.signal` aborts. It does not apply to files being sent and responses left open with
   * `detach()`. Default: 0, no limit.
   */
  http_handler_timeout?: number;
  /**
   * The time that a handshake may take after its head has arrived, including the work of the program, in seconds. Afterwards the
   * response is 503. Default: 10; 0 for no limit.
   */
  websocket_handshake_timeout?: number;
  /**
   * Whether clients that end their side of the connection while they wait still receive the response. Default: `false`: such a
   * client counts as disconnected, because one that closed the connection looks the same.
   */
  http_allow_half_open?: boolean;
  /** Whether bodies are compressed for clients that accept it. Default: `true`. */
  http_compression?: boolean;
  /**
   * The compression level, from 1 (fast) to 9 (small), for brotli from 0 to 11. For gzip and deflate, a level above 9 means 9,
   * and 0 means 6. Default: 1.
   */
  http_compression_level?: number;
  /** An alias of `http_compression_level`. */
  compression_level?: number;
  /** An alias of `http_compression_level`. */
  http_gzip_level?: number;
  /** The size of the smallest body that is compressed, in bytes. Default: 20. */
  http_compression_min_length?: number;
  /** An alias of `http_compression_min_length`. */
  compression_min_length?: number;
  /** The media types to compress, such as `text/html` or `text/*`. Default: all that are known to become smaller. */
  http_compression_types?: string | readonly string[];
  /** An alias of `http_compression_types`. */
  compression_types?: string | readonly string[];
  /** The folder of the files that `enable_static_handler` serves. Default: none. */
  document_root?: string;
  /** Whether GET and HEAD requests for files below `document_root` are answered without calling the handler. Default: `false`. */
  enable_static_handler?: boolean;
  /** The paths at or below which files are served. Default: all paths. */
  static_handler_locations?: string | readonly string[];
  /**
   * Rewrite rules for the paths of files: from a path (which includes all paths below it) or a pattern between tildes, to another
   * path: `{ "/old": "/new", "~^/post/([0-9]+)$~": "/posts/$1.html" }`. The first rule that matches applies. The handler sees the
   * original path. Default: none.
   */
  url_rewrite_rules?: Readonly<Record<string, string>>;
  /** The names of index files. For a folder, the first one that exists in it is sent. Default: none. */
  http_index_files?: string | readonly string[];
  /** Whether folders without an index file are listed. Default: `false`. */
  http_autoindex?: boolean;
}

/** The defaults of the HTTP settings. */
export const HTTP_DEFAULTS: Readonly<Required<HttpSettings>> = {
  http_parse_post: true,
  http_parse_cookie: true,
  http_parse_files: false,
  upload_tmp_dir: "/tmp",
  upload_max_filesize: 0,
  http_max_parameters: 1000,
  http_max_uploaded_files: 20,
  http_stream_body: false,
  http_stream_body_max_length: 0,
  http_header_timeout: 10,
  http_body_timeout: 10,
  http_body_min_rate: 1024,
  http_handler_timeout: 0,
  websocket_handshake_timeout: 10,
  http_allow_half_open: false,
  http_compression: true,
  http_compression_level: 1,
  compression_level: 1,
  http_gzip_level: 1,
  http_compression_min_length: 20,
  compression_min_length: 20,
  http_compression_types: [],
  compression_types: [],
  document_root: "",
  enable_static_handler: false,
  static_handler_locations: [],
  url_rewrite_rules: {},
  http_index_files: [],
  http_autoindex: false,
};

const LEVEL = { from: 0, to: 11 };

/** The valid values of the HTTP settings. */
export const HTTP_KINDS: Record<keyof HttpSettings, Kind> = {
  http_parse_post: "boolean",
  http_parse_cookie: "boolean",
  http_parse_files: "boolean",
  upload_tmp_dir: "text",
  upload_max_filesize: "bytes",
  http_max_parameters: "count",
  http_max_uploaded_files: "count",
  http_stream_body: "boolean",
  http_stream_body_max_length: "bytes",
  http_header_timeout: "seconds",
  http_body_timeout: "seconds",
  http_body_min_rate: "bytes",
  http_handler_timeout: "seconds",
  websocket_handshake_timeout: "seconds",
  http_allow_half_open: "boolean",
  http_compression: "boolean",
  http_compression_level: LEVEL,
  compression_level: LEVEL,
  http_gzip_level: LEVEL,
  http_compression_min_length: "bytes",
  compression_min_length: "bytes",
  http_compression_types: "texts",
  compression_types: "texts",
  document_root: "text",
  enable_static_handler: "boolean",
  static_handler_locations: "texts",
  url_rewrite_rules: checkRules,
  http_index_files: "texts",
  http_autoindex: "boolean",
};

function checkRules(key: string, value: unknown): void {
  if (!isRecord(value) || !Object.values(value).every((item) => typeof item === "string")) {
    throw new TypeError(`Cannot set ${key}: an object with strings is needed, not ${describe(value)}`);
  }
  readRules(value as Record<string, string>);
}

/** Returns a string or a list of strings as a list. */
export function listOf(texts: string | readonly string[]): readonly string[] {
  return typeof texts === "string" ? [texts] : texts;
}
