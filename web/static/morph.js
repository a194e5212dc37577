// Makes one piece of the page like another, changing no more than differs: what has the focus keeps
// it, what is open stays open, and a pointer rests on the same element.

export function morphInto(element, html) {
  const wanted = element.cloneNode(false); // the same element as context: a row parses cells, SVG parses SVG
  wanted.innerHTML = html;
  morphChildren(element, wanted);
}

function morphChildren(from, to) {
  const keyed = new Map();
  for (const child of from.children) {
    if (child.dataset?.live) keyed.set(child.dataset.live, child);
  }
  let cursor = from.firstChild;
  for (const next of [...to.childNodes]) {
    const key = next.dataset?.live;
    const match = key ? keyed.get(key) : fits(cursor, next) ? cursor : null;
    if (!match || match.nodeName !== next.nodeName) {
      from.insertBefore(next, cursor);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else from.insertBefore(match, cursor);
    morph(match, next);
  }
  while (cursor) {
    const rest = cursor.nextSibling;
    cursor.remove();
    cursor = rest;
  }
}

function fits(node, next) {
  return Boolean(node) && node.nodeName === next.nodeName && !node.dataset?.live;
}

function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  morphChildren(from, to);
}
