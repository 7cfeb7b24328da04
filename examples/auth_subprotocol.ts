/**
 * Authentication with a token: a browser sends it as a second subprotocol, other programs in the field `Authorization`.
 *
 * Start it with `deno run -A examples/auth_subprotocol.ts`, `bun run examples/auth_subprotocol.ts` or `node
 * examples/auth_subprotocol.ts`, and open http://localhost:9501/. `SECONDS` sets how long a token is valid.
 *
 * @module
 */

import process from "node:process";
import { type HttpRequest, WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

// ---- tokens: base64url of what is claimed, and of its signature ----------------------------------------------------

interface Claims {
  user: string;
  ends: number;
}

const LIFETIME = Number(process.env.SECONDS || 60) * 1000;
const key = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);

const encode = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const decode = (text: string) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

async function makeToken(user: string): Promise<string> {
  const claims = new TextEncoder().encode(JSON.stringify({ user, ends: Date.now() + LIFETIME }));
  return `${encode(claims)}.${encode(new Uint8Array(await crypto.subtle.sign("HMAC", key, claims)))}`;
}

async function readToken(token = ""): Promise<Claims | undefined> {
  const [, text, signature] = /^([\w-]{1,500})\.([\w-]{43})$/.exec(token) ?? [];
  if (text === undefined || text.length % 4 === 1) return undefined;
  const claims = decode(text);
  if (!await crypto.subtle.verify("HMAC", key, decode(signature), claims)) return undefined;
  const { user, ends }: Claims = JSON.parse(new TextDecoder().decode(claims)); // we have signed it
  return ends > Date.now() ? { user, ends } : undefined;
}

// ---- the WebSocket ---------------------------------------------------------------------------------------------------

const server = new WebSocketServer<{ claims: Claims; timer: number }>(HOST, PORT);

// The server names this subprotocol in its response, as a browser demands, and never the token.
server.set({ websocket_subprotocol: "chat" });

/** A page cannot set header fields of a WebSocket: `new WebSocket(url, ["chat", `bearer.${token}`])`. */
function tokenOf({ header }: HttpRequest): string | undefined {
  const [, token] = /(?:^|,)\s*bearer\.([^\s,]+)/.exec(header["sec-websocket-protocol"] ?? "") ?? [];
  return token ?? /^Bearer (\S+)$/i.exec(header.authorization ?? "")?.[1];
}

server.on("authenticate", async (request, response) => {
  const claims = await readToken(tokenOf(request));
  if (claims === undefined) {
    response.status(401);
    response.header("WWW-Authenticate", 'Bearer realm="chat"');
    return false;
  }
  request.data.claims = claims;
  return true;
});

/** Closes a WebSocket when its token expires, unless the client sends a new one before. */
function watch(fd: number): void {
  const data = server.data(fd)!;
  server.clearTimer(data.timer);
  const remaining = Math.max(1, data.claims.ends - Date.now());
  data.timer = server.after(remaining, () => server.disconnect(fd, 4001, "The token has expired"));
}

server.on("open", (server, { fd, data }) => {
  watch(fd);
  server.push(fd, `Hello ${data.claims.user}`);
});

server.on("message", async (server, frame) => {
  const { fd } = frame;
  const text = frame.text();
  const data = server.data(fd)!;
  if (!text.startsWith("token ")) return server.push(fd, `${data.claims.user}: ${text}`);
  const claims = await readToken(text.slice("token ".length));
  if (!server.isEstablished(fd)) return; // it has gone meanwhile
  if (claims?.user !== data.claims.user) return server.disconnect(fd, 4001, "This token is not yours");
  data.claims = claims;
  watch(fd);
  server.push(fd, "You may stay");
});

server.on("close", (server, _fd, _reactorId, { data }) => void (data && server.clearTimer(data.timer)));

// ---- the page, and where it gets its token --------------------------------------------------------------------------

server.on("request", async (request, response) => {
  const route = `${request.getMethod()} ${request.server.path_info}`;
  response.header("Cache-Control", "no-store");
  if (route === "POST /token") { // your program asks for a password, or for the cookie of a session
    response.header("Content-Type", "text/plain");
    return response.end(await makeToken("Ada"));
  }
  if (route !== "GET /") response.status(404);
  response.end(route === "GET /" ? PAGE : "");
});

const PAGE = `<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Token</title>
<button>Stay</button>
<ul></ul>
<script>
  const add = (text) => document.querySelector("ul").appendChild(document.createElement("li")).textContent = text;
  const getToken = async () => (await fetch("/token", { method: "POST" })).text();
  const connect = async () => {
    const socket = new WebSocket(location.href.replace(/^http/, "ws"), ["chat", "bearer." + await getToken()]);
    socket.onopen = () => add("We speak " + socket.protocol);
    socket.onmessage = ({ data }) => add(data);
    socket.onclose = ({ code, reason }) => add(code === 4001 ? reason : "The chat is over");
    document.querySelector("button").onclick = async () => socket.send("token " + await getToken());
  };
  connect();
</script>`;

await server.start().catch(giveUp);
console.log(`Open http://localhost:${server.port}/`);
