/**
 * Swoole's settings that Sluice does not support: the values that are accepted because they change nothing, and the reasons to
 * reject all others.
 *
 * @module
 */

/** Swoole's settings that have no effect here, with the values that are accepted so that a Swoole program runs unchanged. */
export interface IgnoredSettings {
  /** There are no reactor threads. Any number. */
  reactor_num?: number;
  /** There are no reactor threads. */
  single_thread?: boolean;
  /** No work is passed to other workers. */
  discard_timeout_request?: boolean;
  /** No work is passed to other workers. */
  dispatch_func?: null;
  /** `connect` and `close` are always called. */
  enable_unsafe_event?: boolean;
  /** There is no queue between the sockets and the handlers. */
  max_queued_bytes?: 0;
  /** Tasks go over sockets. Any number. */
  task_ipc_mode?: number;
  /** Tasks go over sockets. Any path. */
  task_tmpdir?: string;
  /** The process stays in the foreground. */
  daemonize?: false | 0;
  /** The system chooses the CPU. */
  open_cpu_affinity?: false | 0;
  /** Handlers are asynchronous. */
  enable_coroutine?: true;
  /** `send()` does not wait. */
  send_yield?: false;
  /** Handlers are asynchronous. Any number. */
  hook_flags?: number;
  /** Handlers are asynchronous. */
  enable_deadlock_check?: boolean;
  /** Handlers are asynchronous. */
  enable_preemptive_scheduler?: false;
  /** Handlers are asynchronous. Any number. */
  c_stack_size?: number;
  /** Handlers are asynchronous. Any number. */
  stack_size?: number;
  /** It has no effect in Swoole either. Any number. */
  buffer_output_size?: number;
  /** It has no effect in Swoole either. Any number. */
  output_buffer_size?: number;
  /** Clients that do not read are detected in other ways. */
  send_timeout?: 0 | -1;
  /** HTTP/2 is not supported. */
  open_http2_protocol?: false;
  /** Servers do not mask frames. */
  websocket_mask?: false;
  /** TLS compression is not supported. */
  ssl_compress?: false;
  /** TCP Fast Open is not supported. */
  tcp_fastopen?: false;
  /** Connections are accepted at once. */
  tcp_defer_accept?: false | 0;
  /** The runtime has a debugger. */
  debug_mode?: false;
  /** The runtime has a debugger. */
  trace_flags?: 0;
  /** Errors are logged. */
  display_errors?: true;
  /** The runtime manages its threads for files. Any number. */
  aio_core_worker_num?: number;
  /** The runtime manages its threads for files. Any number. */
  aio_worker_num?: number;
  /** The runtime manages its threads for files. Any number. */
  aio_max_wait_time?: number;
  /** The runtime manages its threads for files. Any number. */
  aio_max_idle_time?: number;
  /** The runtime manages its threads for files. Any number. */
  iouring_entries?: number;
  /** The runtime manages its threads for files. Any number. */
  iouring_workers?: number;
  /** The runtime manages its threads for files. Any number. */
  iouring_flag?: number;
  /** The runtime manages its threads for files. Any number. */
  thread_num?: number;
  /** The runtime manages its threads for files. Any number. */
  min_thread_num?: number;
  /** The runtime manages its threads for files. Any number. */
  max_thread_num?: number;
  /** The runtime handles signals. */
  enable_signalfd?: boolean;
  /** The runtime handles signals. */
  wait_signal?: false;
  /** Sockets never block. */
  socket_dontwait?: boolean;
  /** The runtime resolves names. Any number. */
  dns_cache_refresh_time?: number;
  /** The runtime resolves names. Any number. */
  dns_cache_expire?: number;
  /** The runtime resolves names. Any number. */
  dns_cache_capacity?: number;
  /** The runtime resolves names. */
  dns_lookup_random?: boolean;
  /** The runtime resolves names. */
  use_async_resolver?: boolean;
}

/** The accepted values: all of a type, or those listed. */
type Taken = "number" | "boolean" | "string" | readonly unknown[];

/** A setting that is not supported. */
interface Absent {
  /** Why it is not supported, and what to use instead. */
  readonly reason: string;
  /** The values that change nothing here. */
  readonly taken: Taken;
}

const NO_REACTORS = "each worker is one thread that does everything; use worker_num";
const NO_QUEUE = "no worker hands work to another";
const TASK_SOCKETS = "tasks go over sockets between the processes";
const SUPERVISOR = "what starts the program does that, for example systemd";
const ASYNC = "async functions take the place of coroutines";
const NO_HTTP2 = "there is no HTTP/2; put a proxy in front that speaks it";
const RUNTIME_FILES = "the runtime has its own threads for files";
const RUNTIME_NAMES = "the runtime looks up names";
const RUNTIME_SIGNALS = "the runtime handles signals";
const RUNTIME_SOCKETS = "no runtime can set it on a socket";
const KEEPALIVE = "not every runtime can set it; use tcp_keepidle, websocket_ping_interval or heartbeat_idle_time";
const SYSTEM_BUFFERS = "the system chooses the size of its buffers; socket_buffer_size limits what waits to be sent";
const CLIENT_TIME = "a server connects to nobody; set connect_timeout of HttpClient";

const none: Taken = [];

