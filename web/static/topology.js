// Lights up what belongs to the box under the pointer or the focus: everything up and down the stream.
let lit = null;

export function startTopology() {
  const find = (event) => event.target.closest?.("svg.topology a.box");
  document.addEventListener("pointerover", (event) => light(find(event)));
  document.addEventListener("focusin", (event) => light(find(event)));
  document.addEventListener("nsqadmin:update", () => {
    const id = lit;
    lit = null;
    if (id) light(document.querySelector(`svg.topology a.box[data-id="${CSS.escape(id)}"]`));
  });
}

function light(box) {
  const id = box?.dataset.id ?? null;
  if (id === lit) return;
  lit = id;
  const drawing = document.getElementById("topology");
  if (!drawing) return;
  drawing.classList.toggle("focused", Boolean(id));
  for (const element of drawing.querySelectorAll(".lit")) element.classList.remove("lit");
  if (!id) return;
  const edges = [...drawing.querySelectorAll("path.edge")];
  const found = new Set([id, ...reach(edges, id, "a", "b"), ...reach(edges, id, "b", "a")]);
  for (const element of drawing.querySelectorAll("a.box")) {
    if (found.has(element.dataset.id)) element.classList.add("lit");
  }
  for (const edge of edges) {
    if (found.has(edge.dataset.a) && found.has(edge.dataset.b)) edge.classList.add("lit");
  }
}

function reach(edges, start, from, to) {
  const found = new Set();
  let border = new Set([start]);
  while (border.size) {
    const next = new Set();
    for (const edge of edges) {
      const target = edge.dataset[to];
      if (border.has(edge.dataset[from]) && !found.has(target)) next.add(target);
    }
    for (const id of next) found.add(id);
    border = next;
  }
  return found;
}
