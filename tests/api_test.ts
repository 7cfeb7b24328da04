import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as main from "../mod.ts";
import * as coroutine from "../src/coroutine/mod.ts";
import { checkClientSettings, resolveClientSettings } from "../src/client/client_settings.ts";
import { EVENT_NAMES, PORT_EVENT_NAMES } from "../src/server/configuration.ts";
import { checkSettings, resolveSettings } from "../src/server/settings/settings.ts";
import { ABSENT_SETTINGS } from "../src/server/settings/swoole_settings.ts";
import { HERE, readTables, type Row } from "./support/api_tables.ts";

const root = new URL("../", import.meta.url);
const words = (names: string) => names.trim().split(/\s+/);

// ---- what docs/api.md says --------------------------------------------------------------------------------------------

const tables = readTables(readFileSync(new URL("docs/api.md", root), "utf8"));

function rowsOf(title: string): ReadonlyMap<string, Row> {
  const rows = tables.get(title);
  assert(rows !== undefined && rows.size > 0, `docs/api.md has no table under "${title}"`);
  return rows;
}

/** Holds the rows of a section against what there is, both ways; `inherited` has rows in another section. */
function compare(title: string, there: ReadonlySet<string>, inherited: ReadonlySet<string> = new Set()): void {
  const rows = rowsOf(title);
  const faults: string[] = [];
  for (const [name, { state }] of rows) {
    if (HERE.includes(state) && !there.has(name)) faults.push(`${name} is said to be here, and is not`);
    if (!HERE.includes(state) && there.has(name)) faults.push(`${name} is said to be missing, and is here`);
  }
  for (const name of there) if (!rows.has(name) && !inherited.has(name)) faults.push(`${name} has no row`);
  assertEquals(faults, [], `docs/api.md, "${title}": ${faults.join("; ")}`);
}

// ---- what there is ----------------------------------------------------------------------------------------------------

/** Members that are there for other files of `src/` only, by the class that has them; each is `private` or marked `@internal`. */
const INTERNAL: Readonly<Record<string, string>> = {
  BaseRequest: "httpVersion",
  // Frames without copies.
  Frame: "received() sizeOf() settle() store() outgoing() isKnownText()",
};

/** Members that are not in the public types. */
const UNTYPED: Readonly<Record<string, string>> = {
  // They throw errors that say whose methods they are.
  HttpServer: "push() ping() disconnect() isEstablished() subscribe() unsubscribe() publish() broadcast()",
  // The way from a public object to the internal one.
  BaseRequest: "forwardedOf()",
  BaseResponse: "writerOf()",
  HttpResponse: "leave() fail()", // of the coroutine style
  ServerConnections: "coreOf()",
};

// deno-lint-ignore no-explicit-any
type Class = abstract new (...args: any[]) => object;

/** The public members of a class: fields of an instance, accessors, and with "()" methods, static or not. */
function membersOf(type: Class, instance: object): Set<string> {
  const members = new Set<string>();
  const native: unknown[] = [Function.prototype, File];
  const add = (owner: object, but: readonly string[], internal: readonly string[] = []) => {
    for (const key of Reflect.ownKeys(owner)) {
      const name = typeof key === "symbol" ? `[${key.description}]` : key;
      const { value } = Object.getOwnPropertyDescriptor(owner, key)!;
      const member = typeof value === "function" ? `${name}()` : name;
      if (!but.includes(name) && !internal.includes(member)) members.add(member);
    }
  };
  for (const key of Object.getOwnPropertyNames(instance)) members.add(key);
  for (let base = type; !native.includes(base); base = Object.getPrototypeOf(base)) {
    const untyped = base === coroutine.HttpServer ? "" : UNTYPED[base.name] ?? ""; // it has a namesake
    const internal = words(`${INTERNAL[base.name] ?? ""} ${untyped}`);
    add(base, ["length", "name", "prototype"], internal);
    add(base.prototype, ["constructor"], internal);
  }
  return members.add("__construct()");
}

