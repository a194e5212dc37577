// Shows at the edge of a table that there is more of it to the right.

export function startTables() {
  const look = () => {
    for (const wrap of document.querySelectorAll(".table-wrap")) {
      wrap.classList.toggle("more", wrap.scrollWidth - wrap.clientWidth - wrap.scrollLeft > 4);
    }
  };
  document.addEventListener("scroll", look, { capture: true, passive: true });
  addEventListener("resize", look);
  document.addEventListener("nsqadmin:update", look);
  look();
}
