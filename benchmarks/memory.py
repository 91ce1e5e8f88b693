"""Memory over idle by size of picture: bytes a pixel, and what every picture costs beside.

Counted are the service and its decoders' processes, which share the pixels: looked at every few milliseconds. The
service's own peak is the kernel's beside, so that of it nothing between two looks is missed; the larger of the two is
what a picture takes. Linux only. The network takes as much for one tile as for a thousand, so a small one serves as
well.
"""

import gc
from pathlib import Path

import httpx
import numpy as np

from benchmarks import report
from benchmarks.pictures import drawn, encoded
from benchmarks.process_tree import Watch, held_bytes
from benchmarks.service import serving
from benchmarks.stages import MEGAPIXELS, size


def status_bytes(pid: int, field: str) -> int:
    """Return a field of /proc/PID/status in bytes: VmRSS now, VmHWM at its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def reset_peak(pid: int) -> None:
    """Let VmHWM start again from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(url: str, pid: int, sizes: list[tuple[int, int]], format: str, scale: str) -> dict[str, object]:
    """Post one picture of each size, from the smallest to the largest, and fit a line."""
    rows = []
    with httpx.Client(base_url=url, timeout=3600) as client:
        for _ in range(3):  # what the first pictures leave behind belongs to an idle service
            client.post("/derain?scale=1", content=encoded(drawn(256, 256), format)).raise_for_status()
        idle, service_idle = held_bytes(pid), status_bytes(pid, "VmRSS")
        for height, width in sizes:
            picture = encoded(drawn(height, width), format)
            reset_peak(pid)
            with Watch(lambda: held_bytes(pid)) as watch:
                client.post("/derain", params={"scale": scale}, content=picture).raise_for_status()
            alone, together = status_bytes(pid, "VmHWM") - service_idle, watch.peak - idle
            rows.append(
                {
                    "pixels": height * width,
                    "upload_bytes": len(picture),
                    "over_idle_bytes": max(alone, together),
                    "service_over_idle_bytes": alone,
                    "looks": watch.looks,
                }
            )
            gc.collect()  # of this process, which shares the machine's memory
        left = held_bytes(pid) - idle
    slope, constant = np.polyfit([row["pixels"] for row in rows], [row["over_idle_bytes"] for row in rows], 1)
    return {
        "idle_bytes": idle,
        "bytes_per_pixel": round(float(slope), 2),
        "constant_bytes": int(constant),
        "left_after_bytes": left,
        "sizes": rows,
    }


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w4d1", help="a size such as w16d4, or a weights file")
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(MEGAPIXELS), help="from small to large")
    parser.add_argument(
        "--formats", nargs="+", default=["png", "jpeg", "tiff", "avif"], help="of the uploads; answers are PNG"
    )
    parser.add_argument("--scale", default="1", help="of the restoration: 1 is the most work, auto as users have it")
    options = parser.parse_args()
    sizes = [size(megapixels) for megapixels in options.megapixels]
    figures = {}
    for format in options.formats:
        with serving(options.network, LIMITS_BODY_BYTES=2**28) as service:  # drawn noise makes large PNG files
            figures[format] = measure(service.url, service.process.pid, sizes, format, options.scale)
    report.write("memory" if options.scale == "1" else f"memory-{options.scale}", options, {"uploads": figures})


if __name__ == "__main__":
    main()