const server = new main.Server("127.0.0.1", 0);
const webSocketServer = new main.WebSocketServer("127.0.0.1", 0);
const exchange = { fd: 1 } as never;

const ofServer = membersOf(main.Server, server);
const ofFrame = membersOf(main.Frame, new main.Frame());
const ofResponse = membersOf(main.HttpResponse, new main.HttpResponse(exchange));
const constructed = new Set(["__construct()"]); // where the table says nothing of it

/** The classes: their members, and which of them are told elsewhere than in the section of that name. */
const CLASSES: readonly (readonly [name: string, members: Set<string>, inherited: Set<string>, section?: string])[] = [
  ["Server", ofServer, constructed],
  ["HttpServer", membersOf(main.HttpServer, new main.HttpServer("127.0.0.1", 0)), constructed, "Server"],
  ["ServerPort", membersOf(main.ServerPort, server.ports[0]), constructed],
  ["ConnectionList", membersOf(main.ConnectionList, server.connections), constructed],
  ["WebSocketServer", membersOf(main.WebSocketServer, webSocketServer), ofServer],
  ["Frame", ofFrame, constructed],
  ["CloseFrame", membersOf(main.CloseFrame, new main.CloseFrame()), ofFrame],
  ["HttpRequest", membersOf(main.HttpRequest, main.HttpRequest.create()), constructed],
  ["UploadedFile", membersOf(main.UploadedFile, new main.UploadedFile(new Blob(), "a", "")), constructed],
  ["HttpResponse", ofResponse, constructed],
  ["Cookie", membersOf(main.Cookie, new main.Cookie()), new Set()],
  [
    "HttpResponse of the coroutine style",
    membersOf(coroutine.HttpResponse, new coroutine.HttpResponse(exchange, undefined as never)),
    ofResponse,
  ],
  [
    "HttpServer of the coroutine style",
    membersOf(coroutine.HttpServer, new coroutine.HttpServer("127.0.0.1")),
    constructed,
  ],
  ["HttpClient", membersOf(coroutine.HttpClient, new coroutine.HttpClient("127.0.0.1")), constructed],
];

for (const [name, members, inherited, section = name] of CLASSES) {
  test(`docs/api.md tells every member of ${name}, and no other`, () => compare(section, members, inherited));
}

