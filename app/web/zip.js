// Files into one ZIP, stored as they are: photos are compressed already. Knows nothing of photos.

const MOST_BYTES = 2 ** 32 - 1; // beyond, the format needs its 64-bit fields
const UTF8 = 0x0800;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** Write a ZIP (PKWARE's APPNOTE, 4.3) of [{name, blob}] as a blob; raises RangeError above 4 GiB. */
export async function zip(files, when = new Date()) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of distinct(files)) {
    const title = new TextEncoder().encode(name);
    const common = [2, 20]; // the version that is needed
    const rest = [...stamp(when), [4, await crc32(blob)], [4, blob.size], [4, blob.size], [2, title.length], [2, 0]];
    const flags = [[2, UTF8], [2, 0]];
    const header = fields([[4, 0x04034b50], common, ...flags, ...rest]);
    directory.push(fields([[4, 0x02014b50], common, common, ...flags, ...rest, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), title);
    parts.push(header, title, blob);
    offset += header.length + title.length + blob.size;
    if (offset > MOST_BYTES) throw new RangeError("A ZIP of more than 4 GiB cannot be written.");
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const count = [2, files.length];
  const end = fields([[4, 0x06054b50], [2, 0], [2, 0], count, count, [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** Number files of one name, or unpacking would write one over the other. */
function distinct(files) {
  const taken = new Set();
  return files.map(({ name, blob }) => {
    let free = name;
    for (let number = 2; taken.has(free.toLowerCase()); number++) free = name.replace(/(\.[^.]*)?$/, ` (${number})$1`);
    taken.add(free.toLowerCase());
    return { name: free, blob };
  });
}

/** Write [bytes, value] pairs one after the other, little-endian. */
function fields(pairs) {
  const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of pairs) {
    if (bytes === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

/** Write time and date as DOS did: two seconds, years since 1980. */
function stamp(when) {
  return [
    [2, (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1)],
    [2, ((when.getFullYear() - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate()],
  ];
}

async function crc32(blob) {
  let crc = 0xffffffff;
  const reader = blob.stream().getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    for (const byte of part.value) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
