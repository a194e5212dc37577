// Values under the pointer of the larger charts. The points are in the drawing itself. An update draws
// a chart anew: while the pointer rests there, the value of the new drawing takes the old one's place.
const SVG = "http://www.w3.org/2000/svg";
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
let pointed = null; // the chart under the pointer
let pointedX = 0; // pixels from the left of the window

export function startCharts() {
  document.addEventListener("pointermove", (event) => {
    pointed = event.target.closest?.("svg.chart") ?? null;
    pointedX = event.clientX;
    show();
  });
  document.documentElement.addEventListener("pointerleave", () => {
    pointed = null;
    show();
  });
  document.addEventListener("nsqadmin:update", show);
}

function show() {
  for (const old of document.querySelectorAll("svg.chart .hover")) old.remove();
  if (pointed?.isConnected) point(pointed, pointedX);
}

function point(chart, clientX) {
  const box = chart.getBoundingClientRect();
  const { left, right, top, bottom, max, unit } = chart.dataset;
  const points = JSON.parse(chart.dataset.points);
  const x = ((clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
  const share = (x - left) / (right - left);
  const index = Math.min(points.length - 1, Math.max(0, Math.round(share * (points.length - 1))));
  const [at, value] = points[index];
  if (value === null) return;
  const px = Number(left) + ((right - left) * index) / Math.max(1, points.length - 1);
  const py = bottom - (value / max) * (bottom - top);
  const group = make("g", { class: "hover" });
  const end = px > (Number(left) + Number(right)) / 2;
  group.append(
    make("line", { x1: px, x2: px, y1: top, y2: bottom }),
    make("circle", { cx: px, cy: py, r: 3.5 }),
    make("text", { x: px + (end ? -8 : 8), y: Number(top) + 8, "text-anchor": end ? "end" : "start" }),
  );
  const shown = unit === " ms" ? duration(value) : `${number.format(value)}${unit}`;
  group.lastChild.textContent = `${shown} · ${clock.format(new Date(at * 1000))}`;
  chart.append(group);
}

function duration(milliseconds) {
  for (const [unit, size] of [["d", 864e5], ["h", 36e5], ["m", 6e4], ["s", 1e3], ["ms", 1]]) {
    if (milliseconds >= size) return `${number.format(milliseconds / size)} ${unit}`;
  }
  return `${number.format(milliseconds * 1000)} µs`;
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
