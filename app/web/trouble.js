// What went wrong with a photo, and what to do about it, the advice first.

import { $ } from "./dom.js";
import { duration, list, bytes, megapixels, t } from "./words.js";
import { formatName } from "./formats.js";

const UNITS = { "body-too-large": bytes, "image-too-large": megapixels };

/** Say in words: [what to do, what is wrong]. */
export function explain({ slug, limit, observed, retrySeconds }) {
  const known = Array.isArray(t(`problems.${slug}`)) ? slug : "internal-error";
  const [remedy, what] = t(`problems.${known}`);
  const sentences = [what];
  const unit = UNITS[slug];
  if (unit && observed && limit) sentences.push(t("observed", { observed: unit(observed), limit: unit(limit) }));
  if (retrySeconds > 1) sentences.push(t("roomIn", { time: duration(retrySeconds) }));
  return { remedy, what: sentences.join(" ") };
}

export function drawTrouble(photo, problem, limits) {
  const { remedy, what } = explain(problem);
  $("trouble-remedy").textContent = remedy;
  $("trouble-file").textContent = t("problemFile", { name: photo.name, size: bytes(photo.file.size) });
  $("trouble-what").textContent = what;
  const reads = problem.slug === "not-an-image" && limits ? t("reads", { formats: list(limits.reads.map(formatName)) }) : "";
  $("trouble-detail").textContent = [problem.message, reads].filter(Boolean).join(" · ");
  $("trouble-request").textContent = problem.requestId && t("request", { id: problem.requestId });
  $("key-form").hidden = problem.slug !== "unauthorized";
  $("again").hidden = !problem.passing;
  $("another").hidden = problem.passing || problem.slug === "unauthorized";
}
