// Fingers, mouse, wheel and keys on the picture. Knows the view's moves, and nothing of pictures.

const PAN_PIXELS = 60;

/** Let people move a view by its frame. */
export function listen(view) {
  const { frame, stage } = view;
  const fingers = new Map();
  /** Tell where in its pane an event is: side by side, both panes move alike. */
  const at = (event) => {
    const box = frame.getBoundingClientRect();
    const { right, down } = view.pane;
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    return [right && x > right ? x - right : x, down && y > down ? y - down : y];
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    frame.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
  });
  frame.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) drag(view, fingers, event.pointerId, at(event));
  });
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => fingers.delete(event.pointerId));
  frame.addEventListener("dblclick", (event) => (view.fitted ? view.zoomTo(Math.max(1, 2 * view.pixels), ...at(event)) : view.fit()));
  stage.addEventListener("wheel", (event) => {
    if (document.body.dataset.mode === "welcome") return;
    event.preventDefault();
    view.zoomBy(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) / 400), ...at(event));
  }, { passive: false });
  frame.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const keys = {
      "+": () => view.zoomIn(),
      "=": () => view.zoomIn(),
      "-": () => view.zoomOut(),
      0: () => view.fit(),
      1: () => view.zoomTo(1),
      o: () => view.hold(true),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) view.pan(...moves[event.key].map((way) => way * PAN_PIXELS));
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });
  frame.addEventListener("keyup", (event) => event.key === "o" && view.hold(false));
  frame.addEventListener("blur", () => view.hold(false));
}

/** Follow a finger or the mouse: two pinch, one moves the picture, or the divider where the picture fits. */
function drag(view, fingers, id, [x, y]) {
  const [oldX, oldY] = fingers.get(id);
  const other = [...fingers].find(([key]) => key !== id)?.[1];
  fingers.set(id, [x, y]);
  if (other) {
    const spread = (ax, ay) => Math.hypot(ax - other[0], ay - other[1]) || 1;
    view.zoomBy(spread(x, y) / spread(oldX, oldY), (x + other[0]) / 2, (y + other[1]) / 2);
    view.pan((x - oldX) / 2, (y - oldY) / 2);
  } else if (!view.fitted) {
    view.pan(x - oldX, y - oldY);
  } else if (!view.divider.hidden) {
    view.stopReveal();
    view.setDivider((100 * (x - view.x)) / (view.width * view.scale));
  }
}

/** Show the original while a button is pressed, by finger, mouse or key. */
export function holdButton(button, view) {
  const hold = (yes) => {
    button.setAttribute("aria-pressed", yes);
    view.hold(yes);
  };
  button.addEventListener("pointerdown", () => hold(true));
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press asks for it on phones
  button.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && hold(true));
  for (const end of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) button.addEventListener(end, () => hold(false));
}
