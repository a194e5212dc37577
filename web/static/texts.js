// The texts that scripts show, in the language of the page: the page carries them.
const texts = JSON.parse(document.documentElement.dataset.texts ?? "{}");

export function gettext(text) {
  return texts[text] ?? text;
}
