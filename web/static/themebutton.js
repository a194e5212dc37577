// The button that changes colours: as the system, light, dark.
import { gettext } from "./texts.js";

const KEY = "nsqadmin.theme";
const LOOKS = {
  system: ["◐", gettext("Colours: as the system")],
  light: ["☀", gettext("Colours: light")],
  dark: ["☾", gettext("Colours: dark")],
};

export function startThemeButton() {
  const button = document.getElementById("theme");
  if (!button) return;
  button.hidden = false;
  const show = () => {
    const [sign, label] = LOOKS[document.documentElement.dataset.theme ?? "system"];
    button.textContent = sign;
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  button.addEventListener("click", () => {
    const names = Object.keys(LOOKS);
    const now = document.documentElement.dataset.theme ?? "system";
    const next = names[(names.indexOf(now) + 1) % names.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Not remembered; the page still has it.
    }
    show();
  });
  show();
}
