// The words of the page in the reader's language, and numbers as that language writes them. Knows nothing of the page.

export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", zh: "中文" };
const CHOICE = "dmsr-language";

let words = {};
let language = "en";

/** Load the language that the reader chose here before, or the first of the browser's that there is. */
export async function learn() {
  const wanted = [stored(), ...navigator.languages].map((name) => name?.toLowerCase().split("-")[0]);
  language = wanted.find((name) => name in LANGUAGES) ?? "en";
  words = await (await fetch(`web/languages/${language}.json`)).json();
  document.documentElement.lang = language;
  return language;
}

export function prefer(name) {
  try {
    localStorage.setItem(CHOICE, name);
  } catch {
    // Without storage the choice holds for this visit.
  }
  words = {};
}

function stored() {
  try {
    return localStorage.getItem(CHOICE);
  } catch {
    return null;
  }
}

/** Return a text or a list of texts; its key may lead into a group: "problems.overloaded". {name} is replaced by values. */
export function t(key, values = {}) {
  const found = key.split(".").reduce((group, part) => group?.[part], words) ?? key;
  const fill = (text) => text.replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
  return Array.isArray(found) ? found.map(fill) : fill(found);
}

/** Put the words into the page: data-t names an element's text, data-t-label its name for those who hear it. */
export function translate(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-alt]")) node.alt = t(node.dataset.tAlt);
}

// Numbers

const write = (number, options) => new Intl.NumberFormat(language, options).format(number);
// Symbols of units are the same in every language; a line's end does not part them from their number.
const measure = (number, unit, digits = 0) => `${write(number, { maximumFractionDigits: digits })}\u00a0${unit}`;

export const plain = (number, digits = 0) => write(number, { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const percent = (fraction) => write(fraction, { style: "percent", maximumFractionDigits: 0 });

export const bytes = (count) => (count < 1e5 ? measure(Math.ceil(count / 1e3), "kB") : measure(count / 1e6, "MB", count < 1e7 ? 1 : 0));

export const megapixels = (pixels) => measure(pixels / 1e6, "MP", 1);

export function duration(seconds) {
  if (seconds < 0.01) return `<\u00a0${measure(10, "ms")}`;
  if (seconds < 1) return measure(Math.round(seconds * 100) * 10, "ms");
  if (seconds < 10) return measure(seconds, "s", 1);
  return seconds < 90 ? measure(seconds, "s") : measure(seconds / 60, "min");
}

/** Tell the time left in steps a person would use, so that the words do not flicker. */
export function timeLeft(seconds) {
  if (seconds < 3) return t("momentLeft");
  const time = seconds < 60 ? measure(Math.ceil(seconds / 5) * 5, "s") : measure(Math.ceil(seconds / 60), "min");
  return t("left", { time });
}

/** Join names as the language does: "JPEG, PNG and WebP". */
export const list = (names) => new Intl.ListFormat(language).format(names);
