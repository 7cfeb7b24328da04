/**
 * What the query methods of a server return.
 *
 * @module
 */

/** What `getClientInfo()` tells of a connection. Times are in seconds since 1970. */
export interface ClientInfo {
  /** The state of the WebSocket, `WEBSOCKET_STATUS_*`; only on a `WebSocketServer`, 0 there for plain HTTP. */
  websocket_status?: number;
  /** What `bind()` has noted for it, if anything. */
  uid?: number;
  /** The port that it came in by. */
  server_port: number;
  /** `SWOOLE_SOCK_*` of that port. */
  socket_type: number;
  /** The peer's port. */
  remote_port: number;
  /** The peer's address. */
  remote_ip: string;
  /** Always 0. */
  reactor_id: number;
  /** When it was accepted, whole seconds. */
  connect_time: number;
  /** When octets last arrived, whole seconds. */
  last_time: number;
  /** When octets last arrived. */
  last_recv_time: number;
  /** When octets were last sent; 0 for never. */
  last_send_time: number;
  /** Always the same as `last_recv_time`: what arrives is handled at once. */
  last_dispatch_time: number;
  /** Always 0 on an open connection. */
  close_errno: number;
  /** Octets that have arrived and are not handled yet. */
  recv_queued_bytes: number;
  /** Octets that wait to be sent. */
  send_queued_bytes: number;
  /**
   * The certificate that the client showed, PEM; where it was asked for one (`ssl_verify_peer`, `ssl_client_cert_file`) and had
   * one. It is checked with `ssl_verify_peer` only.
   */
  ssl_client_cert?: string;
}

/** What `stats()` tells. */
export interface ServerStats {
  /** When the server started, seconds since 1970; 0 before. */
  start_time: number;
  /** Open connections. */
  connection_num: number;
  /** Connections turned away because of `max_connection`. */
  abort_count: number;
  /** Connections accepted. */
  accept_count: number;
  /** Connections closed. */
  close_count: number;
  /** Workers: 1. */
  worker_num: number;
  /** Always 0. */
  task_worker_num: number;
  /** Always 0. */
  user_worker_num: number;
  /** Always 0: the one worker is busy whenever it can be asked. */
  idle_worker_num: number;
  /** The same as `request_count`: what arrives is handled at once. */
  dispatch_count: number;
  /** Requests and messages handed to a handler. */
  request_count: number;
  /** Answers and messages sent by the program. */
  response_count: number;
  /** Octets received. */
  total_recv_bytes: number;
  /** Octets sent, or queued to be sent. */
  total_send_bytes: number;
  /** HTTP requests that are being answered, or wait for their turn. */
  concurrency: number;
  /** The last fd that was given out. */
  session_round: number;
  /** The lowest fd of an open connection; 0 when there is none. */
  min_fd: number;
  /** The highest. */
  max_fd: number;
  /** The same as `request_count`: there is one worker. */
  worker_request_count: number;
  /** The same as `response_count`. */
  worker_response_count: number;
  /** The same as `dispatch_count`. */
  worker_dispatch_count: number;
  /** HTTP requests that are being answered. */
  worker_concurrency: number;
}
