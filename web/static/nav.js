// On screens too narrow for the names of all pages the one that is open is in sight.

export function startNav() {
  const open = document.querySelector(".nav [aria-current]");
  if (open) {
    const bar = open.parentElement;
    bar.scrollLeft += Math.max(0, open.getBoundingClientRect().right - bar.getBoundingClientRect().right);
  }
}
