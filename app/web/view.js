// Two pictures over or beside each other, a divider between them, zoom and pan. Knows nothing of where they come from.

import { percent, t } from "./words.js";

const STEP = 1.5;
const LARGEST = 32; // device pixels for one pixel of the picture
const LARGEST_FIT = 4; // a thumbnail is not blown up further than this to fill the frame
const GAP = 2; // between two pictures side by side

export class View {
  #looks = "compare";
  #holding = false;
  #shown = null;

  /** parts: the elements stage, frame, picture, before, after, undone, divider, tagBefore, tagAfter. onChange after each move. */
  constructor(parts, onChange) {
    Object.assign(this, parts);
    this.onChange = onChange;
    this.width = this.height = 1;
    this.x = this.y = 0;
    this.scale = 1;
    this.fitted = true;
    this.strength = 1;
    new ResizeObserver(() => this.place()).observe(this.frame);
    this.divider.addEventListener("input", () => {
      this.stopReveal();
      this.paint();
    });
  }

  /** Show a photo, and beside it its restored self if there is one. Another photo is fitted; the same stays where it is. */
  async show(photo, before, after) {
    if (this.#shown !== photo) this.fitted = true;
    this.#shown = photo;
    const wanted = (this.wanted = {});
    const found = await Promise.all([load(this.before, before), load(this.after, after), load(this.undone, before && after && before)]);
    if (this.wanted !== wanted) return;
    const size = found.find(Boolean);
    this.hasBefore = Boolean(found[0]);
    this.comparable = Boolean(found[0] && found[1]);
    if (size) [this.width, this.height] = [size.naturalWidth, size.naturalHeight];
    this.place();
  }

  /** compare, side, or removed: what was taken off, `gain` times as bright, and grey where colours would mislead. */
  look(looks, gain, grey) {
    this.#looks = looks;
    this.stage.style.setProperty("--gain", gain);
    this.picture.classList.toggle("grey", grey);
    this.place();
  }

  /** Scale what was taken off: 0 is the original, 1 the result. */
  setStrength(strength) {
    this.strength = strength;
    this.paint();
  }

  /** Show nothing but the original for as long as it is held. */
  hold(yes) {
    this.#holding = yes;
    this.place();
  }

  get looks() {
    if (!this.comparable) return "alone";
    return this.#holding ? "original" : this.#looks;
  }

  /** Wipe from the photo to its restored self, once; at once where motion is unwelcome. */
  reveal() {
    this.stopReveal();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.setDivider(50);
    const start = performance.now();
    const step = (now) => {
      const t = Math.min((now - start) / 900, 1);
      this.setDivider(100 - 50 * (1 - (1 - t) ** 3));
      this.revealing = t < 1 ? requestAnimationFrame(step) : 0;
    };
    this.setDivider(100);
    this.revealing = requestAnimationFrame(step);
  }

  stopReveal() {
    cancelAnimationFrame(this.revealing);
  }

  setDivider(percent) {
    this.divider.value = percent;
    this.paint();
  }

  /** The part of the frame that one picture has: all, or the half in which it is larger. */
  get pane() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (this.looks !== "side") return { width, height, right: 0, down: 0 };
    const beside = { width: (width - GAP) / 2, height, right: (width + GAP) / 2, down: 0 };
    const below = { width, height: (height - GAP) / 2, right: 0, down: (height + GAP) / 2 };
    return this.fitScale(beside) >= this.fitScale(below) ? beside : below;
  }

  fit() {
    this.fitted = true;
    this.place();
  }

  /** Zoom so that one pixel of the picture is `pixels` of the screen, keeping the point (x, y) of a pane in place. */
  zoomTo(pixels, x = this.pane.width / 2, y = this.pane.height / 2) {
    const fit = this.fitScale();
    const least = Math.min(fit, 1 / devicePixelRatio);
    const scale = Math.min(Math.max(pixels / devicePixelRatio, least), LARGEST / devicePixelRatio);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = scale === fit;
    this.place();
  }

  zoomBy(factor, x, y) {
    this.zoomTo(this.pixels * factor, x, y);
  }

  zoomIn() {
    this.zoomBy(STEP);
  }

  zoomOut() {
    this.zoomBy(1 / STEP);
  }

  /** How many pixels of the screen one pixel of the picture takes. */
  get pixels() {
    return this.scale * devicePixelRatio;
  }

  fitScale({ width, height } = this.pane) {
    return Math.min(width / this.width, height / this.height, LARGEST_FIT);
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.place();
  }

  /** Keep the picture in its pane, centred or without a gap, and on whole pixels of the screen, which keep it sharp. */
  place() {
    if (this.fitted) this.scale = this.fitScale();
    const within = (at, length, room) => {
      const place = length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, at));
      return Math.round(place * devicePixelRatio) / devicePixelRatio;
    };
    this.x = within(this.x, this.width * this.scale, this.pane.width);
    this.y = within(this.y, this.height * this.scale, this.pane.height);
    this.paint();
  }

  paint() {
    const { x, y, scale, frame, picture, pane, looks } = this;
    const left = Math.max(0, x);
    const right = Math.min(pane.width, x + this.width * scale);
    const share = Number(this.divider.value) / 100;
    const set = (name, value) => this.stage.style.setProperty(name, value);
    set("--move", `matrix(${scale}, 0, 0, ${scale}, ${x}, ${y})`);
    set("--cut", `${left + (right - left) * share}px`);
    set("--pane-width", `${pane.width}px`);
    set("--pane-height", `${pane.height}px`);
    set("--pane-right", `${pane.right}px`);
    set("--pane-down", `${pane.down}px`);
    set("--left", `${left}px`);
    set("--right", `${pane.width - right}px`);
    set("--top", `${Math.max(0, y)}px`);
    set("--bottom", `${Math.max(0, pane.height - y - this.height * scale)}px`);
    this.#paintStrength(set);
    picture.dataset.view = looks;
    frame.dataset.view = looks;
    picture.classList.toggle("pixelated", this.pixels >= 2 && !this.fitted);
    frame.classList.toggle("movable", !this.fitted);
    this.divider.hidden = looks !== "compare";
    this.tagBefore.classList.toggle("faded", looks === "compare" && share < 0.15);
    this.tagAfter.classList.toggle("faded", looks === "compare" && share > 0.85);
    const parts = { before: percent(share), after: percent(1 - share) };
    this.divider.setAttribute("aria-valuetext", t("dividerText", parts));
    this.onChange();
  }

  /**
   * Draw before + s · (after − before) with what browsers do to layers. Below 1 that is the original over the result at
   * opacity 1 − s. Above, the negative of the original over the result, at opacity (s − 1) / (2s − 1), and then the
   * contrast 2s − 1 give exactly that sum.
   */
  #paintStrength(set) {
    const { strength, picture } = this;
    const contrast = 2 * strength - 1;
    picture.classList.toggle("weak", strength < 1);
    picture.classList.toggle("strong", strength > 1);
    set("--undone", strength < 1 ? 1 - strength : (strength - 1) / contrast);
    set("--contrast", contrast);
    set("--strength", strength);
  }
}

/** Put a picture into an <img>; tells the element, or nothing where there is none or the browser cannot show it. */
async function load(image, url) {
  image.hidden = true;
  if (!url) {
    image.removeAttribute("src");
    return null;
  }
  if (image.getAttribute("src") !== url) image.src = url;
  try {
    await image.decode();
  } catch {
    return null;
  }
  image.hidden = false;
  return image;
}
