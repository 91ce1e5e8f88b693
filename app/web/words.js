// Everything the page says about numbers and failures, in plain words. Knows nothing of the page.

/** What is taken off, and what the result's file is called after. */
export const TASKS = {
  derain: { removed: "Rain", suffix: "derained", verb: "Taking the rain off" },
  dehaze: { removed: "Haze", suffix: "dehazed", verb: "Taking the haze off" },
};

/** The stations of a picture's way, as people would call them. */
const STATIONS = {
  probe: "Reading the header",
  admit: "Asking for room",
  decode: "Decoding",
  cut: "Cutting into tiles",
  queue: "Waiting its turn",
  device: "In the network",
  stitch: "Stitching together",
  encode: "Encoding",
};

/** For each problem: what it means to the person who sent the photo, and what to do. */
const PROBLEMS = {
  "malformed-request": ["The photo arrived in pieces", "Send it again."],
  "unauthorized": ["This service asks for a key", "Enter the API key its owner gave you."],
  "not-found": ["The service does not know this address", "Reload the page: the service may be a newer one."],
  "method-not-allowed": ["The service does not take photos here", "Reload the page: the service may be a newer one."],
  "not-acceptable": ["The result does not fit into a PNG", "Convert the photo to JPEG or PNG and try that."],
  "body-timeout": ["The upload took too long", "Try again on a faster connection, or make the photo smaller."],
  "body-too-large": ["The file is too large", "Save it with fewer pixels or as JPEG, then try again."],
  "image-too-large": ["The photo has too many pixels", "Make it smaller, or cut it in parts, then try again."],
  "not-an-image": ["This is no photo the service can read", "Choose a JPEG, PNG, WebP, TIFF, BMP or AVIF."],
  "invalid-parameter": ["The service did not understand the page", "Reload the page: the service may be a newer one."],
  "undecodable-image": ["The photo is damaged", "Open it in a photo program, save it anew, and try the copy."],
  "animated-image": ["The file holds several pictures", "Save the one you want as a file of its own."],
  "unsupported-image": ["Photos of this kind would lose quality here", "Save it as an ordinary 8-bit JPEG or PNG."],
  "overloaded": ["The service has its hands full", "Wait a little, then try again."],
  "restoration-failed": ["The network failed on this photo", "Try again; if it fails again, tell the service's owner."],
  "internal-error": ["The service made a mistake", "Try again; if it happens again, tell the service's owner."],
  "warming": ["The service is still starting", "It takes a few seconds. Try again then."],
  "draining": ["The service is stopping", "Try again when it is back."],
  "buffers-full": ["Too many photos are arriving at once", "Wait a little, then try again."],
  "task-unavailable": ["The service has not learnt this", "Choose another thing to take off."],
  "device-lost": ["The machine behind the service failed", "It restarts by itself. Try again in a minute."],
  "deadline-exceeded": ["It took longer than allowed", "Try again when there is less to do, or make the photo smaller."],
  "unreachable": ["The service cannot be reached", "Check that it runs. If it hung up on a very large file, make that smaller."],
};

export function explain({ slug, retrySeconds }) {
  const [what, remedy] = PROBLEMS[slug] ?? PROBLEMS["internal-error"];
  return { what, remedy: retrySeconds > 1 ? `${remedy} It expects room in ${duration(retrySeconds)}.` : remedy };
}

/** Tell how much a change of `mean` 8-bit steps is to the eye. */
export function describeChange(mean, task) {
  const removed = TASKS[task].removed.toLowerCase();
  if (mean < 0.5) return `Almost nothing changed: little ${removed} was found`;
  if (mean < 2) return `A little ${removed} was taken off`;
  if (mean < 10) return `${TASKS[task].removed} was taken off`;
  return `A lot of ${removed} was taken off`;
}

/** Tell how many times brighter what was removed is drawn, to be seen when it is faint and not to glare when it is not. */
export function removedGain(mean = 6) {
  return Math.round(Math.min(Math.max(24 / mean, 1), 8));
}

export function station(name) {
  return STATIONS[name] ?? name;
}

/** Write a number with its unit, which a line's end does not part. */
const measured = (number, unit) => `${number}\u00a0${unit}`;

export function duration(seconds) {
  if (seconds < 0.01) return `<\u00a0${measured(10, "ms")}`;
  if (seconds < 1) return measured(Math.round(seconds * 100) * 10, "ms");
  if (seconds < 10) return measured(seconds.toFixed(1), "s");
  if (seconds < 90) return measured(Math.round(seconds), "s");
  return measured(Math.round(seconds / 60), "min");
}

/** Tell the time left in steps a person would use, so that the words do not flicker. */
export function timeLeft(seconds) {
  if (seconds < 3) return "a moment left";
  if (seconds < 60) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  return `about ${Math.ceil(seconds / 60)} min left`;
}

export function resultName(name, task) {
  return `${name.replace(/\.[^.]*$/, "") || "photo"}-${TASKS[task].suffix}.png`;
}

/** Write the curl command that does the same. */
export function command(name, task, address, keyed) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const key = keyed ? ['-H "X-API-Key: $DMSR_KEY"'] : [];
  const upload = `--data-binary ${quoted(`@${name}`)}`;
  const words = ["curl --fail-with-body", ...key, upload, quoted(address), `-o ${quoted(resultName(name, task))}`];
  return words.join(" \\\n  ");
}
