// The service as the page sees it: photos out, pictures and problems in. Knows nothing of the page.

const POLL_MILLISECONDS = 300;
/** Refusals that pass by themselves, so that the page asks again, after so many seconds if the service names none. */
const PASSING = { overloaded: 5, "buffers-full": 2, warming: 1 };
/** What each task asks of the service, one after the other. */
export const STEPS = { derain: ["derain"], dehaze: ["dehaze"], both: ["derain", "dehaze"] };

/** A failure as the service tells it (RFC 9457), or one of the connection, which has no status. */
export class Problem extends Error {
  constructor({ type = "", detail = "", request_id = "", status = 0, retry_after_seconds = 0, limit, observed } = {}) {
    super(detail);
    this.slug = type.split("/").pop() || "unreachable";
    this.requestId = request_id;
    this.status = status;
    this.retrySeconds = retry_after_seconds;
    Object.assign(this, { limit, observed });
    /** Whether the same photo may fare better another time. */
    this.passing = status >= 500 || [0, 408, 429].includes(status);
  }
}

/** List the networks the service runs: {task, licence, …}. */
export async function models(key) {
  return (await ask("models", key)).json();
}

/** Tell what the service takes: {body_bytes, pixels, side, reads, options}. */
export async function limits() {
  return (await ask("web/service.json")).json();
}

export async function ready() {
  const answer = await fetch("readyz").catch(() => null);
  return answer ? (await answer.text()).trim() : "unreachable";
}

async function ask(path, key) {
  const answer = await fetch(path, { headers: headers(key) }).catch(() => {
    throw new Problem();
  });
  if (!answer.ok) throw await problem(answer.status, await answer.blob());
  return answer;
}

/**
 * Restore one photo. options: format, quality, strength, scale as the API has them; between: the format and quality
 * that one step hands to the next. onProgress is told {fraction, sent, done, total}: the share of all the work, the
 * share of the upload, the tiles of this step. onWait is told {slug, seconds} each second while the service takes no
 * photo, then null. Throws Problem, or AbortError.
 * Returns the picture as a blob, and what each step tells: milliseconds, stages, change in 8-bit steps, weights, scale.
 */
export async function restore(photo, task, { options, between, key, signal, onProgress, onWait }) {
  const names = STEPS[task];
  const steps = [];
  let body = photo;
  for (const [at, name] of names.entries()) {
    const last = at === names.length - 1;
    const asked = optionsOf(name, last ? options : { ...options, ...between });
    const step = await restoreUntilTaken(body, name, asked, {
      key,
      signal,
      onWait,
      onProgress: (told) => onProgress({ ...told, fraction: (at + told.fraction) / names.length }),
    });
    body = step.blob;
    steps.push({ name, ...step });
  }
  return { blob: body, steps, milliseconds: steps.reduce((sum, step) => sum + step.milliseconds, 0) };
}

/** Leave out what is not for a step: haze has no size, and at that of the rain it would be judged worse. */
export function optionsOf(name, options) {
  return name === "dehaze" ? { ...options, scale: undefined } : options;
}

/** Write options as the query of an address. */
export function query(options) {
  return new URLSearchParams(Object.entries(options).filter(([, value]) => value !== undefined));
}

async function restoreUntilTaken(photo, task, options, { onWait, ...rest }) {
  for (;;) {
    try {
      return await restoreOnce(photo, task, options, rest);
    } catch (error) {
      if (!(error.slug in PASSING)) throw error;
      for (let left = Math.max(error.retrySeconds, PASSING[error.slug]); left > 0; left--) {
        onWait({ slug: error.slug, seconds: left });
        await pause(1000, rest.signal);
      }
      onWait(null);
    }
  }
}

async function restoreOnce(photo, task, options, { key, signal, onProgress }) {
  const id = mintId();
  const start = performance.now();
  const answered = new AbortController();
  watch(id, key, answered.signal, (done, total) => onProgress({ fraction: done / total, sent: 1, done, total }));
  let answer;
  try {
    answer = await post(`${task}?${query(options)}`, photo, { ...headers(key), "X-Request-ID": id }, signal, (sent) =>
      onProgress({ fraction: 0, sent, done: 0, total: 0 }),
    );
  } finally {
    answered.abort();
  }
  const change = /mean=([\d.]+), max=(\d+)/.exec(answer.header("X-DMSR-Change"));
  return {
    blob: answer.blob,
    milliseconds: performance.now() - start,
    stages: [...answer.header("Server-Timing").matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, time]) => [name, Number(time)]),
    change: change && { mean: Number(change[1]), largest: Number(change[2]) },
    weights: decodeURIComponent(answer.header("X-DMSR-Weights").split(";")[0]),
    scale: answer.header("X-DMSR-Scale"),
  };
}

/** Send a photo. XMLHttpRequest and not fetch, which does not tell how much of the upload is done. */
function post(path, body, headers, signal, onSent) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "blob";
    for (const [name, value] of Object.entries({ ...headers, "Content-Type": "application/octet-stream" })) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.onload = async () => {
      const { status, response } = request;
      if (status === 200) resolve({ blob: response, header: (name) => request.getResponseHeader(name) ?? "" });
      else reject(await problem(status, response));
    };
    request.onerror = () => reject(new Problem());
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

async function problem(status, blob) {
  const told = await new Response(blob).json().catch(() => ({}));
  return new Problem({ type: "internal-error", ...told, status });
}

/** Ask how far a request is, until signal says that it was answered. */
async function watch(id, key, signal, onTiles) {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    if (signal.aborted) return;
    try {
      const answer = await fetch(`progress/${id}`, { headers: headers(key), signal });
      if (answer.ok) {
        const { tiles_done, tiles_total } = await answer.json();
        if (tiles_total && !signal.aborted) onTiles(tiles_done, tiles_total);
      }
    } catch {
      // Progress is a courtesy: the answer itself says what went wrong.
    }
  }
}

/** Wait, or throw AbortError as soon as signal says so. */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function headers(key) {
  return key ? { "X-API-Key": key } : {};
}

function mintId() {
  // crypto.randomUUID exists only on secure origins, and a service in the local network is none.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
