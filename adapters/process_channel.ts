/**
 * One end of the channel between a process and its parent, over the IPC of `node:child_process`, which all runtimes have.
 *
 * @module
 */

import type { ProcessChannel, ProcessMessage, SocketHandle } from "../src/transport/processes.ts";
import { type NativeHandle, received, toSend } from "./socket_handles.ts";

/** What both `node:process` and a `ChildProcess` have. */
export interface ChannelEnd {
  readonly connected: boolean;
  send(message: unknown, handle: unknown, options: { keepOpen: boolean }, sent: (error: Error | null) => void): unknown;
  on(event: "message", listener: (message: unknown, handle: unknown) => void): unknown;
  on(event: "disconnect", listener: () => void): unknown;
}

/** A message as it travels. The program may use the same channel for messages of its own. */
interface Envelope {
  readonly sluice?: ProcessMessage;
  /** Whether the socket that comes along is a listening one. */
  readonly listening?: boolean;
  /** Asks for a `pong` with the same number. */
  readonly ping?: number;
  readonly pong?: number;
}

/**
 * Deno loses a socket that arrives together with a message before it, and the channel then stands still. There, a socket is sent
 * only when the other side has said that it has all messages before.
 */
const losesSockets = "Deno" in globalThis;

/** A message that waits, with the function to send it. */
interface QueuedMessage {
  readonly hasSocket: boolean;
  readonly send: () => void;
}

type Receiver = (message: ProcessMessage, handle: SocketHandle | undefined) => void;

/** An end of a channel. */
export class Channel implements ProcessChannel {
  readonly #end: ChannelEnd;
  readonly #isChild: boolean;
  #receive: Receiver | undefined;
  #early: Parameters<Receiver>[] = [];
  #pending: Set<(isSent: boolean) => void> = new Set();
  #watchers: (() => void)[] = [];
  #hasEnded = false;
  // In Deno: the messages that wait, and the number of those sent without a socket, and of those that are known to have arrived.
  readonly #waiting: QueuedMessage[] = [];
  #sent = 0;
  #arrived = 0;
  #isAsking = false;

  /** @param isChild Whether this is the end of the child. */
  constructor(end: ChannelEnd, isChild: boolean) {
    this.#end = end;
    this.#isChild = isChild;
    end.on("message", (message, handle) => this.#onMessage(message, handle));
    end.on("disconnect", () => this.onEnd());
  }

  send(message: ProcessMessage, handle?: SocketHandle): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isSent: boolean) => {
        this.#pending.delete(settle);
        resolve(isSent);
      };
      this.#pending.add(settle);
      if (this.#hasEnded) return settle(false);
      const socket = handle as NativeHandle | undefined;
      const send = () => this.#send({ sluice: message, ...(socket?.isListening && { listening: true }) }, socket, settle);
      if (!losesSockets) return send();
      this.#waiting.push({ hasSocket: socket !== undefined, send });
      this.#sendWaiting();
    });
  }

  #send(envelope: Envelope, socket: NativeHandle | undefined, settle: (isSent: boolean) => void): void {
    if (socket === undefined) this.#sent++;
    try {
      if (!this.#end.connected) return settle(false);
      this.#end.send(envelope, socket && toSend(socket, this.#isChild), { keepOpen: true }, (error) => settle(!error));
    } catch {
      settle(false);
    }
  }

  /** Sends what waits; a socket only if all messages before have arrived. */
  #sendWaiting(): void {
    while (this.#waiting.length > 0) {
      if (this.#waiting[0].hasSocket && this.#arrived !== this.#sent && this.#end.connected) {
        if (!this.#isAsking) this.#send({ ping: this.#sent + 1 }, undefined, () => {});
        this.#isAsking = true;
        return;
      }
      this.#waiting.shift()!.send();
    }
  }

  onMessage(receive: Receiver): void {
    this.#receive = receive;
    for (const each of this.#early.splice(0)) receive(...each);
  }

  onDisconnect(call: () => void): void {
    if (this.#hasEnded) queueMicrotask(call);
    else this.#watchers.push(call);
  }

  /** Called when the channel has ended and nobody has asked to be told. */
  onUnwatchedEnd(): void {}

  #onMessage(message: unknown, handle: unknown): void {
    const { sluice, listening = false, ping, pong } = (message ?? {}) as Envelope;
    if (losesSockets && typeof ping === "number") return this.#send({ pong: ping }, undefined, () => {});
    if (losesSockets && typeof pong === "number") {
      this.#arrived = pong;
      this.#isAsking = false;
      return this.#sendWaiting();
    }
    if (sluice === undefined) return;
    const socket = received(handle, listening, this.#isChild);
    if (this.#receive === undefined) this.#early.push([sluice, socket]);
    else this.#receive(sluice, socket);
  }

  /** Called when the channel has ended, more than once if it is noticed in several ways. Nothing more is sent then. */
  protected onEnd(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#waiting.length = 0;
    for (const settle of [...this.#pending]) settle(false);
    if (this.#watchers.length === 0) this.onUnwatchedEnd();
    for (const call of this.#watchers.splice(0)) call();
  }
}
