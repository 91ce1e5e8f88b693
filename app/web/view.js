// Two pictures over each other, a divider between them, zoom and pan. Knows nothing of where they come from.

const STEP = 1.5;
const LARGEST = 32; // device pixels for one pixel of the picture
const LARGEST_FIT = 4; // a thumbnail is not blown up further than this to fill the frame
const PAN_PIXELS = 60;

export class View {
  /** parts: the elements frame, picture, before, after, line, divider, tagBefore, tagAfter. onChange after each move. */
  constructor(parts, onChange) {
    Object.assign(this, parts);
    this.onChange = onChange;
    this.width = this.height = 1;
    this.x = this.y = 0;
    this.scale = 1;
    this.fitted = true;
    this.fingers = new Map();
    new ResizeObserver(() => this.place()).observe(this.frame);
    this.divider.addEventListener("input", () => this.stopReveal());
    this.divider.addEventListener("input", () => this.paint());
    this.listen();
  }

  /** Show a photo, and beside it its restored self if there is one; a view of the same photo stays where it is. */
  async show(before, after, { stay = false } = {}) {
    const wanted = (this.wanted = {});
    const found = await Promise.all([load(this.before, before), load(this.after, after)]);
    if (this.wanted !== wanted) return;
    const size = found.find(Boolean);
    this.comparable = found.every(Boolean);
    this.frame.classList.toggle("alone", !this.comparable);
    this.divider.hidden = !this.comparable;
    if (size) [this.width, this.height] = [size.naturalWidth, size.naturalHeight];
    if (!stay) this.fitted = true;
    this.place();
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

  set removedOnly(yes) {
    this.picture.dataset.view = yes ? "removed" : "compare";
    this.divider.hidden = yes || !this.comparable;
    this.frame.classList.toggle("removed", yes);
  }

  fit() {
    this.fitted = true;
    this.place();
  }

  /** Zoom so that one pixel of the picture is `pixels` of the screen, keeping the point (x, y) of the frame in place. */
  zoomTo(pixels, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
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

  fitScale() {
    return Math.min(this.frame.clientWidth / this.width, this.frame.clientHeight / this.height, LARGEST_FIT);
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.place();
  }

  /** Keep the picture in the frame, centred or without a gap, and on whole pixels of the screen, which keep it sharp. */
  place() {
    if (this.fitted) this.scale = this.fitScale();
    const within = (at, length, room) => {
      const place = length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, at));
      return Math.round(place * devicePixelRatio) / devicePixelRatio;
    };
    this.x = within(this.x, this.width * this.scale, this.frame.clientWidth);
    this.y = within(this.y, this.height * this.scale, this.frame.clientHeight);
    this.paint();
  }

  paint() {
    const { x, y, scale, frame, picture } = this;
    const left = Math.max(0, x);
    const right = Math.min(frame.clientWidth, x + this.width * scale);
    const share = Number(this.divider.value) / 100;
    const cut = left + (right - left) * share;
    const set = (name, value) => frame.parentElement.style.setProperty(name, value);
    set("--move", `matrix(${scale}, 0, 0, ${scale}, ${x}, ${y})`);
    set("--cut", `${(cut - x) / scale}px`);
    set("--line", `${cut}px`);
    set("--left", `${left}px`);
    set("--right", `${frame.clientWidth - right}px`);
    set("--top", `${Math.max(0, y)}px`);
    set("--bottom", `${Math.max(0, frame.clientHeight - y - this.height * scale)}px`);
    picture.classList.toggle("pixelated", this.pixels >= 2 && !this.fitted);
    frame.classList.toggle("movable", !this.fitted);
    this.tagBefore.classList.toggle("faded", share < 0.15);
    this.tagAfter.classList.toggle("faded", share > 0.85);
    this.divider.setAttribute("aria-valuetext", `${Math.round(share * 100)}% before, ${Math.round(100 - share * 100)}% after`);
    this.onChange();
  }

  listen() {
    const { frame } = this;
    const at = (event) => {
      const box = frame.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    frame.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      frame.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, at(event));
    });
    frame.addEventListener("pointermove", (event) => {
      if (this.fingers.has(event.pointerId)) this.drag(event.pointerId, at(event));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      frame.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
    }
    frame.addEventListener("dblclick", (event) => (this.fitted ? this.zoomTo(Math.max(1, 2 * this.pixels), ...at(event)) : this.fit()));
    frame.parentElement.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) / 400), ...at(event));
    }, { passive: false });
    frame.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const keys = { "+": () => this.zoomIn(), "=": () => this.zoomIn(), "-": () => this.zoomOut(), 0: () => this.fit(), 1: () => this.zoomTo(1) };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (moves[event.key]) this.pan(...moves[event.key].map((way) => way * PAN_PIXELS));
      else if (keys[event.key]) keys[event.key]();
      else return;
      event.preventDefault();
    });
  }

  /** Follow a finger or the mouse: two pinch, one moves the picture, or the divider where the picture fits. */
  drag(id, [x, y]) {
    const [oldX, oldY] = this.fingers.get(id);
    const other = [...this.fingers].find(([key]) => key !== id)?.[1];
    this.fingers.set(id, [x, y]);
    if (other) {
      const spread = (ax, ay) => Math.hypot(ax - other[0], ay - other[1]) || 1;
      this.zoomBy(spread(x, y) / spread(oldX, oldY), (x + other[0]) / 2, (y + other[1]) / 2);
      this.pan((x - oldX) / 2, (y - oldY) / 2);
    } else if (!this.fitted) {
      this.pan(x - oldX, y - oldY);
    } else if (!this.divider.hidden) {
      this.stopReveal();
      const width = this.width * this.scale;
      this.setDivider((100 * (x - this.x)) / width);
    }
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
