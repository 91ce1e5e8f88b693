"""Fuzz every target in turn, guided by coverage; inputs that reach something new stay for the next turn.

    python -m tests.fuzz --seconds 3600
    python -m tests.fuzz --targets png tiff --seconds 600 --corpus /tmp/corpus
    python -m tests.fuzz --replay /tmp/corpus/found/png-0123456789abcdef

Needs atheris (`pip install -e '.[fuzz]'`). Inputs that break a promise are in CORPUS/found, named after their target,
and what the fuzzer said is in CORPUS/TARGET.log. Prints for each turn its executions, CPU seconds, and findings.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["app"]):
    from tests.fuzz.targets import TARGETS, hold

# Longer inputs cost time and reach nothing that these do not.
_LONGEST_BYTES = 4096
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: (\d+)")


def turn(name: str, runs: int, seconds: int, corpus: Path) -> dict[str, object]:
    """Fuzz one target so many times, in a process of its own, at most for so long; return what came of it.

    The process is a fork, because to import and instrument anew would take seconds.
    """
    inputs, found, log = corpus / name, corpus / "found", corpus / f"{name}.log"
    for folder in (inputs, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (inputs / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    earlier, sizes = set(found.iterdir()), len(list(inputs.iterdir()))
    if not (child := os.fork()):
        with open(log, "wb") as output:
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
        fuzz(name, runs, seconds, corpus)
    _, status, usage = os.wait4(child, 0)
    count = _EXECUTIONS.search(log.read_text(errors="replace"))
    return {
        "target": name,
        "executions": int(count[1]) if count else 0,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "new_inputs": len(list(inputs.iterdir())) - sizes,
        "findings": sorted(path.name for path in set(found.iterdir()) - earlier),
        "exit": os.waitstatus_to_exitcode(status),
    }


def fuzz(name: str, runs: int, seconds: int, corpus: Path) -> None:
    """Fuzz a target in this process, which ends with it."""
    arguments = [
        sys.argv[0],
        str(corpus / name),
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST_BYTES}",
        f"-artifact_prefix={corpus / 'found' / name}-",
        "-timeout=600",  # of the clock on the wall, which a busy machine passes with little done
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]

    def feed(data: bytes) -> None:
        try:
            hold(TARGETS[name], data)
        except BaseException:
            (corpus / "found" / f"{name}-{sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    atheris.Setup(arguments, feed)
    atheris.Fuzz()


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--runs", type=int, default=5000, help="until the next target has its turn")
    parser.add_argument("--corpus", type=Path, default=Path(tempfile.gettempdir()) / "dmsr-fuzz")
    parser.add_argument("--replay", type=Path, help="feed one file that was found, to see its trace")
    options = parser.parse_args()
    if options.replay:
        hold(TARGETS[options.replay.name.partition("-")[0]], options.replay.read_bytes())
        return
    end = time.monotonic() + options.seconds
    while (left := int(end - time.monotonic())) > 0:
        name, *rest = options.targets
        options.targets = [*rest, name]
        print(turn(name, options.runs, left, options.corpus), flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
