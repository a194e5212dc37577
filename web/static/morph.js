// Makes one piece of the page like another, changing no more than differs: what has the focus keeps
// it, what is open stays open, and a pointer rests on the same element.

export function morphInto(element, html) {
  const wanted = element.cloneNode(false); // the same element as context: a row parses cells, SVG parses SVG
  wanted.innerHTML = html;
  morphChildren(element, wanted);
}

// Children with a key (data-live, data-key) are recognized wherever they stand; the others by their
// place. What comes and goes has a key, so that what stands behind it keeps its place.
function morphChildren(from, to) {
  const wanted = new Set([...to.children].map(keyOf));
  const keyed = new Map();
  for (const child of [...from.children]) {
    const key = keyOf(child);
    if (key && wanted.has(key)) keyed.set(key, child);
    else if (key) drop(child);
  }
  let cursor = from.firstChild;
  for (const next of [...to.childNodes]) {
    while (isBlank(cursor) && next.nodeType !== Node.TEXT_NODE) cursor = drop(cursor);
    const key = keyOf(next);
    const match = key ? keyed.get(key) : fits(cursor, next) ? cursor : null;
    if (!match || match.nodeName !== next.nodeName) {
      from.insertBefore(next, cursor);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else from.insertBefore(match, cursor);
    morph(match, next);
  }
  while (cursor) cursor = drop(cursor);
}

function keyOf(node) {
  return node.dataset?.live ?? node.dataset?.key ?? "";
}

function fits(node, next) {
  return Boolean(node) && node.nodeName === next.nodeName && !keyOf(node);
}

function isBlank(node) {
  return node?.nodeType === Node.TEXT_NODE && !node.data.trim();
}

// Removes a node, unless somebody is just typing in it; the one behind it.
function drop(node) {
  const behind = node.nextSibling;
  const focus = document.activeElement;
  if (!(focus?.matches("input") && node.contains(focus))) node.remove();
  return behind;
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
