/// <reference lib="dom" />
/**
 * The page's connection to the server. This runs in the browser: `page.ts` sends the function as a string, so it can use nothing
 * from outside itself.
 *
 * @module
 */

import type { ClientMessage, ServerMessage } from "./protocol.ts";

/** Events of a link. */
export interface LinkEvents {
  /** Reports a state. `retryAt` is the time of the next attempt while `waiting`. */
  onState(state: "connecting" | "open" | "waiting", retryAt?: number): void;
  onMessage(message: ServerMessage): void;
  /** The server gave the place of this connection to another one. */
  onReplaced(): void;
}

/** A connection that reconnects automatically. */
export interface Link {
  /** Sends a message, unless there is no connection. */
  send(message: ClientMessage): void;
  /** Connects now, even if a connection seems to exist. */
  reconnect(): void;
}

/** Connects to the server, and reconnects after growing pauses whenever the connection is lost. */
export function createLink(events: LinkEvents): Link {
  const CONNECT_TIMEOUT = 10_000;
  const FIRST_PAUSE = 500;
  const LONGEST_PAUSE = 15_000;
  const REPLACED = 4000;

  const address = new URL("./", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

  let socket: WebSocket | undefined;
  let attempts = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function connect(): void {
    drop();
    events.onState("connecting");
    const current = socket = new WebSocket(address);
    timer = setTimeout(wait, CONNECT_TIMEOUT);
    current.onopen = () => {
      clearTimeout(timer);
      events.onState("open");
    };
    current.onmessage = (event: MessageEvent<string>) => {
      attempts = 0;
      events.onMessage(JSON.parse(event.data));
    };
    current.onclose = (event) => {
      if (event.code === REPLACED) events.onReplaced();
      wait();
    };
  }

  /** Schedules the next attempt. A random part keeps many pages from reconnecting at the same moment. */
  function wait(): void {
    drop();
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempts++) * (0.5 + Math.random() / 2);
    timer = setTimeout(connect, pause);
    events.onState("waiting", Date.now() + pause);
  }

  /** Drops the connection without waiting for its close, because it may be dead. */
  function drop(): void {
    clearTimeout(timer);
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = undefined;
  }

  // After a change of networks, a connection may be dead without a sign of it. A new one costs nothing.
  addEventListener("online", connect);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && socket === undefined) connect();
  });
  connect();

  return {
    send(message) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    reconnect: connect,
  };
}
