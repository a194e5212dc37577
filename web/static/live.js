// Live numbers: one stream of events per visible tab. Falls silent while the tab is hidden, and
// says so when the server cannot be reached; the browser then tries again by itself.
import { morphInto } from "./morph.js";
import { localTimes } from "./times.js";
import { gettext } from "./texts.js";

const SILENCE = 20000; // the server says something at least every 15 s
let source = null;
let last = 0;

export function startLive() {
  const main = document.getElementById("main");
  if (!main?.dataset.view || !("EventSource" in window)) return;
  const sync = () => (document.hidden ? close() : open(main));
  document.addEventListener("visibilitychange", sync);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", sync);
  setInterval(watch, 2000);
  sync();
}

function open(main) {
  if (source) return;
  const base = document.documentElement.dataset.base.replace(/\/$/, "");
  const query = new URLSearchParams({ view: main.dataset.view, language: document.documentElement.lang });
  source = new EventSource(`${base}/events?${query}`);
  source.addEventListener("page", (event) => {
    const { at, html } = heard(event);
    morphInto(main, html);
    updated(main, at);
  });
  source.addEventListener("parts", (event) => {
    const { at, parts } = heard(event);
    for (const [key, html] of Object.entries(parts)) {
      const element = main.querySelector(`[data-live="${key}"]`);
      if (element) morphInto(element, `<!--[${key}-->${html}<!--]-->`);
    }
    updated(main, at);
  });
  source.addEventListener("tick", (event) => show(true, heard(event).at));
  source.addEventListener("gone", () => location.reload());
  source.addEventListener("error", () => show(false));
}

function close() {
  source?.close();
  source = null;
}

function heard(event) {
  last = Date.now();
  return JSON.parse(event.data);
}

function updated(main, at) {
  localTimes(main);
  show(true, at);
  document.dispatchEvent(new CustomEvent("nsqadmin:update"));
}

function watch() {
  if (!source || !last) return;
  if (source.readyState === EventSource.CLOSED) {
    // Refused rather than lost: a browser does not try that again. Reloading shows why.
    close();
    setTimeout(() => location.reload(), 5000);
  } else if (Date.now() - last > SILENCE) {
    show(false);
  }
}

function show(on, at) {
  const light = document.getElementById("live");
  if (!light) return;
  light.hidden = false;
  const state = on ? "on" : "off";
  if (light.dataset.state !== state) {
    light.dataset.state = state;
    light.textContent = on ? gettext("Live") : gettext("Reconnecting");
  }
  const looked = gettext("Last look at the cluster:");
  if (at) light.title = `${looked} ${new Date(at).toLocaleTimeString()}`;
}
