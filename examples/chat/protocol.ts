/**
 * The messages between page and server: JSON, one object per WebSocket message.
 *
 * @module
 */

/** The limits. The page receives these numbers too, so that its input fields agree with the server. */
export const LIMITS = {
  /** The maximum number of characters of a name. */
  name: 24,
  /** The maximum number of characters of a message. */
  text: 2000,
  /** The number of past messages shown to a person who joins. */
  history: 200,
} as const;

/** A person in the room. */
export interface Person {
  id: number;
  name: string;
}

/** A message in the conversation. */
export interface ChatMessage {
  /** Chosen by the sending page, so that it recognises its own message when it comes back. */
  id: string;
  /** The time when the server received the message, in milliseconds since 1970. */
  at: number;
  from: Person;
  text: string;
}

/** The messages a page sends. */
export type ClientMessage =
  /** The first message. `session` is a secret that identifies a page when it reconnects. */
  | { type: "join"; name: string; session: string }
  | { type: "rename"; name: string }
  | { type: "say"; id: string; text: string }
  | { type: "typing" };

/** The messages the server sends. */
export type ServerMessage =
  /** The reply to `join`: your name and number, the people in the room, and the conversation so far. */
  | { type: "welcome"; you: Person; people: Person[]; history: ChatMessage[] }
  | { type: "joined"; person: Person; at: number }
  | { type: "left"; person: Person; at: number }
  | { type: "renamed"; person: Person; was: string; at: number }
  | { type: "said"; message: ChatMessage }
  | { type: "typing"; person: Person }
  | ChatError;

/** The reason why a message of a page had no effect. */
export interface ChatError {
  type: "error";
  code: "bad_message" | "bad_name" | "bad_text" | "not_joined" | "too_fast";
  /** A sentence for people. */
  reason: string;
  /** The id of the `say` message concerned. */
  id?: string;
  /** With `too_fast`: the time to wait before the next attempt, in milliseconds. */
  retryAfter?: number;
}

/** The fields of each message in addition to `type`. All of them are strings. */
const FIELDS: Record<ClientMessage["type"], readonly string[]> = {
  join: ["name", "session"],
  rename: ["name"],
  say: ["id", "text"],
  typing: [],
};

/** Random identifiers: too long to be guessed, short enough to be cheap. */
const IDENTIFIER = /^[A-Za-z0-9_-]{16,64}$/;

/** Control characters, line separators, and marks that change the direction of the surrounding text. */
const FORBIDDEN_IN_NAMES = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

/** Control characters other than tab and line feed. */
// deno-lint-ignore no-control-regex
const FORBIDDEN_IN_TEXT = /[\x00-\x08\x0b-\x1f\x7f]/g;

/**
 * Parses and validates a message of a page. Anyone can send anything to a server, so everything is checked.
 *
 * @returns The message, with its name or text cleaned, or the error to reply with.
 */
export function readMessage(data: string | Uint8Array): ClientMessage | ChatError {
  if (typeof data !== "string") return problem("bad_message", "Messages are text, not binary");
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return problem("bad_message", "The message is not JSON");
  }
  if (!hasShape(value)) return problem("bad_message", "The message has not one of the known shapes");

  const { name, text, id, session } = value;
  if (session !== undefined && !IDENTIFIER.test(session)) return problem("bad_message", "The session is no identifier");
  if (id !== undefined && !IDENTIFIER.test(id)) return problem("bad_message", "The id is no identifier");
  if (name !== undefined) {
    value.name = name.normalize("NFC").trim().replace(/\s+/gu, " ");
    if (value.name === "" || value.name.length > LIMITS.name || FORBIDDEN_IN_NAMES.test(name) || !name.isWellFormed()) {
      return problem("bad_name", `A name has 1 to ${LIMITS.name} characters, all of them visible`);
    }
  }
  if (text !== undefined) {
    value.text = text.replace(/\r\n?/g, "\n").replace(FORBIDDEN_IN_TEXT, "").trim().toWellFormed();
    if (value.text === "" || value.text.length > LIMITS.text) {
      return { ...problem("bad_text", `A message has 1 to ${LIMITS.text} characters`), id };
    }
  }
  return value as ClientMessage;
}

/** Reports whether a value is an object with a known `type`, exactly the fields of that type, and only strings in them. */
function hasShape(value: unknown): value is Record<string, string | undefined> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { type, ...rest } = value as Record<string, unknown>;
  if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) return false;
  const fields = FIELDS[type as ClientMessage["type"]];
  const keys = Object.keys(rest);
  return keys.length === fields.length && fields.every((field) => typeof rest[field] === "string");
}

/** Returns an error to reply with. */
export function problem(code: ChatError["code"], reason: string): ChatError {
  return { type: "error", code, reason };
}
