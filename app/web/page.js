// The page: photos come in, wait their turn, are restored one after the other, and are looked at.

import { Problem, restore, tasks } from "./service.js";
import { View } from "./view.js";
import { TASKS, command, describeChange, duration, explain, removedGain, resultName, station, timeLeft } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Photos in the order they came: {file, url, jobs, item, image}; a job, one for each task, is waiting, working, done or failed. */
const photos = [];
let current = null;
let task = "derain";
let key = "";
let working = false;

const view = new View(
  {
    frame: $("frame"),
    picture: $("picture"),
    before: $("before"),
    after: $("after"),
    divider: $("divider"),
    tagBefore: $("tag-before"),
    tagAfter: $("tag-after"),
  },
  () => ($("zoom-level").textContent = `${Math.round(view.pixels * 100)}%`),
);

// Photos in

function add(files) {
  const came = Array.from(files, (file) => ({ file, url: URL.createObjectURL(file), jobs: {} }));
  if (!came.length) return;
  photos.push(...came);
  for (const photo of came) {
    photo.item = stripItem(photo);
    request(photo);
  }
  select(came[0]);
  work();
}

function request(photo) {
  photo.jobs[task] = { state: "waiting" };
}

function select(photo) {
  current = photo;
  if (!photo.jobs[task]) request(photo);
  view.stopReveal();
  show();
  work();
}

async function trySample() {
  try {
    const answer = await fetch($("sample").querySelector("img").src);
    add([new File([await answer.blob()], "rainy-bay.jpg", { type: "image/jpeg" })]);
  } catch {
    say("The sample cannot be fetched: the service cannot be reached.");
  }
}

// One after the other

/** Work until nothing waits: the photo being looked at first, then the others in the order they came. */
async function work() {
  if (working) return;
  working = true;
  const next = () => [current, ...photos].find((photo) => photo?.jobs[task]?.state === "waiting");
  for (let photo = next(); photo; photo = next()) await process(photo, task);
  working = false;
}

async function process(photo, task) {
  const job = Object.assign(photo.jobs[task], { state: "working", stop: new AbortController(), started: performance.now() });
  say(`${TASKS[task].verb}: ${photo.file.name}`);
  refresh(photo);
  try {
    job.result = await restore(photo.file, task, {
      key,
      signal: job.stop.signal,
      onProgress: (done, total) => {
        job.first ??= { done, at: performance.now() };
        Object.assign(job, { done, total });
        if (photo === current) drawProgress();
      },
    });
    job.result.url = URL.createObjectURL(job.result.blob);
    job.state = "done";
    say(`${photo.file.name} is done. ${sentence(job.result, task)}`);
  } catch (error) {
    if (error.name === "AbortError") {
      drop(photo, task);
      return;
    }
    job.problem = error instanceof Problem ? error : new Problem({ type: "internal-error", detail: String(error) });
    job.state = "failed";
  }
  refresh(photo, { fresh: true });
}

/** Forget a photo's task, and the photo with it unless another task has made something of it. */
function drop(photo, task) {
  delete photo.jobs[task];
  if (!Object.keys(photo.jobs).length) {
    photos.splice(photos.indexOf(photo), 1);
    URL.revokeObjectURL(photo.url);
  }
  if (photo === current) current = photos.find((other) => other.jobs[task]) ?? null;
  show();
}

// What is seen

function refresh(photo, options) {
  if (photo === current) show(options);
  else drawStrip();
}

/** Draw everything anew for the current photo; fresh: its result has only just come. */
async function show({ fresh = false } = {}) {
  drawStrip();
  const job = current?.jobs[task];
  const mode = job ? { waiting: "working", working: "working", done: "done", failed: "failed" }[job.state] : "welcome";
  $("stage").dataset.mode = mode;
  if (mode === "working") drawProgress();
  if (mode === "failed") drawTrouble(job.problem);
  if (mode === "welcome" || mode === "failed") return;
  if (mode === "done") drawResult(current, job.result);
  $("before").alt = `${current.file.name} before`;
  $("after").alt = `${current.file.name} after`;
  const stay = view.photo === current;
  view.photo = current;
  view.removedOnly = mode === "done" && chosenView() === "removed";
  await view.show(current.url, mode === "done" ? job.result.url : null, { stay });
  if (fresh && view.comparable) view.reveal();
}

function drawProgress() {
  const job = current.jobs[task];
  const { done = 0, total = 0, first } = job;
  $("working-name").textContent = current.file.name;
  if (total) {
    $("progress").max = total;
    $("progress").value = done;
  } else {
    $("progress").removeAttribute("value");
  }
  let words = job.state === "waiting" ? "waits for its turn" : "on its way";
  if (total) words = `${done} of ${total} tiles`;
  const seconds = first ? (performance.now() - first.at) / 1000 : 0;
  if (done > first?.done && seconds > 1) words += `, ${timeLeft((seconds / (done - first.done)) * (total - done))}`;
  $("working-words").textContent = words;
}

function drawTrouble(problem) {
  const { what, remedy } = explain(problem);
  $("trouble-what").textContent = what;
  $("trouble-remedy").textContent = remedy;
  $("trouble-detail").textContent = problem.message;
  $("trouble-request").textContent = problem.requestId && `Request ${problem.requestId}`;
  $("key-form").hidden = problem.slug !== "unauthorized";
  $("again").hidden = !problem.passing;
  $("another").hidden = problem.passing || problem.slug === "unauthorized";
}

