/**
 * The page: one HTML document with its style and script inline, and its header fields.
 *
 * @module
 */

import { type Parts, startChat } from "./client.ts";
import { createControls } from "./controls.ts";
import { createConversation } from "./conversation.ts";
import { createDom } from "./dom.ts";
import { createLink } from "./link.ts";
import { LIMITS } from "./protocol.ts";
import { STYLE } from "./style.ts";

/** The response for `/`. */
export interface Page {
  html: string;
  headers: Record<string, string>;
}

/** Assembles the page. */
export async function makePage(): Promise<Page> {
  const script = makeScript();
  return {
    html: markup(script),
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Cache-Control": "no-cache",
      // Only the parts of this page may run or load: even markup smuggled in by a message could do nothing.
      "Content-Security-Policy": [
        "default-src 'none'",
        `script-src '${await hash(script)}'`,
        `style-src '${await hash(STYLE)}'`,
        "img-src data:", // the icon
        "connect-src 'self'", // the WebSocket
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
      ].join("; "),
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
    },
  };
}

/**
 * Returns the page's script. It is written in TypeScript like everything else: the runtime has already stripped the types, and
 * converting a function to a string yields its source. No build step is needed to send it to a browser.
 */
function makeScript(): string {
  const parts: Parts = { createControls, createConversation, createDom, createLink };
  const sources = Object.entries(parts).map(([name, part]) => `${name}: ${part}`).join(",\n");
  const script = `"use strict";\n(${startChat})({${sources}}, ${JSON.stringify(LIMITS)});`;
  return script.replaceAll("\r\n", "\n"); // as the browser reads it, so that the hash matches
}

/** Returns the hash of an inline script or style for a Content-Security-Policy. */
async function hash(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
}

const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" aria-hidden="true"><defs>` +
  `<linearGradient id="water" x2="1" y2="1"><stop stop-color="#14b8a6"/><stop offset="1" stop-color="#0369a1"/></linearGradient></defs>` +
  `<rect width="32" height="32" rx="9" fill="url(#water)"/>` +
  `<path d="M6 12.5q2.5-3 5 0t5 0 5 0 5 0M6 18q2.5-3 5 0t5 0 5 0 5 0M6 23.5q2.5-3 5 0t5 0 5 0 5 0" ` +
  `fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round"/></svg>`;

const ICON = `data:image/svg+xml,${encodeURIComponent(LOGO)}`;

function markup(script: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Sluice chat</title>
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover, interactive-widget=resizes-content">
<meta name="description" content="A chat room, served by Sluice">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#ffffff" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#121d24" media="(prefers-color-scheme: dark)">
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>
<div class="app" id="app" data-state="connecting">
  <header class="top">
    ${LOGO}
    <div class="titles">
      <h1>Sluice chat</h1>
      <p class="state" id="state" role="status">Connecting…</p>
    </div>
    <button type="button" class="chip people-button" id="people-button" popovertarget="people" aria-label="People here">
      <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="9" cy="8" r="3.5"/><path d="M2.5 20c0-4 3-6 6.5-6s6.5 2 6.5 6"/><path d="M16 5a3.5 3.5 0 0 1 0 6.500M18 14.500c2 .8 3.500 2.600 3.500 5.500"/></svg>
      <span class="count">0</span>
    </button>
    <button type="button" class="chip" id="me" hidden>
      <span class="avatar" aria-hidden="true"></span><bdi class="name"></bdi>
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="m4 20 1-4.500L16.500 4 20 7.500 8.500 19z"/></svg>
    </button>
  </header>

  <p class="offline" id="offline" hidden>
    <span>What you write now is sent as soon as possible.</span>
    <span id="countdown"></span>
    <button type="button" class="link" id="retry">Try now</button>
  </p>

  <aside class="people" id="people" popover aria-labelledby="people-title">
    <h2 id="people-title">Here now <span class="count">0</span></h2>
    <ul id="people-list"></ul>
    <p class="served">Served by Sluice in ${navigator.userAgent.split("/")[0]}</p>
  </aside>

  <main>
    <div class="scroll" id="scroll" tabindex="0" aria-label="Conversation" role="region">
      <div class="welcome" id="empty">
        ${LOGO.replaceAll("water", "water-2")}
        <p><strong>Nothing said yet</strong></p>
        <p>Say hello, or open this page in a second window and talk to yourself.</p>
      </div>
      <div role="log" aria-live="polite" aria-busy="true" aria-label="Messages"><ol id="messages"></ol></div>
      <ol id="outbox" aria-label="Waiting to be sent"></ol>
    </div>
    <div class="below">
      <button type="button" class="newer" id="newer" hidden></button>
      <div class="line">
        <p class="typing" id="typing"></p>
        <span id="room-left"></span>
      </div>
      <form class="composer" id="composer" aria-label="Your message">
        <label for="text" class="hidden">Message</label>
        <textarea id="text" rows="1" maxlength="${LIMITS.text}" placeholder="Message" autocomplete="off" aria-describedby="room-left"></textarea>
        <button type="submit" class="send" aria-label="Send">
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 19V5M5.500 11.500 12 5l6.500 6.500"/></svg>
        </button>
      </form>
    </div>
  </main>
</div>

<dialog id="name-dialog" aria-labelledby="name-title">
  <form method="dialog" id="name-form">
    <h2 id="name-title">What is your name?</h2>
    <p id="name-hint">Everybody in the room will see it. You can change it at any time.</p>
    <label for="name" class="hidden">Name</label>
    <input id="name" maxlength="${LIMITS.name}" required autocomplete="nickname" autocapitalize="words" spellcheck="false" enterkeyhint="go" dir="auto" aria-describedby="name-hint name-problem">
    <p class="problem" id="name-problem" role="alert"></p>
    <div class="buttons">
      <button type="button" class="quiet" id="name-cancel">Cancel</button>
      <button type="submit" class="primary" id="name-submit">Join</button>
    </div>
  </form>
</dialog>

<noscript><p class="noscript">The chat needs JavaScript.</p></noscript>
<script>${script}</script>
</body>
</html>
`;
}
