/// <reference lib="dom" />
/**
 * The page's connection to the server. This runs in the browser: `page.ts` sends the function as a string, so it can use nothing
 * from outside itself.
 *
 * @module
 */

import type { ClientMessage, ServerMessage } from "./protocol.ts";

/** What a link tells its owner. */
export interface LinkEvents {
  /** `retryAt`: when the next attempt will be, while `waiting`. */
  onState(state: "connecting" | "open" | "waiting", retryAt?: number): void;
  onMessage(message: ServerMessage): void;
  /** The server gave this connection's place to another one. */
  onReplaced(): void;
}

/** A connection that comes back by itself. */
export interface Link {
  /** Sends a message, unless there is no connection. */
  send(message: ClientMessage): void;
  /** Connects now, whether or not there seems to be a connection. */
  reconnect(): void;
}

/** Connects to the server, and again after growing pauses whenever the connection is lost. */
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

  /** Tries again in a while. A random part keeps a thousand pages from coming back in the same moment. */
  function wait(): void {
    drop();
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempts++) * (0.5 + Math.random() / 2);
    timer = setTimeout(connect, pause);
    events.onState("waiting", Date.now() + pause);
  }

  /** Forgets the connection. It may be dead, so its closing is not waited for. */
  function drop(): void {
    clearTimeout(timer);
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = undefined;
  }

  // When the network has changed, a connection may be dead without knowing it. A new one costs nothing.
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
