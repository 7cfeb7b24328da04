/**
 * The part that the programs of all recorded servers have in common: every handler logs its event before anything else.
 *
 * @module
 */

import type { CloseFrame, Frame, HttpRequest, HttpResponse, WebSocketServer } from "../../mod.ts";
import { describe } from "./describe.ts";

/** What a program has to work with. */
export interface Stage {
  /** The server, not started yet. */
  server: WebSocketServer;
  /** Notes an event. */
  log(text: string): void;
  /** Resolves once an event was noted. */
  logged(text: string): Promise<void>;
  /** Resolves once the client has sent a step. */
  sent(step: number): Promise<void>;
}

/**
 * What the handlers of a program do after they have logged their event. `open`, `message` and `close` are always handled, unless
 * they are `null` here; the others only when they are here.
 */
export interface Handlers {
  connect?(server: WebSocketServer, fd: number): unknown;
  handshake?(request: HttpRequest, response: HttpResponse): unknown;
  beforeHandshakeResponse?(request: HttpRequest, response: HttpResponse): unknown;
  open?: ((server: WebSocketServer, request: HttpRequest) => unknown) | null;
  message?: ((server: WebSocketServer, frame: Frame | CloseFrame) => unknown) | null;
  request?(request: HttpRequest, response: HttpResponse): unknown;
  disconnect?(server: WebSocketServer, fd: number): unknown;
  close?: ((server: WebSocketServer, fd: number) => unknown) | null;
}

/** Registers the handlers of a program. An exception in one of them shows up as an event, too. */
export function register({ server, log }: Stage, handlers: Handlers): void {
  const { connect, handshake, beforeHandshakeResponse, open, message, request, disconnect, close } = handlers;
  server.on("error", (_server, error) => log(`error(${error instanceof Error ? error.message : error})`));
  if (open !== null) {
    server.on("open", (server, request) => {
      log(`open(fd=${request.fd})`);
      return open?.(server, request);
    });
  }
  if (message !== null) {
    server.on("message", (server, frame) => {
      log(`message(${describe(frame)})`);
      return message?.(server, frame);
    });
  }
  if (close !== null) {
    server.on("close", (server, fd, reactorId) => {
      log(`close(fd=${fd}, reactor=${reactorId})`);
      return close?.(server, fd);
    });
  }
  if (connect) {
    server.on("connect", (server, fd, reactorId) => {
      log(`connect(fd=${fd}, reactor=${reactorId})`);
      return connect(server, fd);
    });
  }
  if (handshake) {
    server.on("handshake", (request, response) => {
      log(`handshake(fd=${request.fd})`);
      return handshake(request, response);
    });
  }
  if (beforeHandshakeResponse) {
    server.on("beforeHandshakeResponse", (request, response) => {
      log(`beforeHandshakeResponse(fd=${request.fd})`);
      return beforeHandshakeResponse(request, response);
    });
  }
  if (request) {
    server.on("request", (req, response) => {
      log(`request(fd=${req.fd} ${req.getMethod()} ${req.server.request_uri})`);
      return request(req, response);
    });
  }
  if (disconnect) {
    server.on("disconnect", (server, fd) => {
      log(`disconnect(fd=${fd})`);
      return disconnect(server, fd);
    });
  }
}
