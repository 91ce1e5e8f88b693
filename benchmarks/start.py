"""From the start of the process to `/readyz`: imports, the weights of both tasks, port, warm-up."""

import statistics
import time

from benchmarks import networks, report
from benchmarks.service import serving


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="a size such as w16d4, or a weights file")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    taken = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        with serving(options.network, WEIGHTS_DEHAZE=""):  # the shipped ones: both tasks, as by default
            taken.append(time.perf_counter() - start)
    figures = {
        "ready_median_seconds": round(statistics.median(taken), 2),
        "ready_seconds": [round(seconds, 2) for seconds in taken],
    }
    report.write(f"start-{networks.label(options.network)}", options, figures)


if __name__ == "__main__":
    main()
