/**
 * Authentication with a cookie: whoever has logged in on the page may open a WebSocket, until the session ends.
 *
 * Start it with `deno run -A examples/auth_cookie.ts`, `bun run examples/auth_cookie.ts` or `node examples/auth_cookie.ts`, and
 * open http://localhost:9501/. `SECONDS` sets how long a session lasts.
 *
 * @module
 */

import process from "node:process";
import { type HttpRequest, WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

/** What the server knows of somebody who has logged in. */
interface Session {
  readonly id: string;
  readonly user: string;
  readonly ends: number;
}

const LIFETIME = Number(process.env.SECONDS || 1800) * 1000;
const PASSWORD = "open sesame"; // your program has one for each user, and keeps only its hash

// Your program may keep sessions in a database: the handlers may wait for it.
const sessions = new Map<string, Session>();

function sessionOf(request: HttpRequest): Session | undefined {
  const session = sessions.get(request.cookie.session ?? "");
  return session !== undefined && session.ends > Date.now() ? session : undefined;
}

const server = new WebSocketServer<{ session: Session; timer: number }>(HOST, PORT);

// ---- the WebSocket: a browser sends the cookie with its handshake ---------------------------------------------------

server.on("authenticate", (request) => {
  const session = sessionOf(request);
  if (session === undefined) return false;
  request.data.session = session;
  return true;
});

server.on("open", (server, { fd, data }) => {
  const { user, ends } = data.session;
  data.timer = server.after(Math.max(1, ends - Date.now()), () => server.disconnect(fd, 4001, "Your session has ended"));
  server.push(fd, `Hello ${user}`);
});

server.on("message", (server, { fd, data }) => server.broadcast(`${server.data(fd)!.session.user}: ${data}`));

server.on("close", (server, _fd, _reactorId, { data }) => void (data && server.clearTimer(data.timer)));

// ---- the page: logging in and out -----------------------------------------------------------------------------------

server.on("request", (request, response) => {
  const session = sessionOf(request);
  const route = `${request.getMethod()} ${request.server.path_info}`;
  response.header("Cache-Control", "no-store");
  if (route === "GET /") return response.end(session === undefined ? LOGIN : CHAT);
  if (route === "POST /login") {
    const { user, password } = request.post;
    if (typeof user !== "string" || !/^\w{1,20}$/.test(user) || password !== PASSWORD) {
      response.status(403);
      return response.end(LOGIN);
    }
    const id = crypto.randomUUID();
    sessions.set(id, { id, user, ends: Date.now() + LIFETIME });
    // Scripts cannot read it, other sites cannot have it sent, and with TLS it never goes out without.
    response.cookie("session", id, 0, "/", "", request.scheme === "https", true, "Strict");
    return response.redirect("/", 303);
  }
  if (route === "POST /logout") {
    if (session !== undefined) end(session);
    response.cookie("session", "");
    return response.redirect("/", 303);
  }
  response.status(404);
  response.end();
});

/** Ends a session, with the WebSockets that were opened in it. */
function end({ id }: Session): void {
  sessions.delete(id);
  for (const fd of server.connections) {
    if (server.data(fd)?.session?.id === id) server.disconnect(fd, 4001, "You have logged out");
  }
}

server.on("start", (server) => {
  server.tick(60_000, () => {
    for (const session of sessions.values()) if (session.ends <= Date.now()) sessions.delete(session.id);
  });
});

const LOGIN = `<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Log in</title>
<form method="post" action="/login">
  <label>Name <input name="user" pattern="\\w{1,20}" required autofocus></label>
  <label>Password, which is "${PASSWORD}" <input name="password" type="password" required></label>
  <button>Log in</button>
</form>`;

const CHAT = `<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Chat</title>
<form method="post" action="/logout"><button>Log out</button></form>
<ul></ul>
<form id="say"><input aria-label="Message" autofocus> <button>Send</button></form>
<script>
  const socket = new WebSocket(location.href.replace(/^http/, "ws")); // the browser adds the cookie
  const add = (text) => document.querySelector("ul").appendChild(document.createElement("li")).textContent = text;
  socket.onmessage = ({ data }) => add(data);
  socket.onclose = ({ code, reason }) => code === 4001 ? add(reason) : add("The chat is over");
  document.querySelector("#say").onsubmit = (event) => {
    event.preventDefault();
    socket.send(event.target[0].value);
    event.target[0].value = "";
  };
</script>`;

await server.start().catch(giveUp);
console.log(`Log in at http://localhost:${server.port}/`);
