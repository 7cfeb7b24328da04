/**
 * The settings of HTTP: requests, answers, files.
 *
 * @module
 */

import type { FormOptions } from "../http/form_reader.ts";
import { describe, isRecord, type Kind } from "../../setting_kinds.ts";
import { readRules } from "../files/rewrite_rules.ts";
import type { ResolvedSettings } from "./settings.ts";

/** How requests are read, answers are compressed and files are served, under Swoole's names. */
export interface HttpSettings {
  /** Read forms in bodies into `request.post`. `true`. */
  http_parse_post?: boolean;
  /** Read cookies into `request.cookie`. `true`. */
  http_parse_cookie?: boolean;
  /** Read `multipart/form-data` into `request.post` and `request.files`, before the handler is called. `false`. */
  http_parse_files?: boolean;
  /** The folder of the temporary files for that. With an empty text files are in memory. `/tmp`. */
  upload_tmp_dir?: string;
  /**
   * Read such forms while they arrive, so that they may be larger than `package_max_length`: the most octets of one file, else
   * 413. 0: off.
   */
  upload_max_filesize?: number;
  /** The most parameters of a query, and of a form, that are taken; the others are left out. 1000. */
  http_max_parameters?: number;
  /** Call the handler when the head of a request is there; it reads the body as it arrives, with `request.body`. `false`. */
  http_stream_body?: boolean;
  /** The most octets of such a body, and of a form that is read while it arrives; else 413. 0: no limit, but for forms 20 files. */
  http_stream_body_max_length?: number;
  /** How long the head of a request may take to arrive; else 408, or the end if nothing of it has. 10 s; 0 for ever. */
  http_header_timeout?: number;
  /** How long a client may send nothing of a body that is being read; else 408, or the end if the response has begun. 10 s; 0 for ever. */
  http_body_timeout?: number;
  /** How many bytes of a body a client has to send in a second; it may be behind by `http_body_timeout`. 1024; 0: any. */
  http_body_min_rate?: number;
  /**
   * How long a handler may take for a response, a file that is being sent and what `detach()` has left for later excepted; else 503,
   * or the end if the response has begun. `request.signal` tells the handler. 0: for ever.
   */
  http_handler_timeout?: number;
  /** How long a handshake may take once its head is there, with what the program does for it; else 503. 10 s; 0 for ever. */
  websocket_handshake_timeout?: number;
  /**
   * Answer clients that end their side of the connection while they wait. `false`: such a client has gone, since one that was
   * closed looks the same.
   */
  http_allow_half_open?: boolean;
  /** Compress bodies for clients that take it. `true`. */
  http_compression?: boolean;
  /** 1 is fast, 9 is small; of brotli 0 and 11. What a coding has not stands for its nearest, 0 of gzip for 6. 1. */
  http_compression_level?: number;
  /** Another name of `http_compression_level`. */
  compression_level?: number;
  /** Another name of `http_compression_level`. */
  http_gzip_level?: number;
  /** Bodies below this many octets are not compressed. 20. */
  http_compression_min_length?: number;
  /** Another name of `http_compression_min_length`. */
  compression_min_length?: number;
  /** The media types that are compressed, such as `text/html` or `text/*`. None given: those that get smaller by it. */
  http_compression_types?: string | readonly string[];
  /** Another name of `http_compression_types`. */
  compression_types?: string | readonly string[];
  /** The folder of the files that `enable_static_handler` serves. None by default. */
  document_root?: string;
  /** Answer GET and HEAD for files below `document_root` without calling the handler. `false`. */
  enable_static_handler?: boolean;
  /** The paths, with all below them, where files are looked for; everywhere by default. */
  static_handler_locations?: string | readonly string[];
  /**
   * Other paths for files, by the path (with all below it) or the pattern between tildes that is asked for:
   * `{ "/old": "/new", "~^/post/([0-9]+)$~": "/posts/$1.html" }`. The first that is for a path counts. The handler sees none of it.
   * None by default.
   */
  url_rewrite_rules?: Readonly<Record<string, string>>;
  /** What is sent for a folder: the first of these files that is in it. None by default. */
  http_index_files?: string | readonly string[];
  /** List folders that have no such file. `false`. */
  http_autoindex?: boolean;
}

/** Their defaults. */
export const HTTP_DEFAULTS: Readonly<Required<HttpSettings>> = {
  http_parse_post: true,
  http_parse_cookie: true,
  http_parse_files: false,
  upload_tmp_dir: "/tmp",
  upload_max_filesize: 0,
  http_max_parameters: 1000,
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

/** What their values have to be. */
export const HTTP_KINDS: Record<keyof HttpSettings, Kind> = {
  http_parse_post: "boolean",
  http_parse_cookie: "boolean",
  http_parse_files: "boolean",
  upload_tmp_dir: "text",
  upload_max_filesize: "octets",
  http_max_parameters: "count",
  http_stream_body: "boolean",
  http_stream_body_max_length: "octets",
  http_header_timeout: "seconds",
  http_body_timeout: "seconds",
  http_body_min_rate: "octets",
  http_handler_timeout: "seconds",
  websocket_handshake_timeout: "seconds",
  http_allow_half_open: "boolean",
  http_compression: "boolean",
  http_compression_level: LEVEL,
  compression_level: LEVEL,
  http_gzip_level: LEVEL,
  http_compression_min_length: "octets",
  compression_min_length: "octets",
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

/** A text or a list of texts as a list. */
export function listOf(texts: string | readonly string[]): readonly string[] {
  return typeof texts === "string" ? [texts] : texts;
}

/** A form that is read while it arrives may have so many files of the largest size, unless another limit is set. */
const LARGEST_FILES = 20;

/** How forms with files are read, if they are. */
export function formOptions(settings: ResolvedSettings): FormOptions | undefined {
  if (!settings.http_parse_files) return undefined;
  const { upload_tmp_dir: folder, upload_max_filesize: most, package_max_length: whole } = settings;
  const streamed = most > 0 && folder !== "";
  return {
    folder,
    streamed,
    maxSize: streamed ? settings.http_stream_body_max_length || LARGEST_FILES * most + whole : whole,
    maxFileSize: most || Infinity,
    maxTextSize: whole,
    maxHeadSize: settings.http_max_header_size,
    maxHeaders: settings.http_max_headers,
    maxParameters: settings.http_max_parameters,
  };
}
