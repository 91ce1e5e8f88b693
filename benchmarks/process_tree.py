"""What a process and all below it take, as the kernel counts it: CPU seconds and memory. Linux only.

A service is several processes, of which the decoders come and go.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK_BYTES = 512
_PROC = Path("/proc")


def tree(pid: int) -> dict[int, list[str]]:
    """Return by number the fields of /proc/PID/stat, from the parent's on, of a process and all below it."""
    found = {}
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    members, left = {}, [pid]
    while left:
        pid = left.pop()
        if pid in found:
            members[pid] = found[pid]
            left += [child for child, fields in found.items() if int(fields[1]) == pid]
    return members


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and all below it, the dead ones among them included."""
    return sum(sum(map(int, fields[11:15])) for fields in tree(pid).values()) / _TICKS


def held_bytes(pid: int) -> int:
    """Return the memory of a process and all below it, of which none is counted twice.

    Memory that several share counts in parts (PSS). Files in memory that nobody has mapped, such as uploads on their
    way to a decoder, count as what they hold.
    """
    files, mapped = {}, set()
    for member in (members := tree(pid)):
        files |= _files_in_memory(member)
        mapped |= _mapped_files(member)
    unmapped = sum(size for file, size in files.items() if file not in mapped)
    return unmapped + sum(map(_proportional_bytes, members))


def _proportional_bytes(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0  # it has just ended


def _files_in_memory(pid: int) -> dict[str, int]:
    """Return the files in memory that a process has open: by inode, the bytes they hold."""
    held = {}
    with suppress(OSError):
        for file in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(file).startswith("/memfd:"):
                    status = file.stat()
                    held[str(status.st_ino)] = status.st_blocks * _BLOCK_BYTES
    return held


def _mapped_files(pid: int) -> set[str]:
    """Return the inodes of the files in memory that a process has mapped, and that its own memory counts."""
    with suppress(OSError):
        lines = (_PROC / str(pid) / "maps").read_text().splitlines()
        return {line.split()[4] for line in lines if "/memfd:" in line}
    return set()


class Watch:
    """Look at a figure again and again, in a thread, while the block runs; know the largest, and of how many."""

    def __init__(self, look: Callable[[], int], pause_seconds: float = 0.005) -> None:
        self._look, self._pause = look, pause_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak = self.looks = 0

    def _run(self) -> None:
        while True:
            self.peak, self.looks = max(self.peak, self._look()), self.looks + 1
            if self._over.wait(self._pause):
                return

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
