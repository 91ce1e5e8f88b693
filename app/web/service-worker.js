// Keeps the page itself for when the service is away. Photos and answers never pass through here.

const CACHE = "dmsr-page";
const LANGUAGES = ["de", "en", "es", "fr", "zh"];
const SCRIPTS = ["album", "dom", "formats", "gestures", "page", "progress", "result", "save", "service", "strip", "trouble", "view", "welcome", "words", "zip"];
const STYLES = ["base", "narrow", "stage", "tools"];
const PICTURES = ["handle.svg", "icon.svg", "icon-192.png", "rain.jpg", "rain-restored.jpg"];
const PAGE = [
  "./",
  "web/service.json",
  "web/manifest.webmanifest",
  ...LANGUAGES.map((name) => `web/languages/${name}.json`),
  ...SCRIPTS.map((name) => `web/${name}.js`),
  ...STYLES.map((name) => `web/${name}.css`),
  ...PICTURES.map((name) => `web/pictures/${name}`),
];

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PAGE)));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const root = new URL("./", self.location).href;
  const path = request.url.slice(root.length).split(/[?#]/)[0];
  const ours = request.method === "GET" && request.url.startsWith(root) && (path === "" || path === "docs" || path.startsWith("web/"));
  if (ours) event.respondWith(fresh(request));
});

/** Ask the service first, so that a new version is seen at once, and keep what it says. */
async function fresh(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
