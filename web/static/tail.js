// The live tail of a topic: rows come as a stream of events while the page is to be seen.
import { gettext } from "./texts.js";

const KEPT = 500; // rows; more is in the browser of messages

export function startTail() {
  const body = document.getElementById("tail");
  if (!body || !("EventSource" in window)) return;
  const pause = document.getElementById("tail-pause");
  const state = document.getElementById("tail-state");
  const trouble = document.getElementById("tail-trouble");
  const total = document.getElementById("tail-count");
  let source = null;
  let paused = false;
  let count = 0;

  const close = () => {
    source?.close();
    source = null;
  };
  const tell = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };
  const open = () => {
    if (source) return;
    source = new EventSource(body.dataset.stream);
    source.addEventListener("rows", (event) => {
      trouble.hidden = true;
      tell(gettext("Listening"));
      count += add(body, JSON.parse(event.data).html);
      total.textContent = count.toLocaleString("en");
    });
    source.addEventListener("trouble", (event) => {
      trouble.textContent = JSON.parse(event.data).text;
      trouble.hidden = false;
    });
    source.addEventListener("error", () => tell(gettext("Reconnecting")));
  };
  const sync = () => {
    if (paused || document.hidden) close();
    else open();
    if (paused) tell(gettext("Paused"));
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? gettext("Go on") : gettext("Pause");
    sync();
  });
  document.addEventListener("visibilitychange", sync);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", sync);
  sync();
}

function add(body, html) {
  const known = new Set(Array.from(body.rows, (row) => row.textContent));
  const template = document.createElement("template");
  template.innerHTML = html;
  // A stream that was opened again tells of the last seconds once more.
  const rows = Array.from(template.content.children).filter((row) => !known.has(row.textContent));
  body.prepend(...rows);
  while (body.rows.length > KEPT) body.rows[body.rows.length - 1].remove();
  return rows.length;
}
