// What is there before the first photo: the sample, the choice of what to take off, help, and the language.

import { $, element, say } from "./dom.js";
import { formatName } from "./formats.js";
import { STEPS, models, ready } from "./service.js";
import { LANGUAGES, list, bytes, megapixels, t } from "./words.js";

const SAMPLES = { derain: "rain", dehaze: "haze", both: "both" };
const AGAIN_MILLISECONDS = 2000;

/** Show the weather that can be taken off, and how the service's own weights do it. */
export function drawSample(task) {
  const name = SAMPLES[task];
  $("sample-before").src = `web/pictures/${name}.jpg`;
  $("sample-after").src = `web/pictures/${name}-restored.jpg`;
  $("hint").textContent = t(`${task}Hint`);
  // Once more from the start, for the new picture.
  for (const animation of $("scene").getAnimations()) {
    animation.cancel();
    animation.play();
  }
}

export async function trySample(album) {
  try {
    const answer = await fetch($("sample-before").src);
    album.add([new File([await answer.blob()], `${SAMPLES[album.task]}.jpg`, { type: "image/jpeg" })]);
  } catch {
    say(t("sampleFailed"));
    $("state").textContent = t("sampleFailed");
  }
}

/** Offer the tasks the service has weights for; if it does not say, offer rain and let it answer. */
export async function drawTasks(album) {
  const cards = await models(album.key).catch(() => []);
  const names = new Set(cards.map((card) => card.task));
  const known = Object.keys(STEPS).filter((task) => STEPS[task].every((step) => names.has(step)));
  if (known.length && !known.includes(album.task)) album.choose(known[0]);
  for (const label of $("tasks").querySelectorAll("label")) label.remove();
  $("tasks").hidden = known.length < 2;
  for (const name of known) {
    const radio = element("input", "", { type: "radio", name: "task", value: name, checked: name === album.task });
    const words = element("span", t(name));
    words.dataset.t = name;
    const label = element("label", "", { title: t(`${name}Hint`) });
    label.append(radio, words);
    $("tasks").append(label);
  }
  const licences = [...new Set(cards.map((card) => card.licence))];
  $("noncommercial").hidden = !licences.some((licence) => licence.includes("NC"));
  return licences;
}

/** Say while the service starts or is away, until it is there. */
export async function watchState() {
  const state = await ready();
  $("state").textContent = { ready: "", warming: t("starting"), unreachable: t("offline") }[state] ?? "";
  if (state !== "ready" && document.body.dataset.mode === "welcome") setTimeout(watchState, AGAIN_MILLISECONDS);
}

export function drawHelp(limits, licences) {
  const values = {
    formats: list((limits?.reads ?? []).map(formatName)),
    size: bytes(limits?.body_bytes ?? 0),
    pixels: megapixels(limits?.pixels ?? 0),
    licence: list(licences),
  };
  const sections = ["which", "send", "strength", "download", "keys", "licence"].filter((name) => name !== "send" || limits);
  const entries = sections.flatMap((name) => {
    const [title, text] = t(`helpText.${name}`, values);
    return [element("dt", title, { id: `help-${name}` }), element("dd", text)];
  });
  $("help-text").replaceChildren(...entries);
}

export function openHelp(section) {
  $("help").showModal();
  if (section) $(`help-${section}`).scrollIntoView({ block: "start" });
}

export function drawLanguages(chosen) {
  const offers = Object.entries(LANGUAGES).map(([value, name]) => element("option", name, { value, lang: value, selected: value === chosen }));
  $("language").replaceChildren(...offers);
}