test("what docs/api.md leaves out is private or marked @internal", () => {
  const marked = new Set<string>();
  const folder = new URL("src/", root);
  for (const file of readdirSync(folder, { recursive: true }) as string[]) {
    if (!file.endsWith(".ts")) continue;
    const pattern = /(?:@internal \*\/\s+(?:protected |static |override |async )*|\bprivate (?:static )?)(get )?([A-Za-z]+)\(/g;
    for (const [, get, name] of readFileSync(new URL(file.replaceAll("\\", "/"), folder), "utf8").matchAll(pattern)) {
      marked.add(get === undefined ? `${name}()` : name);
    }
  }
  for (const name of Object.values(INTERNAL).flatMap(words)) assert(marked.has(name), `${name} is not marked`);
});

test("docs/api.md tells every class, function and constant that is exported, and no other", () => {
  const classes = new Set<string>();
  const functions = new Set<string>();
  const constants = new Map<string, unknown>();
  for (const [name, value] of Object.entries({ ...coroutine, ...main } as Record<string, unknown>)) {
    if (typeof value !== "function") constants.set(name, value);
    else if (/^class\b/.test(String(value))) classes.add(name);
    else functions.add(`${name}()`);
  }
  compare("Classes", classes);
  compare("Functions", functions);
  const isError = (name: string) => /^E[A-Z]+$|^SWOOLE_ERROR_/.test(name);
  compare("Constants", new Set([...constants.keys()].filter((name) => !isError(name))));
  compare("Error codes", new Set([...constants.keys()].filter(isError)));
  for (const title of ["Constants", "Error codes"]) {
    for (const [name, { state, value }] of rowsOf(title)) {
      if (HERE.includes(state)) assertEquals(String(constants.get(name)), value, `${name} has another value`);
    }
  }
});

test("docs/api.md tells every event, and no other", () => {
  const events = new Set([...EVENT_NAMES.server, ...EVENT_NAMES.http, ...EVENT_NAMES.websocket, ...PORT_EVENT_NAMES]);
  compare("Events", events);
  for (const [name, { state }] of rowsOf("Events")) {
    let taken = true;
    try {
      new main.WebSocketServer("127.0.0.1", 0).on(name as "open", () => {});
    } catch {
      taken = false;
    }
    assertEquals(taken, HERE.includes(state), `on("${name}")`);
  }
});

test("docs/api.md tells every setting, and no other", () => {
  const sections = [
    ["Settings of a server", resolveSettings({}), checkSettings],
    ["Settings of HttpClient", resolveClientSettings({}), checkClientSettings],
  ] as const;
  for (const [title, settings, check] of sections) {
    compare(title, new Set(Object.keys(settings)));
    for (const [name, { state }] of rowsOf(title)) {
      let fault = "";
      try {
        check({ [name]: (settings as unknown as Record<string, unknown>)[name] ?? null });
      } catch (error) {
        fault = (error as Error).message;
      }
      const isAbsent = fault.includes("there is no such setting") || (check === checkSettings && ABSENT_SETTINGS.has(name));
      assertEquals(isAbsent, !HERE.includes(state), `${title}: ${name}: ${fault}`);
    }
  }
});

// ---- what Swoole has --------------------------------------------------------------------------------------------------

const methods = (names: string) => words(names).map((name) => `${name}()`);
const each = (prefix: string, names: string) => words(names).map((name) => prefix + name);

const OPCODES = "CONTINUATION TEXT BINARY CLOSE PING PONG";
const STATUSES = "CONNECTION HANDSHAKE ACTIVE CLOSING";
const CLOSE_CODES = `NORMAL GOING_AWAY PROTOCOL_ERROR DATA_ERROR STATUS_ERROR ABNORMAL MESSAGE_ERROR POLICY_ERROR
  MESSAGE_TOO_BIG EXTENSION_MISSING SERVER_ERROR CLOSE_SERVICE_RESTART TRY_AGAIN_LATER BAD_GATEWAY TLS`;

/** The names of Swoole 6.2.2, as its own reflection and its sources tell them. */
const SWOOLE: Readonly<Record<string, readonly string[]>> = {
  "Server": [
    ...methods(`__construct listen addlistener on getCallback set start send sendto sendwait sendfile exists exist protect close
      confirm pause resume task taskwait taskWaitMulti taskCo finish reload shutdown stop getLastError heartbeat getClientInfo
      connection_info getClientList connection_list getWorkerId getWorkerPid getWorkerStatus getManagerPid getMasterPid
      sendMessage command addCommand addProcess stats getSocket bind defer tick after clearTimer`),
    ...words(`setting connections host port type ssl mode ports master_pid manager_pid worker_id taskworker worker_pid
      stats_timer admin_server`),
  ],
  "ServerPort": [...words("host port type sock ssl setting connections"), ...methods("set on getCallback getSocket")],
  "ConnectionList": methods("count"),
  "WebSocketServer": methods("push disconnect ping isEstablished pack unpack"),
  "Frame": [...words("fd data opcode flags finish"), ...methods("__toString pack unpack")],
  "CloseFrame": words("code reason"),
  "HttpRequest": [
    ...words("fd streamId header server cookie get files post tmpfiles"),
    ...methods("getContent rawContent getData getMethod create parse isCompleted"),
  ],
  "HttpResponse": [
    ...words("fd socket header cookie trailer"),
    ...methods(`initHeader isWritable cookie setCookie rawcookie setRawCookie status setStatusCode header setHeader trailer ping
      goaway write end sendfile redirect detach create upgrade push recv close disconnect`),
  ],
  "HttpResponse of the coroutine style": methods("upgrade push recv ping disconnect"),
  "HttpServer of the coroutine style": [
    ...words("fd host port ssl settings errCode errMsg"),
    ...methods("__construct set handle start shutdown"),
  ],
  "HttpClient": [
    ...words(`socket errCode errMsg connected host port ssl setting requestMethod requestHeaders requestBody uploadFiles
      downloadFile downloadOffset statusCode headers set_cookie_headers cookies body`),
    ...methods(`__construct set getDefer setDefer setMethod setHeaders setBasicAuth setCookies setData addFile addData execute get
      post download getBody getHeaders getCookies getStatusCode getHeaderOut getPeerCert getpeername getsockname upgrade push recv
      close ping disconnect`),
  ],
  "Functions": methods("swoole_strerror swoole_last_error swoole_clear_error"),
  "Events": words(`start workerStart managerStart managerStop beforeShutdown shutdown workerStop workerExit workerError
    beforeReload afterReload task finish pipeMessage connect receive packet request handshake beforeHandshakeResponse open message
    close disconnect bufferFull bufferEmpty`),
  "Settings of a server": words(`debug_mode trace_flags log_file log_level log_date_format log_date_with_microseconds log_rotation
    display_errors dns_server socket_dns_timeout socket_connect_timeout socket_write_timeout socket_send_timeout
    socket_read_timeout socket_recv_timeout socket_buffer_size socket_timeout http2_header_table_size http2_enable_push
    http2_max_concurrent_streams http2_init_window_size http2_max_frame_size http2_max_header_list_size chroot user group
    daemonize pid_file reactor_num single_thread worker_num max_wait_time max_queued_bytes max_concurrency worker_max_concurrency
    enable_coroutine send_timeout dispatch_mode send_yield dispatch_func discard_timeout_request enable_unsafe_event
    enable_delay_receive enable_reuse_port task_use_object task_object event_object task_enable_coroutine task_worker_num
    task_ipc_mode task_tmpdir task_max_request task_max_request_grace max_connection max_conn start_session_id
    heartbeat_check_interval heartbeat_idle_time max_request max_request_grace reload_async open_cpu_affinity cpu_affinity_ignore
    http_parse_cookie http_parse_post http_parse_files http_compression http_compression_level compression_level http_gzip_level
    http_compression_min_length compression_min_length websocket_compression websocket_mask upload_tmp_dir upload_max_filesize
    enable_static_handler document_root http_autoindex http_index_files http_compression_types compression_types
    static_handler_locations input_buffer_size buffer_input_size output_buffer_size buffer_output_size message_queue_key bootstrap
    init_arguments url_rewrite_rules ssl_cert_file ssl_key_file backlog kernel_socket_recv_buffer_size
    kernel_socket_send_buffer_size buffer_high_watermark buffer_low_watermark open_tcp_nodelay tcp_defer_accept open_tcp_keepalive
    open_eof_check open_eof_split package_eof open_http_protocol open_websocket_protocol websocket_subprotocol
    open_websocket_close_frame open_websocket_ping_frame open_websocket_pong_frame open_http2_protocol open_mqtt_protocol
    open_redis_protocol max_idle_time tcp_keepidle tcp_keepinterval tcp_keepcount tcp_user_timeout tcp_fastopen open_length_check
    package_length_type package_length_offset package_body_offset package_body_start package_length_func package_max_length
    ssl_compress ssl_protocols ssl_verify_peer ssl_allow_self_signed ssl_client_cert_file ssl_cafile ssl_capath ssl_verify_depth
    ssl_prefer_server_ciphers ssl_ciphers ssl_ecdh_curve ssl_dhparam ssl_sni_certs aio_core_worker_num aio_worker_num
    aio_max_wait_time aio_max_idle_time iouring_entries iouring_workers iouring_flag enable_signalfd wait_signal
    dns_cache_refresh_time thread_num min_thread_num max_thread_num socket_dontwait dns_lookup_random use_async_resolver
    max_coro_num max_coroutine enable_deadlock_check hook_flags enable_preemptive_scheduler c_stack_size stack_size name_resolver
    dns_cache_expire dns_cache_capacity stats_file stats_timer_interval admin_server`),
  "Settings of HttpClient": words(
    `timeout connect_timeout read_timeout write_timeout max_retries defer lowercase_header keep_alive
    http_compression body_decompression write_func websocket_mask websocket_compression websocket_subprotocol
    open_websocket_ping_frame open_websocket_pong_frame open_websocket_close_frame bind_address bind_port socket_buffer_size
    open_tcp_nodelay package_max_length socks5_host socks5_port socks5_username socks5_password http_proxy_host http_proxy_port
    http_proxy_user http_proxy_password ssl_verify_peer ssl_allow_self_signed ssl_host_name ssl_cafile ssl_capath ssl_cert_file
    ssl_key_file ssl_passphrase ssl_verify_depth ssl_ciphers ssl_protocols`,
  ),
  "Constants": [
    ...["", "SWOOLE_"].flatMap((prefix) => [
      ...each(`${prefix}WEBSOCKET_OPCODE_`, OPCODES),
      ...each(`${prefix}WEBSOCKET_STATUS_`, STATUSES),
      ...each(`${prefix}WEBSOCKET_CLOSE_`, CLOSE_CODES),
    ]),
    ...each("WEBSOCKET_STATUS_", "FRAME HANDSHAKE_FAILED"),
    ...each("SWOOLE_WEBSOCKET_FLAG_", "FIN COMPRESS RSV1 RSV2 RSV3 MASK"),
    ...each("SWOOLE_", "BASE PROCESS THREAD SSL"),
    ...each("SWOOLE_SOCK_", "TCP UDP TCP6 UDP6 UNIX_STREAM UNIX_DGRAM"),
    ...each("SWOOLE_DISPATCH_", "ROUND FDMOD IDLE_WORKER IPMOD UIDMOD USERFUNC STREAM CO_CONN_LB CO_REQ_LB CONCURRENT_LB"),
    ...each("SWOOLE_HTTP_CLIENT_ESTATUS_", "CONNECT_FAILED REQUEST_TIMEOUT SERVER_RESET SEND_FAILED"),
  ],
  "Error codes": [
    ...words("EBADF EPIPE ECONNRESET ETIMEDOUT ECONNREFUSED"),
    ...each(
      "SWOOLE_ERROR_",
      `PHP_FATAL_ERROR INVALID_PARAMS PROTOCOL_ERROR PHP_RUNTIME_NOTICE NO_PAYLOAD SESSION_CLOSED_BY_SERVER
      SESSION_CLOSED_BY_CLIENT SESSION_CLOSING SESSION_CLOSED SESSION_NOT_EXIST OUTPUT_BUFFER_OVERFLOW OUTPUT_SEND_YIELD
      PACKAGE_LENGTH_TOO_LARGE PACKAGE_LENGTH_NOT_FOUND PACKAGE_MALFORMED_DATA CLIENT_NO_CONNECTION SOCKS5_UNSUPPORT_VERSION SOCKS5_UNSUPPORT_METHOD
      SOCKS5_AUTH_FAILED SOCKS5_SERVER_ERROR SOCKS5_HANDSHAKE_FAILED HTTP_PROXY_HANDSHAKE_ERROR HTTP_PROXY_BAD_RESPONSE HTTP_INVALID_PROTOCOL
      HTTP_CONTEXT_UNAVAILABLE WEBSOCKET_BAD_CLIENT WEBSOCKET_BAD_OPCODE WEBSOCKET_UNCONNECTED WEBSOCKET_HANDSHAKE_FAILED
      WEBSOCKET_PACK_FAILED WEBSOCKET_UNPACK_FAILED WEBSOCKET_INCOMPLETE_PACKET`,
    ),
  ],
};

test("docs/api.md tells what became of everything that Swoole has", () => {
  for (const [title, names] of Object.entries(SWOOLE)) {
    const rows = rowsOf(title);
    const missing = names.filter((name) => !rows.has(name) || rows.get(name)!.state === "beyond Swoole");
    assertEquals(missing, [], `docs/api.md, "${title}" has no row for ${missing.join(", ")}`);
  }
});
