// The photos and their work: they come in, wait their turn and are restored one after the other. Knows nothing of how they look.

import { formatName, ownFormat, sniff } from "./formats.js";
import { Problem, STEPS, restore } from "./service.js";

/** A PNG takes up to so many bytes a pixel; one that may be too large to send on goes as a fine JPEG. */
const PNG_BYTES_A_PIXEL = 2.5;

/**
 * Tells by the event "change", with {photo, fresh}: something of this photo, or of all if it is null, is another now;
 * fresh: its result has only just come. A photo has a job for each task: {state, fraction, result, problem, outputs}.
 */
export class Album extends EventTarget {
  photos = [];
  current = null;
  task = "derain";
  key = "";
  scale = undefined;
  limits = null;
  #busy = false;
  #batch = { jobs: new Set(), start: 0 };

  add(files) {
    const came = Array.from(files, (file) => ({ file, name: file.name || "photo", url: URL.createObjectURL(file), jobs: {} }));
    if (!came.length) return;
    this.photos.push(...came);
    this.current = came[0];
    this.request(came);
  }

  /** Ask for the task's result of photos: they wait for their turn. */
  request(photos) {
    if (!this.#busy) this.#batch = { jobs: new Set(), start: performance.now() };
    for (const photo of photos) {
      photo.jobs[this.task] = { state: "waiting", fraction: 0, outputs: new Map(), stop: new AbortController() };
      this.#batch.jobs.add(photo.jobs[this.task]);
    }
    this.tell(null);
    this.#work();
  }

  select(photo) {
    this.current = photo;
    this.tell(null);
  }

  /** Take something else off: all photos start anew but for those that have that result already. */
  choose(task) {
    if (task === this.task) return;
    const left = this.task;
    this.task = task;
    for (const photo of this.photos) {
      const job = photo.jobs[left];
      if (["waiting", "working"].includes(job?.state)) {
        delete photo.jobs[left];
        this.#leave(job);
      }
    }
    this.request(this.photos.filter((photo) => !photo.jobs[task]));
  }

  /** Restore everything anew, at another scale. */
  rescale(scale) {
    this.scale = scale;
    for (const photo of this.photos) for (const job of Object.values(photo.jobs)) this.#forget(job);
    for (const photo of this.photos) photo.jobs = {};
    this.request(this.photos);
  }

  remove(photo) {
    const at = this.photos.indexOf(photo);
    if (at < 0) return;
    this.photos.splice(at, 1);
    Object.values(photo.jobs).forEach((job) => this.#forget(job));
    for (const url of [photo.url, photo.preview]) if (url) URL.revokeObjectURL(url);
    if (photo === this.current) this.current = this.photos[Math.min(at, this.photos.length - 1)] ?? null;
    this.tell(null);
  }

  /** Give up all that is not done, and keep what is. */
  cancel() {
    for (const photo of [...this.photos]) {
      const job = photo.jobs[this.task];
      if (!["waiting", "working"].includes(job?.state)) continue;
      if (Object.keys(photo.jobs).length === 1) {
        this.remove(photo);
      } else {
        delete photo.jobs[this.task];
        this.#leave(job);
      }
    }
    if (this.current && !this.job()) this.current = this.photos.find((photo) => this.job(photo)) ?? null;
    this.tell(null);
  }

  job(photo = this.current) {
    return photo?.jobs[this.task];
  }

  /** Photos whose result is here. */
  get done() {
    return this.photos.filter((photo) => this.job(photo)?.state === "done");
  }

  /** Tell how far all the photos that are in work together are, or null when none is: fraction, done, count, secondsLeft. */
  get progress() {
    const jobs = [...this.#batch.jobs];
    if (!jobs.some(({ state }) => state === "waiting" || state === "working")) return null;
    const ended = ({ state }) => state === "done" || state === "failed";
    const fraction = jobs.reduce((sum, job) => sum + (ended(job) ? 1 : job.fraction), 0) / jobs.length;
    const seconds = (performance.now() - this.#batch.start) / 1000;
    // Of the first tenth the survey is a part, and after it the total mostly falls.
    const secondsLeft = fraction > 0.1 && seconds > 1 ? (seconds / fraction) * (1 - fraction) : null;
    return { fraction, done: jobs.filter(ended).length, count: jobs.length, secondsLeft };
  }

  /**
   * Return a photo's result as a file of this format, quality and strength. What is not here already is asked of the
   * service again: the browser would lose the colour profile, the camera's data and 16 bits.
   */
  async output(photo, options, { signal, onProgress } = {}) {
    const job = this.job(photo);
    const name = JSON.stringify(options);
    if (!job.outputs.has(name)) {
      const result = await restore(photo.file, this.task, {
        options,
        between: this.#between(photo),
        key: this.key,
        signal: AbortSignal.any([job.stop.signal, ...(signal ? [signal] : [])]),
        onProgress: ({ fraction }) => onProgress?.(fraction),
        onWait: () => {},
      });
      job.outputs.set(name, result.blob);
    }
    return job.outputs.get(name);
  }

  /** Return the original as a picture that browsers can show, or null if the service cannot give that. */
  async preview(photo) {
    if (!this.limits?.options.includes("strength")) return null;
    const options = { format: "png", strength: 0 };
    const signal = this.job(photo).stop.signal;
    const rest = { key: this.key, signal, onProgress: () => {}, onWait: () => {} };
    const result = await restore(photo.file, STEPS[this.task][0], { options, ...rest }).catch(() => null);
    return result && URL.createObjectURL(result.blob);
  }

  /** Name the options of an output; those that are the service's defaults stay out, so that equal outputs have one name. */
  options({ format, quality, strength = 1, scale = this.scale }) {
    return {
      format,
      quality: format === "png" || format === "tiff" ? undefined : quality,
      strength: strength === 1 ? undefined : strength,
      scale,
    };
  }

  /** Work until nothing waits: the photo being looked at first, then the others in the order they came. */
  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    const next = () => [this.current, ...this.photos].find((photo) => this.job(photo)?.state === "waiting");
    for (let photo = next(); photo; photo = next()) await this.#restore(photo, this.task);
    this.#busy = false;
  }

  async #restore(photo, task) {
    const job = photo.jobs[task];
    job.state = "working";
    this.tell(photo);
    try {
      await this.#check(photo);
      job.result = await this.#shown(photo, task, job);
      job.result.url = URL.createObjectURL(job.result.blob);
      job.state = "done";
    } catch (error) {
      if (job.stop.signal.aborted) return; // whoever stopped it has told so
      job.problem = error instanceof Problem ? error : new Problem({ type: "internal-error", detail: String(error), status: 500 });
      job.state = "failed";
    }
    this.tell(photo, job.state === "done");
  }

  /** Restore a photo as the page shows it, in the photo's own format where browsers show that. */
  async #shown(photo, task, job) {
    const run = (format) => {
      const options = this.options({ format, quality: photo.quality });
      return restore(photo.file, task, {
        options,
        between: this.#between(photo),
        key: this.key,
        signal: job.stop.signal,
        onProgress: (told) => {
          Object.assign(job, told);
          this.tell(photo);
        },
        onWait: (wait) => {
          job.wait = wait;
          this.tell(photo);
        },
      }).then((result) => {
        job.outputs.set(JSON.stringify(options), result.blob);
        return { ...result, format, options };
      });
    };
    const own = photo.own === "tiff" ? "png" : photo.own;
    try {
      return await run(own);
    } catch (error) {
      if (error.slug !== "not-acceptable" || own === "png") throw error;
      photo.own = "png";
      return run("png");
    }
  }

  #between(photo) {
    const heavy = (photo.pixels ?? 0) * PNG_BYTES_A_PIXEL > (this.limits?.body_bytes ?? Infinity);
    return heavy ? { format: "jpeg", quality: 98 } : { format: "png", quality: undefined };
  }

