// Asks in a dialog what a page of its own asks without scripts. The form in it is the server's,
// with its token; sending it is an ordinary POST.

export function startDialogs() {
  if (!("HTMLDialogElement" in window)) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-confirm]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    ask(link.href);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-confirm]")) return;
    event.preventDefault();
    ask(`${form.action}?${new URLSearchParams(new FormData(form))}`);
  });
  const form = document.getElementById("confirm");
  if (form) expectName(form);
}

async function ask(url) {
  let form = null;
  try {
    const response = await fetch(url, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    form = page.getElementById("confirm");
  } catch {
    // Whatever it is, the page itself can tell it better.
  }
  if (!form) {
    location.assign(url);
    return;
  }
  show(document.importNode(form, true));
}

function show(form) {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  dialog.setAttribute("aria-labelledby", "dialog-title");
  form.querySelector("h1").id = "dialog-title";
  dialog.append(form);
  document.body.append(dialog);
  form.querySelector("[data-cancel]").addEventListener("click", (event) => {
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  expectName(form);
  dialog.showModal();
  form.querySelector("[autofocus]")?.focus();
}

function expectName(form) {
  const input = form.querySelector("[data-expect]");
  if (!input) return;
  const button = form.querySelector("button[type=submit]");
  const check = () => {
    button.disabled = input.value.trim() !== input.dataset.expect;
  };
  input.addEventListener("input", check);
  check();
}
