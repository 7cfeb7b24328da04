/**
 * The style of the page.
 *
 * @module
 */

/** The style sheet. */
export const STYLE = `
:root {
  --ink: #14232c;
  --soft: #516370;
  --line: #dde6eb;
  --panel: #ffffff;
  --canvas: #f1f5f7;
  --bubble: #ffffff;
  --own: linear-gradient(135deg, #0f766e, #0b6a85);
  --own-ink: #ffffff;
  --own-soft: #d9f2ee;
  --accent: #0f766e;
  --accent-ink: #ffffff;
  --ring: #0d9488;
  --good: #16a34a;
  --busy: #d97706;
  --bad: #b91c1c;
  --warn: #fef3c7;
  --warn-ink: #713f12;
  /* Lightness and chroma of what is coloured by a name; the hue is the name's own. */
  --face: 0.89 0.07;
  --face-ink: 0.38 0.1;
  --name-ink: 0.46 0.13;
  --shadow: 0 1px 2px rgb(16 40 52 / 0.07);
  --backdrop: radial-gradient(60rem 40rem at 10% -10%, #c9efe9, transparent), radial-gradient(50rem 40rem at 100% 110%, #cfe4f5, transparent), #e6eef2;
  color-scheme: light dark;
}

@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4edf1;
    --soft: #9db0bb;
    --line: #243640;
    --panel: #121d24;
    --canvas: #0d161c;
    --bubble: #1d2c36;
    --own: linear-gradient(135deg, #0f6f68, #0b5a75);
    --own-soft: #cdebe6;
    --accent: #2dd4bf;
    --accent-ink: #04211e;
    --ring: #2dd4bf;
    --good: #4ade80;
    --busy: #fbbf24;
    --bad: #fca5a5;
    --warn: #3b2f10;
    --warn-ink: #fde68a;
    --face: 0.38 0.08;
    --face-ink: 0.93 0.05;
    --name-ink: 0.82 0.1;
    --shadow: none;
    --backdrop: radial-gradient(60rem 40rem at 10% -10%, #0f3a3a, transparent), radial-gradient(50rem 40rem at 100% 110%, #0d2c40, transparent), #070d11;
  }
}

*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }
html { height: 100%; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; height: 100%; overflow: hidden; overscroll-behavior: none;
  background: var(--panel); color: var(--ink);
  font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif, "Apple Color Emoji", "Segoe UI Emoji", "Noto Color Emoji";
}
h1, h2, p, ul, ol { margin: 0; padding: 0; }
ul, ol { list-style: none; }
button, input, textarea { font: inherit; color: inherit; }
button { cursor: pointer; touch-action: manipulation; }
svg { width: 1.15rem; height: 1.15rem; flex: none; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
:focus-visible { outline: 2px solid var(--ring); outline-offset: 2px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

/* ---- the frame: a phone's whole screen, or a card on a larger one ---- */

.app {
  display: grid; height: var(--height, 100dvh);
  grid-template: "top" auto "offline" auto "main" minmax(0, 1fr) / minmax(0, 1fr);
  background: var(--panel);
}
.top {
  grid-area: top; display: flex; align-items: center; gap: 0.75rem;
  padding: calc(0.6rem + env(safe-area-inset-top)) calc(0.9rem + env(safe-area-inset-right)) 0.6rem calc(0.9rem + env(safe-area-inset-left));
  border-bottom: 1px solid var(--line);
}
.top > svg { width: 2.4rem; height: 2.4rem; stroke: none; }
.titles { flex: 1; min-width: 0; }
h1 { font-size: 1.1rem; line-height: 1.2; letter-spacing: -0.01em; white-space: nowrap; }
.state { display: flex; align-items: center; gap: 0.45rem; font-size: 0.8rem; color: var(--soft); }
.state::before { content: ""; width: 0.5rem; height: 0.5rem; border-radius: 50%; background: var(--busy); }
[data-state="open"] .state::before { background: var(--good); }
[data-state="waiting"] .state::before { background: var(--bad); }
.offline {
  grid-area: offline; display: flex; flex-wrap: wrap; align-items: center; justify-content: center; gap: 0 0.75rem; padding: 0.4rem 1rem;
  background: var(--warn); color: var(--warn-ink); font-size: 0.85rem; text-align: center;
}
[data-state="open"] .offline { display: none; }
.link { min-height: 1.75rem; padding: 0; border: 0; background: none; font-weight: 600; text-decoration: underline; text-underline-offset: 0.15em; }
.chip {
  display: inline-flex; align-items: center; gap: 0.45rem; min-height: 2.5rem; max-width: 40%; padding: 0.25rem 0.75rem 0.25rem 0.3rem;
  border: 1px solid var(--line); border-radius: 999px; background: var(--panel); font-size: 0.9rem; font-weight: 600;
}
.chip:hover { background: var(--canvas); }
.chip svg { width: 1rem; height: 1rem; color: var(--soft); }
.chip .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.people-button { padding-left: 0.75rem; }
@media (max-width: 24rem) {
  .chip .name, .chip .name + svg { display: none; }
  .chip:has(.name) { padding: 0.25rem; }
}
.avatar {
  display: inline-grid; place-items: center; flex: none; width: 2rem; height: 2rem; border-radius: 50%;
  background: oklch(var(--face) var(--hue)); color: oklch(var(--face-ink) var(--hue)); font-size: 0.9rem; font-weight: 700; line-height: 1;
}

/* ---- people: a sheet from below, or a column at the side ---- */

.people {
  inset: auto 0 0 0; width: 100%; max-width: none; max-height: 70dvh; margin: 0; overflow-y: auto;
  padding: 1.1rem calc(1rem + env(safe-area-inset-right)) calc(1.25rem + env(safe-area-inset-bottom)) calc(1rem + env(safe-area-inset-left));
  border: 0; border-radius: 1.25rem 1.25rem 0 0; background: var(--panel); color: inherit; box-shadow: 0 -0.5rem 2rem rgb(0 0 0 / 0.2);
}
.people::backdrop { background: rgb(4 14 20 / 0.4); }
.people h2 { display: flex; align-items: center; gap: 0.5rem; font-size: 0.85rem; color: var(--soft); }
.people h2 .count { padding: 0 0.5rem; border-radius: 999px; background: var(--canvas); color: var(--ink); font-size: 0.8rem; }
.people ul { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.15rem; margin-top: 0.6rem; }
.people li { display: flex; align-items: center; gap: 0.65rem; min-height: 2.75rem; padding: 0.25rem 0.4rem; border-radius: 0.75rem; }
.app:not([data-state="open"]) .people ul { filter: grayscale(1); }
.people bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-weight: 500; }
.people li .avatar { position: relative; }
.people li .avatar::after {
  content: ""; position: absolute; right: -0.05rem; bottom: -0.05rem; width: 0.65rem; height: 0.65rem;
  border: 2px solid var(--panel); border-radius: 50%; background: var(--good);
}
.served { margin-top: auto; padding: 1rem 0.4rem 0; color: var(--soft); font-size: 0.78rem; }
.you { margin-left: auto; padding: 0 0.5rem; border-radius: 999px; background: var(--canvas); color: var(--soft); font-size: 0.75rem; }

/* ---- the conversation ---- */

main { grid-area: main; display: grid; grid-template-rows: minmax(0, 1fr) auto; background: var(--canvas); }
.scroll {
  display: flex; flex-direction: column; overflow: hidden auto; overscroll-behavior: contain;
  padding: 0.75rem calc(0.9rem + env(safe-area-inset-right)) 0.25rem calc(0.9rem + env(safe-area-inset-left));
}
.scroll:focus-visible { outline-offset: -3px; }
.scroll > .welcome[hidden] + [role="log"] { margin-top: auto; }
.welcome { margin: auto; max-width: 22rem; padding: 1rem; text-align: center; color: var(--soft); }
.welcome svg { width: 3.5rem; height: 3.5rem; margin-bottom: 0.75rem; stroke: none; }
.welcome strong { color: var(--ink); font-size: 1.1rem; }
.message { display: flex; align-items: flex-end; gap: 0.5rem; margin-top: 0.75rem; padding-right: 2.5rem; }
.message.follows { margin-top: 0.2rem; }
.message.follows:not(.own) { padding-left: 2.5rem; }
.message .avatar { align-self: flex-start; }
.message.own { justify-content: flex-end; padding: 0 0 0 2.5rem; }
.bubble {
  min-width: 0; max-width: min(38rem, 100%); padding: 0.45rem 0.8rem; border-radius: 0.3rem 1.1rem 1.1rem 1.1rem;
  background: var(--bubble); box-shadow: var(--shadow);
}
.follows .bubble { border-radius: 1.1rem; }
.own .bubble { border-radius: 1.1rem 0.3rem 1.1rem 1.1rem; background: var(--own); color: var(--own-ink); }
.own.follows .bubble { border-radius: 1.1rem; }
.author { display: block; color: oklch(var(--name-ink) var(--hue)); font-size: 0.82rem; font-weight: 700; }
.text { display: flow-root; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; }
.text a { color: var(--accent); text-underline-offset: 0.15em; overflow-wrap: anywhere; }
.own .text a { color: inherit; }
.time { color: var(--soft); font-size: 0.72rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
.text .time { float: inline-end; margin: 0.42em 0 0 0; margin-inline-start: 0.9rem; }
.own .time { color: var(--own-soft); }
.big .bubble { background: none; box-shadow: none; padding: 0; }
.big .text { font-size: 2.6rem; line-height: 1.25; }
.big .text .time, .big.own .time { float: none; display: block; margin: 0; color: var(--soft); font-size: 0.72rem; line-height: 1.4; }
.big.own .text .time { text-align: end; }
/* Only what takes long is shown to take long. */
.pending .bubble, .pending .time { animation: wait 0.2s 0.4s both; }
@keyframes wait { to { background: none; color: var(--ink); } }
.pending .bubble { box-shadow: inset 0 0 0 1px var(--soft); }
.refused .bubble, .refused.big .bubble { background: none; border: 1px dashed var(--bad); color: var(--ink); }
.refused .time { color: var(--bad); white-space: normal; }
.notice, .day { margin: 0.75rem auto 0; text-align: center; color: var(--soft); font-size: 0.8rem; }
.notice + .notice { margin-top: 0.1rem; }
.day { display: flex; align-items: center; gap: 0.75rem; font-weight: 600; }
.day::before, .day::after { content: ""; flex: 1; height: 1px; background: var(--line); }

/* ---- writing ---- */

.below {
  position: relative;
  padding: 0 calc(0.75rem + env(safe-area-inset-right)) calc(0.75rem + env(safe-area-inset-bottom)) calc(0.75rem + env(safe-area-inset-left));
}
.line { display: flex; justify-content: space-between; gap: 1rem; height: 1.4rem; padding: 0 0.9rem; color: var(--soft); font-size: 0.78rem; line-height: 1.4rem; white-space: nowrap; }
.typing { min-width: 0; overflow: hidden; text-overflow: ellipsis; }
.typing:not(:empty)::after { content: "…"; display: inline-block; animation: pulse 1.2s infinite; }
@keyframes pulse { 50% { opacity: 0.2; } }
.composer {
  display: flex; align-items: flex-end; gap: 0.35rem; padding: 0.35rem; border: 1px solid var(--line); border-radius: 1.6rem;
  background: var(--panel); box-shadow: var(--shadow);
}
.composer:focus-within { border-color: var(--ring); box-shadow: 0 0 0 1px var(--ring); }
.composer textarea {
  flex: 1; min-width: 0; max-height: min(9.5rem, 30dvh); padding: 0.5rem 0.25rem 0.5rem 0.85rem; border: 0; outline: 0; background: none;
  line-height: 1.5rem; resize: none;
}
textarea::placeholder { color: var(--soft); opacity: 1; }
.send {
  display: grid; place-items: center; flex: none; width: 2.5rem; height: 2.5rem; border: 0; border-radius: 50%;
  background: var(--accent); color: var(--accent-ink); transition: transform 0.12s, filter 0.12s;
}
.send svg { stroke-width: 2.4; }
.send:hover, .primary:hover { filter: brightness(1.1); }
.send:active { transform: scale(0.92); }
.newer {
  position: absolute; bottom: calc(100% - 0.75rem); left: 50%; translate: -50% 0; padding: 0.4rem 1rem; border: 0; border-radius: 999px;
  background: var(--accent); color: var(--accent-ink); font-size: 0.85rem; font-weight: 600; white-space: nowrap; box-shadow: 0 0.25rem 1rem rgb(0 0 0 / 0.25);
}
.newer::after { content: " ↓"; }

/* ---- the name ---- */

dialog {
  width: min(24rem, calc(100% - 2rem)); padding: 1.5rem; border: 0; border-radius: 1.25rem; background: var(--panel); color: var(--ink);
  box-shadow: 0 1.5rem 4rem rgb(0 0 0 / 0.35);
}
dialog::backdrop { background: rgb(4 14 20 / 0.55); backdrop-filter: blur(4px); }
dialog h2 { font-size: 1.3rem; letter-spacing: -0.01em; }
dialog p { color: var(--soft); font-size: 0.9rem; }
dialog input { width: 100%; margin-top: 1rem; padding: 0.7rem 0.9rem; border: 1px solid var(--soft); border-radius: 0.8rem; background: var(--canvas); }
dialog .problem { color: var(--bad); }
.buttons { display: flex; justify-content: flex-end; gap: 0.5rem; margin-top: 1rem; }
.buttons button { min-height: 2.75rem; padding: 0 1.25rem; border: 0; border-radius: 0.8rem; font-weight: 600; }
.primary { background: var(--accent); color: var(--accent-ink); }
.quiet { background: var(--canvas); }
.noscript { position: fixed; inset: auto 0 0; padding: 1rem; background: var(--panel); text-align: center; }

@media (min-width: 50rem) {
  .app { grid-template: "top top" auto "offline offline" auto "people main" minmax(0, 1fr) / 16rem minmax(0, 1fr); }
  .people-button { display: none; }
  .people {
    grid-area: people; position: static; display: flex; flex-direction: column; height: auto; max-height: none; padding: 1.1rem 0.85rem;
    padding-left: calc(0.85rem + env(safe-area-inset-left)); border-radius: 0; border-right: 1px solid var(--line); box-shadow: none;
  }
  .people h2 { padding-left: 0.4rem; }
}

@media (min-width: 50rem) and (min-height: 34rem) {
  body { display: grid; place-items: center; background: var(--backdrop); }
  .app {
    width: min(70rem, 100% - 3rem); height: min(54rem, var(--height, 100dvh) - 3rem); overflow: hidden; border-radius: 1.5rem;
    box-shadow: 0 0 0 1px rgb(20 50 65 / 0.08), 0 1.5rem 4rem -1rem rgb(10 40 55 / 0.35);
  }
  .top { padding: 0.9rem 1.25rem; }
  .scroll { padding: 1rem 1.5rem 0.25rem; }
  .below { padding: 0 1.25rem 1.25rem; }
}

@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { animation-duration: 0.01ms !important; animation-iteration-count: 1 !important; transition: none !important; }
}
`;
