// Results as files: in which format, one or all, downloaded, copied or shared.

import { $, element } from "./dom.js";
import { LOSSY, formatName, resultName } from "./formats.js";
import { explain } from "./trouble.js";
import { list, percent, t } from "./words.js";
import { zip } from "./zip.js";

/** What the service takes if none is named. */
const QUALITY = 92;
const OFFERED = ["png", "jpeg", "webp"];
const REVOKE_MILLISECONDS = 60_000; // a download has begun by then
const CAN_COPY = Boolean(navigator.clipboard?.write && window.ClipboardItem);

/** Offer formats for the current photo, and what this browser can do with the result. */
export function drawSave(album) {
  const photo = album.current;
  const own = [t("likeOriginal", { format: formatName(`image/${photo.own}`) }), "own"];
  const offers = [own, ...OFFERED.map((format) => [formatName(`image/${format}`), format])];
  const chosen = $("format").value || "own";
  $("format").replaceChildren(...offers.map(([text, value]) => element("option", text, { value, selected: value === chosen })));
  drawQuality(album);
  $("copy-picture").hidden = !CAN_COPY;
  $("share").hidden = !canShare();
  $("zip").hidden = album.done.length < 2;
}

/** Offer a quality where one can be chosen. */
export function drawQuality(album) {
  // The original's own format comes at the service's own quality; whoever chooses a format may choose that, too.
  $("quality-box").hidden = $("format").value === "own" || !LOSSY.includes(format(album.current));
}

function format(photo) {
  const chosen = $("format").value;
  return chosen === "own" ? photo.own : chosen;
}

function options(album, photo, strength) {
  if ($("format").value === "own") return album.options({ format: photo.own, strength });
  const quality = Math.min(Math.max(Math.round(Number($("quality").value)) || QUALITY, 1), 100);
  return album.options({ format: format(photo), quality: quality === QUALITY ? undefined : quality, strength });
}

/** Return a photo's result as a file with its name. */
async function file(album, photo, strength, onProgress) {
  const wanted = options(album, photo, strength);
  const blob = await album.output(photo, wanted, { onProgress });
  return new File([blob], resultName(photo.name, t(`${album.task}Suffix`), wanted.format), { type: blob.type });
}

export async function download(album, strength) {
  const photo = album.current;
  const made = await prepared($("download"), photo, (onProgress) => file(album, photo, strength, onProgress));
  if (made) hand(made, made.name);
}

/** Hand out all that is done as one ZIP, and name what is left out of it. */
export async function downloadAll(album, strength) {
  const photos = album.done;
  const left = album.photos.filter((photo) => !photos.includes(photo)).map(({ name }) => name);
  const files = [];
  for (const [at, photo] of photos.entries()) {
    const made = await prepared($("zip"), photo, (onProgress) =>
      file(album, photo, strength, (fraction) => onProgress((at + fraction) / photos.length)),
    );
    if (!made) return;
    files.push({ name: made.name, blob: made });
  }
  hand(await zip(files), t("zipName", { suffix: t(`${album.task}Suffix`) }));
  if (left.length) notice(t("zipLeftOut", { names: list(left) }));
}

/** Put the current result on the clipboard, which takes PNG only. */
export async function copyPicture(album, strength) {
  const photo = album.current;
  const button = $("copy-picture");
  const picture = prepared(button, photo, async (onProgress) => {
    const shown = album.options({ format: album.job(photo).result.format, strength });
    return toPng(await album.output(photo, shown, { onProgress }));
  });
  try {
    // A promise, because the browser only lets this begin while the press is fresh.
    await navigator.clipboard.write([new ClipboardItem({ "image/png": picture.then((blob) => blob ?? Promise.reject()) })]);
    flash(button, t("copied"));
  } catch {
    if (!$("notice").textContent) notice(t("copyFailed"));
  }
}

export async function share(album, strength) {
  const photo = album.current;
  const made = await prepared($("share"), photo, (onProgress) => file(album, photo, strength, onProgress));
  if (!made) return;
  try {
    await navigator.share({ files: [made] });
  } catch (error) {
    // The press is stale when the file took long; the file is here now, so the next press shares at once.
    if (error.name === "NotAllowedError") notice(t("shareAgain"));
  }
}

function canShare() {
  const trial = new File([""], "trial.png", { type: "image/png" });
  return Boolean(navigator.canShare?.({ files: [trial] }));
}

/** Run work while its button tells how far it is; returns nothing, and says why, if it fails. */
async function prepared(button, photo, work) {
  if (button.ariaBusy === "true") return null;
  notice("");
  button.ariaBusy = "true"; // and not disabled, which would take the focus away
  const words = button.textContent;
  try {
    return await work((fraction) => (button.textContent = t("preparing", { percent: percent(fraction) })));
  } catch (error) {
    if (error.name !== "AbortError") notice(t("saveFailed", { name: photo.name, remedy: explain(error).remedy }));
    return null;
  } finally {
    button.ariaBusy = "false";
    button.textContent = words;
  }
}

function hand(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", "", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_MILLISECONDS);
}

async function toPng(blob) {
  if (blob.type === "image/png") return blob;
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  const canvas = element("canvas", "", { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  URL.revokeObjectURL(image.src);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function notice(words) {
  $("notice").textContent = words;
}

export function flash(button, words) {
  const before = button.textContent;
  button.textContent = words;
  setTimeout(() => (button.textContent = before), 2000);
}
