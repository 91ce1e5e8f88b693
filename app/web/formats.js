// Kinds of picture files: told by their first bytes, and named for people and for disks. Knows nothing of the page.

/** Media types by what people call them. */
const NAMES = {
  "image/jpeg": "JPEG",
  "image/png": "PNG",
  "image/webp": "WebP",
  "image/tiff": "TIFF",
  "image/bmp": "BMP",
  "image/avif": "AVIF",
  "image/heic": "HEIC",
  "image/gif": "GIF",
  "image/jxl": "JPEG XL",
};

/** What the service writes: the value of `format`, and the end of the file's name. */
export const SUFFIXES = { png: "png", jpeg: "jpg", webp: "webp", tiff: "tif" };
export const LOSSY = ["jpeg", "webp"];

export const formatName = (type) => NAMES[type] ?? type?.replace("image/", "").toUpperCase() ?? "";

/** Return the media type that the first bytes show, or "" for none of those above. */
export async function sniff(file) {
  const bytes = new Uint8Array(await file.slice(0, 64).arrayBuffer());
  const text = String.fromCharCode(...bytes);
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "image/webp";
  if (/^(II[*+]\0|MM\0[*+])/.test(text)) return "image/tiff";
  if (text.startsWith("BM")) return "image/bmp";
  if (/^GIF8[79]a/.test(text)) return "image/gif";
  if (/^(\xff\n|\0\0\0\fJXL )/.test(text)) return "image/jxl";
  if (text.slice(4, 8) !== "ftyp") return "";
  if (/avi[fs]/.test(text.slice(8))) return "image/avif";
  return /^(hei|hev|mif1|msf1)/.test(text.slice(8)) ? "image/heic" : "";
}

/** Choose the format in which a photo of this type comes back unless another is wanted. */
export function ownFormat(type) {
  const format = { "image/heic": "jpeg" }[type] ?? type.replace("image/", "");
  return format in SUFFIXES ? format : "png";
}

/** Name a result after its original: "rainy.png" becomes "rainy-derained.jpg". */
export function resultName(name, suffix, format) {
  return `${name.replace(/\.[^.]*$/, "") || "photo"}-${suffix}.${SUFFIXES[format]}`;
}
