// How far the work is: of the photo that is looked at in words, of all photos in one bar and in the tab's title.

import { $ } from "./dom.js";
import { duration, percent, t, timeLeft } from "./words.js";

export function drawProgress(album) {
  const progress = album.progress;
  $("working").hidden = !progress;
  document.title = progress ? `${percent(progress.fraction)} · ${t("title")}` : t("title");
  if (!progress) return;
  const { fraction, done, count, secondsLeft } = progress;
  const working = album.photos.find((photo) => album.job(photo)?.state === "working");
  const job = album.job(working);
  $("working-name").textContent = count > 1 ? t("photosDone", { done, count }) : (working ?? album.current).name;
  const started = job?.sent === 1 || fraction > 0;
  if (started) $("progress").value = fraction;
  else $("progress").removeAttribute("value");
  $("working-words").textContent = job?.wait ? goesOn(job.wait) : words(job, progress, secondsLeft);
  $("cancel").hidden = count < 2 ? false : !["waiting", "working"].includes(album.job()?.state);
  $("cancel-all").hidden = count < 2;
}

function words(job, { fraction }, secondsLeft) {
  if (!job) return t("queued");
  if (!job.total && !fraction) return job.sent < 1 ? t("sending", { percent: percent(job.sent) }) : t("onItsWay");
  const tiles = job.total ? [t("tiles", { done: job.done, total: job.total })] : [];
  return [percent(fraction), ...tiles, ...(secondsLeft === null ? [] : [timeLeft(secondsLeft)])].join(" · ");
}

function goesOn({ slug, seconds }) {
  return t("goesOn", { reason: t(`problems.${slug}`)[1], time: duration(seconds) });
}
