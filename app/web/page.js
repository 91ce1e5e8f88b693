// The page: what comes in, what is pressed, and what is then drawn.

import { Album } from "./album.js";
import { $, say } from "./dom.js";
import { formatName } from "./formats.js";
import { holdButton, listen } from "./gestures.js";
import { drawProgress } from "./progress.js";
import { drawOptions, drawResult, removedGain, sentence } from "./result.js";
import { copyPicture, download, downloadAll, drawQuality, drawSave, flash, share } from "./save.js";
import { limits } from "./service.js";
import { drawStrip } from "./strip.js";
import { drawTrouble } from "./trouble.js";
import { View } from "./view.js";
import { drawHelp, drawLanguages, drawSample, drawTasks, openHelp, trySample, watchState } from "./welcome.js";
import { learn, percent, plain, prefer, t, translate } from "./words.js";

const album = new Album();
let licences = [];

const view = new View(
  {
    stage: $("stage"),
    frame: $("frame"),
    picture: $("picture"),
    before: $("before"),
    after: $("after"),
    undone: $("undone"),
    divider: $("divider"),
    tagBefore: $("tag-before"),
    tagAfter: $("tag-after"),
  },
  () => ($("zoom-level").textContent = percent(view.pixels)),
);

// What is seen

/** Draw what changed; photo is null if it may be anything, and fresh if its result has only just come. */
function draw({ photo, fresh }) {
  drawStrip(album);
  drawProgress(album);
  if (fresh) say(t("isDone", { name: photo.name, sentence: sentence(album.job(photo).result, album.task) }));
  if (photo && photo !== album.current) return drawMore();
  const job = album.job();
  const mode = job ? { waiting: "working", working: "working", done: "done", failed: "failed" }[job.state] : "welcome";
  const before = document.body.dataset.mode;
  // Progress comes several times a second, and changes nothing of what is drawn below.
  if (photo && mode === "working" && before === mode && view.drawn === job) return;
  view.drawn = job;
  document.body.dataset.mode = mode;
  if (mode === "working" && before !== mode) say(`${t(`${album.task}Work`)}: ${album.current.name}`);
  if (mode === "failed") drawTrouble(album.current, job.problem, album.limits);
  if (mode === "failed" && before !== mode) $("trouble").focus();
  if (mode === "working" || mode === "done") drawPhoto(album.current, job, fresh);
}

/** Another photo than the one looked at is done: it can go into the ZIP. */
function drawMore() {
  if (document.body.dataset.mode === "done") drawSave(album);
}

async function drawPhoto(photo, job, fresh) {
  const done = job.state === "done";
  $("before").alt = t("beforeAlt", { name: photo.name });
  $("after").alt = t("afterAlt", { name: photo.name });
  $("notice").textContent = "";
  if (done) {
    drawResult(album, photo, job.result);
    drawSave(album);
    drawLook();
  }
  await view.show(photo, photo.preview ?? photo.url, done ? job.result.url : null);
  if (job !== album.job() || !done) return;
  drawLook();
  if (fresh && view.comparable) view.reveal();
  // The button that was pressed is gone; whoever looks or listens goes on at the result.
  if (fresh && document.activeElement === document.body) $("frame").focus({ preventScroll: true });
  if (!view.hasBefore && !photo.preview) previewOriginal(photo);
}

/** Ask the service for the original as a picture the browser can show, or say that there is none. */
async function previewOriginal(photo) {
  const preview = await album.preview(photo);
  if (preview) photo.preview = preview;
  if (photo !== album.current) return;
  if (preview) draw({ photo, fresh: false });
  else $("notice").textContent = t("noOriginal", { format: formatName(photo.type) });
}

function looks() {
  return document.querySelector('input[name="view"]:checked').value;
}

function drawLook() {
  const result = album.job()?.result;
  if (!result) return;
  const gain = removedGain(result, album.task);
  // Haze is taken off by moving every colour, so the colours of the difference would mean nothing.
  view.look(looks(), gain, album.task !== "derain");
  const removed = album.task === "derain" ? "removedRain" : "removedHaze";
  $("summary").textContent = looks() === "removed" ? t(removed, { gain: plain(gain) }) : sentence(result, album.task);
}

function strength() {
  return Number($("strength").value);
}

function drawStrength() {
  $("strength-level").textContent = percent(strength());
  $("strength").setAttribute("aria-valuetext", percent(strength()));
  view.setStrength(strength());
}

/** Write every word anew. */
async function speak() {
  drawLanguages(await learn());
  translate(document);
  drawSample(album.task);
  drawHelp(album.limits, licences);
  drawStrength();
  drawOptions(album);
  draw({ photo: null, fresh: false });
}

// What is pressed

const choose = () => $("files").click();
for (const id of ["choose", "choose-large", "another"]) $(id).onclick = choose;
$("camera").onclick = () => $("shot").click();
for (const input of [$("files"), $("shot")]) {
  input.onchange = () => {
    album.add(input.files);
    input.value = "";
  };
}
$("sample").onclick = () => trySample(album);
$("tasks").onchange = (event) => {
  drawSample(event.target.value);
  album.choose(event.target.value);
};
$("cancel").onclick = () => (album.job()?.state === "done" ? album.cancel() : album.remove(album.current));
$("cancel-all").onclick = () => album.cancel();
$("remove").onclick = $("dismiss").onclick = () => album.remove(album.current);
$("again").onclick = () => album.request([album.current]);
$("key-form").onsubmit = async (event) => {
  event.preventDefault();
  album.key = $("key").value;
  $("key").value = "";
  drawTasks(album).then((found) => (licences = found));
  album.request(album.photos.filter((photo) => album.job(photo)?.problem?.slug === "unauthorized"));
};

$("views").onchange = drawLook;
$("zoom-in").onclick = () => view.zoomIn();
$("zoom-out").onclick = () => view.zoomOut();
$("fit").onclick = () => view.fit();
$("pixels").onclick = () => view.zoomTo(1);
$("strength").oninput = drawStrength;
$("scale").onchange = () => album.rescale($("scale").value || undefined);
holdButton($("hold"), view);
listen(view);

$("format").onchange = () => drawQuality(album);
$("download").onclick = () => download(album, strength());
$("zip").onclick = () => downloadAll(album, strength());
$("copy-picture").onclick = () => copyPicture(album, strength());
$("share").onclick = () => share(album, strength());
$("copy").onclick = async () => {
  getSelection().selectAllChildren($("command"));
  try {
    await navigator.clipboard.writeText($("command").textContent);
  } catch {
    document.execCommand("copy"); // on origins that are not secure, where the clipboard has no other door
  }
  flash($("copy"), t("copied"));
};

$("help-open").onclick = $("help-too").onclick = () => openHelp();
$("licence-open").onclick = () => openHelp("licence");
$("language").onchange = () => {
  prefer($("language").value);
  speak();
};

document.addEventListener("paste", (event) => album.add(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  album.add(event.dataTransfer.files);
});
addEventListener("beforeunload", (event) => album.progress && event.preventDefault());

// What is there from the start

album.addEventListener("change", (event) => draw(event.detail));
await speak();
album.limits = await limits().catch(() => null);
if (album.limits) $("files").accept = album.limits.reads.join(",");
licences = await drawTasks(album);
drawHelp(album.limits, licences);
drawOptions(album);
watchState();

if ("serviceWorker" in navigator) {
  const policy = window.trustedTypes?.createPolicy("dmsr", { createScriptURL: (path) => path });
  navigator.serviceWorker.register(policy?.createScriptURL("service-worker.js") ?? "service-worker.js").catch(() => {});
}
