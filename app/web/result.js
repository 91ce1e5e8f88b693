// What the service says about a result: how much changed, where the time went, and how to do the same by hand.

import { $, element } from "./dom.js";
import { formatName, resultName } from "./formats.js";
import { optionsOf, query } from "./service.js";
import { duration, bytes, plain, t } from "./words.js";

/** Sizes of the rain that can be tried by hand: for these the photo is made so many times smaller. */
const SIZES = [1, 2, 4, 8, 16];
/** How bright what was removed is drawn on average: rain is bright streaks on black, haze a grey nearly everywhere. */
const REMOVED_MEAN = { derain: 24, dehaze: 64, both: 64 };

/** Offer what the service has: another strength, and for rain another size of it. */
export function drawOptions(album) {
  const offered = album.limits?.options ?? [];
  $("strength-box").hidden = !offered.includes("strength");
  const choices = [[t("scaleAuto"), ""], ...SIZES.map((size) => [`1:${size}`, `${1 / size}`])];
  const chosen = album.scale ?? "";
  $("scale").replaceChildren(...choices.map(([text, value]) => element("option", text, { value, selected: value === chosen })));
}

export function drawResult(album, photo, result) {
  $("scale-box").hidden = !album.limits?.options.includes("scale") || album.task === "dehaze";
  drawFacts(result);
  drawTimes(result);
  drawCommand(album, photo, result);
}

/** Tell in one sentence how much a result is another picture, as the eye takes a mean change in 8-bit steps. */
export function sentence({ steps, milliseconds }, task) {
  const time = duration(milliseconds / 1000);
  const dry = steps.some(({ name, scale }) => name === "derain" && scale === "none");
  if (dry && steps.length === 1) return t("derainNone", { time });
  const mean = meanChange(steps) ?? 5;
  const amount = mean < 0.5 ? "Nothing" : mean < 2 ? "Little" : mean < 10 ? "Some" : "Much";
  return t(`${dry ? "dehaze" : task}${amount}`, { time });
}

/** Tell how many times brighter what was removed is drawn, to be seen when it is faint and not to glare when it is not. */
export function removedGain({ steps }, task) {
  return Math.round(Math.min(Math.max(REMOVED_MEAN[task] / (meanChange(steps) ?? 6), 1), 8));
}

function meanChange(steps) {
  const means = steps.map(({ change }) => change?.mean).filter((mean) => mean !== undefined);
  return means.length ? means.reduce((sum, mean) => sum + mean) : undefined;
}

function drawFacts({ steps, blob, format }) {
  const facts = [];
  for (const { name, change, weights, scale } of steps) {
    const title = (key) => (steps.length > 1 ? `${t(name)}: ${t(key)}` : t(key));
    if (change) facts.push([title("mean"), plain(change.mean, 1)], [title("largest"), plain(change.largest)]);
    if (scale) facts.push([title("scaleUsed"), scale === "none" ? t("scaleNone") : sizes(scale)]);
    if (weights) facts.push([title("weights"), weights]);
  }
  facts.push([t("result"), `${formatName(`image/${format}`)}, ${bytes(blob.size)}`]);
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

/** Write scales such as "0.5, 0.125" as people know them from maps: 1:2, 1:8. */
function sizes(scales) {
  const rounded = scales.split(", ").map((scale) => Math.round(10 / scale) / 10);
  return rounded.map((size) => `1:${plain(size, size % 1 ? 1 : 0)}`).join(", ");
}

function drawTimes({ steps, milliseconds }) {
  const spent = new Map();
  for (const [name, time] of steps.flatMap(({ stages }) => stages)) spent.set(name, (spent.get(name) ?? 0) + time);
  const inside = [...spent.values()].reduce((sum, time) => sum + time, 0);
  const named = [...spent].map(([name, time]) => [t(`stages.${name}`), time]);
  const rows = [...named, [t("transfer"), Math.max(milliseconds - inside, 0)]].map(([name, time]) => {
    const bar = element("span");
    bar.style.setProperty("--share", time / milliseconds);
    const row = element("tr");
    row.append(element("th", name, { scope: "row" }), element("td"), element("td", duration(time / 1000)));
    row.children[1].append(bar);
    return row;
  });
  $("times").replaceChildren(...rows);
}

/** Write the curl command that does the same. */
function drawCommand({ key }, { name }, { steps, format, options }) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const address = (step, asked) => quoted(new URL(`${step}?${query(asked)}`, document.baseURI).href);
  const head = ["curl --fail-with-body", ...(key ? ['-H "X-API-Key: $DMSR_KEY"'] : [])].join(" \\\n  ");
  const target = `-o ${quoted(resultName(name, t(`${steps.length > 1 ? "both" : steps[0].name}Suffix`), format))}`;
  const commands = steps.map((step, at) => {
    const first = at === 0;
    const last = at === steps.length - 1;
    const upload = `--data-binary ${first ? quoted(`@${name}`) : "@-"}`;
    return [head, upload, address(step.name, optionsOf(step.name, last ? options : { ...options, format: "png" })), ...(last ? [target] : [])].join(" \\\n  ");
  });
  $("command").textContent = commands.join(" |\n");
}