  /** Refuse before the upload what the service would refuse after it. */
  async #check(photo) {
    const { file } = photo;
    photo.type ??= await sniff(file);
    photo.own ??= ownFormat(photo.type);
    const size = await pixelSize(photo.url);
    if (size) photo.pixels = size.width * size.height;
    if (!this.limits) return;
    const { body_bytes, pixels, side, reads } = this.limits;
    if (!reads.includes(photo.type)) {
      throw new Problem({ type: "not-an-image", detail: formatName(photo.type), status: 415 });
    }
    const tooLarge = (type, observed, limit) => new Problem({ type, observed, limit, status: 413 });
    if (file.size > body_bytes) throw tooLarge("body-too-large", file.size, body_bytes);
    if (photo.pixels > pixels) throw tooLarge("image-too-large", photo.pixels, pixels);
    const longest = size && Math.max(size.width, size.height);
    if (longest > side) throw new Problem({ type: "image-too-large", detail: `${longest} > ${side}`, status: 413 });
  }

  #leave(job) {
    job.stop.abort();
    this.#batch.jobs.delete(job);
  }

  #forget(job) {
    this.#leave(job);
    if (job.result) URL.revokeObjectURL(job.result.url);
  }

  tell(photo, fresh = false) {
    this.dispatchEvent(new CustomEvent("change", { detail: { photo, fresh } }));
  }
}

/** Return the size of a picture, or null if the browser cannot show it. */
function pixelSize(url) {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve({ width: image.naturalWidth, height: image.naturalHeight });
    image.onerror = () => resolve(null);
    image.src = url;
  });
}
