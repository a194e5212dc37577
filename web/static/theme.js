// Applies the colours somebody chose before the page is drawn. Runs in the head, on purpose.
(() => {
  try {
    const chosen = localStorage.getItem("nsqadmin.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // No storage: the system's colours.
  }
})();
