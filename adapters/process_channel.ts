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

  /** @param isChild Whether this is the end of the child. */
  constructor(end: ChannelEnd, isChild: boolean) {
    this.#end = end;
    this.#isChild = isChild;
    end.on("message", (message, handle) => this.#onMessage(message, handle));
    end.on("disconnect", () => this.#onEnd());
  }

  send(message: ProcessMessage, handle?: SocketHandle): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isSent: boolean) => {
        this.#pending.delete(settle);
        resolve(isSent);
      };
      this.#pending.add(settle);
      try {
        if (!this.#end.connected) return settle(false);
        const socket = handle as NativeHandle | undefined;
        const envelope: Envelope = { sluice: message, ...(socket?.isListening && { listening: true }) };
        this.#end.send(envelope, socket && toSend(socket, this.#isChild), { keepOpen: true }, (error) => settle(!error));
      } catch {
        settle(false);
      }
    });
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
    const { sluice, listening = false } = (message ?? {}) as Envelope;
    if (sluice === undefined) return;
    const socket = received(handle, listening, this.#isChild);
    if (this.#receive === undefined) this.#early.push([sluice, socket]);
    else this.#receive(sluice, socket);
  }

  #onEnd(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const settle of [...this.#pending]) settle(false);
    if (this.#watchers.length === 0) this.onUnwatchedEnd();
    for (const call of this.#watchers.splice(0)) call();
  }
}
