// The service as the page sees it: photos out, pictures and problems in. Knows nothing of the page.

const POLL_MILLISECONDS = 300;

/** A failure as the service tells it (RFC 9457), or one of the connection, which has no status. */
export class Problem extends Error {
  constructor({ type = "", detail = "", request_id = "", status = 0, retry_after_seconds = 0 } = {}) {
    super(detail);
    this.slug = type.split("/").pop() || "unreachable";
    this.requestId = request_id;
    this.status = status;
    this.retrySeconds = retry_after_seconds;
    /** Whether the same photo may fare better another time. */
    this.passing = status >= 500 || [0, 408, 429].includes(status);
  }
}

/** List the tasks the service has weights for. */
export async function tasks(key) {
  const answer = await ask("models", { headers: headers(key) });
  return [...new Set((await answer.json()).map((card) => card.task))];
}

/**
 * Restore one photo. onProgress is told (tilesDone, tilesTotal) while the network runs; throws Problem, or AbortError.
 * Tells the picture as a blob, its mean and largest change in 8-bit steps, and the milliseconds at each station.
 */
export async function restore(photo, task, { key, signal, onProgress }) {
  const id = mintId();
  const start = performance.now();
  const answered = new AbortController();
  watch(id, key, answered.signal, onProgress);
  let answer;
  try {
    answer = await askUntilWarm(`${task}?format=png`, {
      method: "POST",
      body: photo,
      headers: { ...headers(key), "X-Request-ID": id, "Content-Type": "application/octet-stream" },
      signal,
    });
  } finally {
    answered.abort();
  }
  const blob = await answer.blob();
  const change = /mean=([\d.]+), max=(\d+)/.exec(answer.headers.get("X-DMSR-Change") ?? "");
  return {
    blob,
    milliseconds: performance.now() - start,
    stages: stages(answer.headers.get("Server-Timing") ?? ""),
    change: change && { mean: Number(change[1]), largest: Number(change[2]) },
    weights: decodeURIComponent((answer.headers.get("X-DMSR-Weights") ?? "").split(";")[0]),
  };
}

/** Ask how far a request is, until signal says that it was answered. */
async function watch(id, key, signal, onProgress) {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    if (signal.aborted) return;
    try {
      const answer = await fetch(`progress/${id}`, { headers: headers(key), signal });
      if (answer.ok) {
        const { tiles_done, tiles_total } = await answer.json();
        if (tiles_total && !signal.aborted) onProgress(tiles_done, tiles_total);
      }
    } catch {
      // Progress is a courtesy: the answer itself says what went wrong.
    }
  }
}

/** Ask again while the service still loads its weights: whoever has just started it opens the page before it is ready. */
async function askUntilWarm(path, options) {
  for (;;) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (error.slug !== "warming") throw error;
      await pause(1000 * Math.max(error.retrySeconds, 1), options.signal);
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

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem();
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Problem({ type: "internal-error", ...told, status: answer.status });
}

function headers(key) {
  return key ? { "X-API-Key": key } : {};
}

function stages(serverTiming) {
  return [...serverTiming.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, milliseconds]) => [name, Number(milliseconds)]);
}

function mintId() {
  // crypto.randomUUID exists only on secure origins, and a service in the local network is none.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