function drawResult(photo, result) {
  const name = photo.file.name;
  drawSummary(result);
  $("download").href = result.url;
  $("download").download = resultName(name, task);
  $("command").textContent = command(name, task, new URL(`${task}?format=png`, document.baseURI).href, Boolean(key));
  drawChange(result);
  drawTimes(result);
}

function drawSummary(result) {
  const gain = removedGain(result.change?.mean);
  $("stage").style.setProperty("--gain", gain);
  $("summary").textContent = chosenView() === "compare" ? sentence(result, task) : `What was taken off, ${gain} times as bright.`;
}

function sentence({ change, milliseconds }, task) {
  const words = change ? describeChange(change.mean, task) : `${TASKS[task].removed} was taken off`;
  return `${words}, in ${duration(milliseconds / 1000)}.`;
}

function drawChange({ change, weights, blob }) {
  const facts = [];
  if (change) facts.push(["On average", change.mean.toFixed(1)], ["At most", change.largest]);
  if (weights) facts.push(["Weights", weights]);
  facts.push(["Result", `PNG, ${(blob.size / 1e6).toFixed(1)} MB`]);
  $("change").textContent = "How far the photo’s colour values moved; they go from 0 to 255.";
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function drawTimes({ stages, milliseconds }) {
  const inside = stages.reduce((sum, [, spent]) => sum + spent, 0);
  const rows = [...stages.map(([name, spent]) => [station(name), spent]), ["Sending and receiving", Math.max(milliseconds - inside, 0)]];
  $("times").replaceChildren(
    ...rows.map(([name, spent]) => {
      const bar = element("span", "");
      bar.style.setProperty("--share", spent / milliseconds);
      const row = element("tr");
      row.append(Object.assign(element("th", name), { scope: "row" }), element("td"), element("td", duration(spent / 1000)));
      row.children[1].append(bar);
      return row;
    }),
  );
}

function drawStrip() {
  $("strip").hidden = photos.length < 2;
  for (const photo of photos) {
    const job = photo.jobs[task];
    const button = photo.item.firstElementChild;
    const url = job?.result?.url ?? photo.url;
    if (photo.image.getAttribute("src") !== url) photo.image.src = url;
    button.dataset.state = job?.state ?? "waiting";
    button.setAttribute("aria-label", `${photo.file.name}, ${button.dataset.state}`);
    button.ariaCurrent = photo === current;
  }
  const items = photos.map((photo) => photo.item);
  const list = $("strip").firstElementChild;
  // Only when photos came or went: a button that is put back loses the focus.
  if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) list.replaceChildren(...items);
}

function stripItem(photo) {
  photo.image = Object.assign(element("img"), { alt: "" });
  photo.image.onerror = () => photo.image.removeAttribute("src");
  const button = Object.assign(element("button"), { type: "button", title: photo.file.name, onclick: () => select(photo) });
  button.append(photo.image);
  const item = element("li");
  item.append(button);
  return item;
}

function element(name, text = "") {
  return Object.assign(document.createElement(name), { textContent: text });
}

function say(words) {
  $("said").textContent = words;
}

function chosenView() {
  return document.querySelector('input[name="view"]:checked').value;
}

// What is pressed

$("choose").onclick = $("choose-too").onclick = $("another").onclick = () => $("files").click();
$("files").onchange = () => {
  add($("files").files);
  $("files").value = "";
};
$("sample").onclick = trySample;
$("cancel").onclick = () => (current.jobs[task].state === "working" ? current.jobs[task].stop.abort() : drop(current, task));
$("dismiss").onclick = () => drop(current, task);
$("again").onclick = () => {
  request(current);
  select(current);
};
$("key-form").onsubmit = (event) => {
  event.preventDefault();
  key = $("key").value;
  $("key").value = "";
  listTasks();
  for (const photo of photos) if (photo.jobs[task]?.problem?.slug === "unauthorized") request(photo);
  select(current);
};
$("views").onchange = () => {
  view.removedOnly = chosenView() === "removed";
  drawSummary(current.jobs[task].result);
};
$("zoom-in").onclick = () => view.zoomIn();
$("zoom-out").onclick = () => view.zoomOut();
$("fit").onclick = () => view.fit();
$("pixels").onclick = () => view.zoomTo(1);
$("copy").onclick = async () => {
  getSelection().selectAllChildren($("command"));
  try {
    await navigator.clipboard.writeText($("command").textContent);
  } catch {
    document.execCommand("copy"); // on origins that are not secure, where the clipboard has no other door
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 2000);
};

document.addEventListener("paste", (event) => add(event.clipboardData.files));
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
  add(event.dataTransfer.files);
});

// What can be taken off

/** Offer the tasks the service has weights for; if it does not say, offer rain and let it answer. */
async function listTasks() {
  const known = (await tasks(key).catch(() => ["derain"])).filter((name) => name in TASKS);
  if (!known.includes(task) && known.length) task = known[0];
  for (const label of $("tasks").querySelectorAll("label")) label.remove();
  $("tasks").hidden = known.length < 2;
  for (const name of known) {
    const radio = Object.assign(element("input"), { type: "radio", name: "task", value: name, checked: name === task });
    const label = element("label");
    label.append(radio, element("span", TASKS[name].removed));
    $("tasks").append(label);
  }
}

$("tasks").onchange = (event) => {
  task = event.target.value;
  if (current) select(current);
};

listTasks();
