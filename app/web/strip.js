// The row of photos, where there are several.

import { $, element } from "./dom.js";
import { t } from "./words.js";

const items = new WeakMap();

export function drawStrip(album) {
  const strip = $("strip");
  const list = strip.firstElementChild;
  strip.hidden = album.photos.length < 2;
  const wanted = album.photos.map((photo) => draw(album, photo));
  // Only when photos came or went: a button that is put back loses the focus.
  if (wanted.length !== list.children.length || wanted.some((item, at) => item !== list.children[at])) list.replaceChildren(...wanted);
}

function draw(album, photo) {
  if (!items.has(photo)) items.set(photo, make(album, photo));
  const item = items.get(photo);
  const button = item.firstElementChild;
  const image = button.firstElementChild;
  const job = album.job(photo);
  const url = job?.result?.url ?? photo.url;
  if (image.getAttribute("src") !== url) image.src = url;
  button.dataset.state = job?.state ?? "waiting";
  button.style.setProperty("--done", job?.fraction ?? 0);
  button.setAttribute("aria-label", t("photoState", { name: photo.name, state: t(button.dataset.state) }));
  if (photo === album.current && button.ariaCurrent !== "true") item.scrollIntoView({ block: "nearest", inline: "nearest" });
  button.ariaCurrent = photo === album.current;
  return item;
}

function make(album, photo) {
  const image = element("img", "", { alt: "" });
  image.onerror = () => image.removeAttribute("src");
  const button = element("button", "", { type: "button", title: photo.name, onclick: () => album.select(photo) });
  button.onkeydown = (event) => {
    if (event.key !== "Delete") return;
    const next = button.parentElement.nextElementSibling ?? button.parentElement.previousElementSibling;
    album.remove(photo);
    next?.firstElementChild.focus();
  };
  button.append(image);
  const item = element("li");
  item.append(button);
  return item;
}
