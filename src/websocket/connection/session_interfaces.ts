/**
 * What a WebSocket session needs of its server or client, and of the side of the program.
 *
 * @module
 */

import type { Connection } from "../../transport/connection.ts";
import type { ConnectionData, ConnectionEnd, TimeoutSetting } from "../../transport/connection_end.ts";
import type { EndpointOptions } from "../endpoint.ts";
import type { ReceivedFrame } from "../frame.ts";
import type { Outgoing } from "../outgoing.ts";
import type { CompressionSettings } from "./compression_policy.ts";

/** What is counted of the messages of WebSockets. */
export interface MessageCounters {
  /** The number of messages received, by opcode. */
  readonly received: number[];
  /** The number of messages sent, by opcode. */
  readonly sent: number[];
  /** The times from a ping to its pong, in seconds. */
  readonly pings: { add(seconds: number): void };
  /** The number of times that a message was not taken because of `socket_buffer_size`. */
  refusedSends: number;
}

/** The settings that apply to the WebSockets of servers and clients alike. Times are in seconds. */
export interface SessionSettings extends Required<CompressionSettings> {
  readonly websocket_close_timeout: number;
  readonly websocket_ping_interval: number;
  readonly websocket_ping_timeout: number;
  readonly websocket_message_timeout: number;
  readonly input_buffer_size: number;
  readonly socket_buffer_size: number;
}

/** What these settings mean for a session. Times are in milliseconds; 0 turns one off. */
export class SessionLimits {
  /** The setting `websocket_close_timeout`. */
  readonly closeTimeout: number;
  /** The setting `websocket_ping_interval`. */
  readonly pingInterval: number;
  /** The setting `websocket_ping_timeout`. */
  readonly pingTimeout: number;
  /** The size in bytes from which messages are compressed without a flag, where that was agreed. */
  readonly compressFrom: number;
  /** The setting `input_buffer_size`: reading stops while the messages pending for the program hold this many bytes. */
  readonly inputLimit: number;
  /** The number of bytes that may wait to be sent on one connection: `socket_buffer_size`. */
  readonly sendLimit: number;
  /** The setting `websocket_message_timeout`. */
  readonly messageTimeout: number;

  constructor(settings: SessionSettings) {
    this.closeTimeout = settings.websocket_close_timeout * 1000;
    this.pingInterval = settings.websocket_ping_interval * 1000;
    this.pingTimeout = settings.websocket_ping_timeout * 1000;
    this.compressFrom = settings.websocket_compression_auto ? settings.websocket_compression_min_length : Infinity;
    this.inputLimit = settings.input_buffer_size;
    this.sendLimit = settings.socket_buffer_size;
    this.messageTimeout = settings.websocket_message_timeout * 1000;
  }
}

/** Shared by the sessions of one server or one client. */
export interface WebSocketContext extends SessionLimits {
  /** The behaviour of the endpoints. */
  readonly endpointOptions: EndpointOptions;
  /** The coarse monotonic clock, in milliseconds. */
  readonly now: number;
  /** Whether pongs are only measured, not delivered. */
  readonly dropsPongs?: boolean;
  /** What a server counts; a client counts nothing. */
  readonly counters?: MessageCounters;
  /** Returns the time at which an idle connection is closed, by the clock; 0 for never. */
  idleDeadline(connection: Connection): number;
  /** Returns the setting on which `idleDeadline()` is based. */
  idleSetting(connection: Connection): TimeoutSetting;
  /** Returns the program's data for a connection, if there is any. */
  dataOf(fd: number): ConnectionData | undefined;
  /**
   * Called when a peer violated the protocol.
   *
   * @param path The path of the handshake, if it is known.
   */
  onViolation(connection: Connection, path: string | undefined, code: number, reason: string): void;
}

/** Messages that wait above a session until it can take them. */
export interface HeldOutput {
  /** The number of bytes that they take. */
  readonly bytes: number;
  /** Called when there may be room for them: output was taken or compressed, or a message in fragments is complete. */
  onRoom(): void;
}

/** What takes the frames of a WebSocket: it starts handlers, or keeps them for `recv()`. */
export interface FrameConsumer {
  /** Whether the program may still reply to earlier frames, so that a violation takes effect later, with `settleViolation()`. */
  readonly isAtWork: boolean;
  /** Whether it has yet to take frames that were received before the connection ended. */
  readonly isBehind: boolean;
  /** The number of bytes of the program that wait here to be sent. 0 by default. */
  readonly waitingBytes?: number;
  /**
   * Sends a frame behind those of the program that wait here.
   *
   * @param settle Called when it was its turn, or will not be, with whether it was sent.
   * @returns Whether there are any; otherwise nothing is done.
   */
  sendBehind?(frame: Outgoing, settle: (sent: boolean) => void): boolean;
  /** Takes a frame, or has it wait with `enqueue()`. Its payload may be gone after the call: see `Frame`. */
  deliver(frame: ReceivedFrame): void;
  /** Takes the peer's Close: it goes to the program with `deliverClose()`, if it wants it, and is answered, now or later. */
  onClose(payload: Uint8Array): void;
  /** Called when we have sent a Close. */
  onClosing(): void;
  /** Called when there is room for output again. */
  onDrain(): void;
  /** Called at each deadline of the connection that it has survived. */
  onDeadline?(): void;
  /** Called when the closing handshake is over, or the connection has failed with a code. */
  onFinished?(code: number): void;
  /** Called when the connection is gone. */
  onClosed(end: ConnectionEnd): void;
}
