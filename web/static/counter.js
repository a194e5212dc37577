// The big counter runs on between two updates, at the rate the server measured.
const STEP = 80; // ms; faster than that digits are a blur

export function startCounter() {
  if (!document.getElementById("counter")) return;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  let shown = 0;
  let base = 0;
  let since = 0;
  const take = () => {
    const value = Number(document.getElementById("counter")?.dataset.value ?? 0);
    if (value === base) return;
    base = value;
    since = performance.now();
  };
  document.addEventListener("nsqadmin:update", take);
  take();
  setInterval(() => {
    const counter = document.getElementById("counter");
    if (!counter || document.hidden) return;
    const ahead = Math.min((performance.now() - since) / 1000, 2) * Number(counter.dataset.rate);
    const wanted = Math.floor(base + ahead);
    // Never backwards, unless the counters themselves started anew.
    shown = wanted < base - 1 || base < shown - ahead - 2 * Number(counter.dataset.rate) ? base : Math.max(shown, wanted);
    write(counter, shown.toLocaleString("en"));
  }, STEP);
}

function write(counter, text) {
  if (counter.textContent === text) return;
  counter.replaceChildren(
    ...[...text].map((letter) => {
      const span = document.createElement("span");
      span.className = letter === "," ? "comma" : "digit";
      span.textContent = letter;
      return span;
    }),
  );
}