const GROUPS: readonly (readonly [names: string, taken: Taken, reason: string])[] = [
  ["reactor_num", "number", NO_REACTORS],
  ["single_thread", "boolean", NO_REACTORS],
  ["discard_timeout_request enable_unsafe_event", "boolean", NO_QUEUE],
  ["dispatch_func", [null], NO_QUEUE],
  ["pid_file", none, "let the program write its own number to a file in start; a supervisor such as systemd needs none"],
  ["max_queued_bytes", [0], "there is no queue between the sockets and the handlers; input_buffer_size limits what waits"],
  ["task_ipc_mode", "number", TASK_SOCKETS],
  ["task_tmpdir", "string", TASK_SOCKETS],
  ["message_queue_key", none, TASK_SOCKETS],
  ["daemonize", [false, 0], `the program stays in the foreground; ${SUPERVISOR}`],
  ["user group chroot", none, SUPERVISOR],
  ["open_cpu_affinity", [false, 0], `${SUPERVISOR}, or taskset`],
  ["cpu_affinity_ignore", none, `${SUPERVISOR}, or taskset`],
  ["bootstrap init_arguments", none, "there are no threads of PHP; use a Worker"],
  ["enable_coroutine", [true], `${ASYNC}; max_handlers_per_connection: 1 runs the handlers of a connection one after the other`],
  [
    "send_yield",
    [false],
    "send() and push() do not wait; bufferFull and bufferEmpty tell when to, and push() of the coroutine style waits",
  ],
  ["hook_flags", "number", ASYNC],
  ["enable_deadlock_check", "boolean", ASYNC],
  ["enable_preemptive_scheduler", [false], `${ASYNC}, and nothing interrupts a function that computes; use a Worker`],
  ["c_stack_size stack_size", "number", ASYNC],
  [
    "max_coro_num max_coroutine",
    none,
    "there are no coroutines to count; use max_connection, worker_max_concurrency and max_handlers_per_connection",
  ],
  ["buffer_output_size output_buffer_size", "number", "it has no effect in Swoole either; use socket_buffer_size"],
  ["buffer_input_size", none, "use input_buffer_size"],
  ["send_timeout", [0, -1], "use socket_buffer_size, http_send_timeout and websocket_ping_timeout"],
  ["open_http2_protocol", [false], NO_HTTP2],
  ["http2_header_table_size http2_enable_push http2_max_concurrent_streams", none, NO_HTTP2],
  ["http2_init_window_size http2_max_frame_size http2_max_header_list_size", none, NO_HTTP2],
  ["websocket_mask", [false], "a server may not mask what it sends (RFC 6455 section 5.1)"],
  ["ssl_compress", [false], "compression below encryption gives secrets away"],
  ["tcp_fastopen", [false], RUNTIME_SOCKETS],
  ["tcp_defer_accept", [false, 0], RUNTIME_SOCKETS],
  ["tcp_keepinterval tcp_keepcount tcp_user_timeout", none, KEEPALIVE],
  ["kernel_socket_recv_buffer_size kernel_socket_send_buffer_size", none, SYSTEM_BUFFERS],
  ["debug_mode", [false], "use the debugger of the runtime"],
  ["trace_flags", [0], "use the debugger of the runtime"],
  ["display_errors", [true], "log_level: SWOOLE_LOG_NONE turns the log off"],
  ["aio_core_worker_num aio_worker_num aio_max_wait_time aio_max_idle_time", "number", RUNTIME_FILES],
  ["iouring_entries iouring_workers iouring_flag", "number", RUNTIME_FILES],
  ["thread_num min_thread_num max_thread_num", "number", RUNTIME_FILES],
  ["enable_signalfd", "boolean", RUNTIME_SIGNALS],
  ["wait_signal", [false], RUNTIME_SIGNALS],
  ["socket_dontwait", "boolean", "sockets never block"],
  ["socket_connect_timeout socket_dns_timeout", none, CLIENT_TIME],
  ["dns_cache_refresh_time dns_cache_expire dns_cache_capacity", "number", RUNTIME_NAMES],
  ["dns_lookup_random use_async_resolver", "boolean", RUNTIME_NAMES],
  ["dns_server name_resolver", none, RUNTIME_NAMES],
];

/** Swoole's settings that are not supported, by name. */
export const ABSENT_SETTINGS: ReadonlyMap<string, Absent> = new Map(
  GROUPS.flatMap(([names, taken, reason]) => names.split(" ").map((name) => [name, { taken, reason }] as const)),
);

/**
 * Accepts a value of an unsupported setting if it changes nothing.
 *
 * @throws {TypeError} If it would change something: with the reason, an alternative, and the accepted values.
 */
export function checkAbsent(key: string, { taken, reason }: Absent, value: unknown): void {
  const type: string = typeof value;
  if (typeof taken === "string" ? type === taken : taken.includes(value)) return;
  const only = typeof taken === "string" ? `any ${taken}` : taken.map((one) => JSON.stringify(one)).join(" or ");
  const note = only === "" ? "" : ` (${only} is taken, without effect)`;
  throw new TypeError(`Cannot set ${key} to ${show(value)}: ${reason}${note}`);
}

/** Formats a value for people, shortening long ones. */
function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
