// Short ways to the document's elements.

export const $ = (id) => document.getElementById(id);

export function element(name, text = "", properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, properties);
}

/** Tell it to those who listen to the page. */
export function say(words) {
  $("said").textContent = words;
}
