"""What a codec process may do: compute, use the memory it was given, and answer. Linux only.

A filter of the kernel refuses every call that reaches for files, the network, other programs or other processes, as
"not permitted". Limits of work and memory are set anew for each picture. The filter is written here because libseccomp
comes as no wheel, and a filter of one list needs a dozen kinds of instructions less than it has.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOSYS, EPERM
from math import ceil

# By machine: its number in the kernel's audit interface, that of clone, and the calls that are refused (asm/unistd.h).
# fmt: off
_CALLS: dict[str, tuple[int, int, dict[str, int]]] = {
    "x86_64": (0xC000003E, 56, {
        "open": 2, "openat": 257, "openat2": 437, "creat": 85, "open_by_handle_at": 304, "truncate": 76, "rename": 82,
        "renameat": 264, "renameat2": 316, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "link": 86, "linkat": 265,
        "unlink": 87, "unlinkat": 263, "symlink": 88, "symlinkat": 266, "mknod": 133, "mknodat": 259, "chmod": 90,
        "fchmod": 91, "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260, "chdir": 80,
        "chroot": 161, "mount": 165, "umount2": 166, "pivot_root": 155, "setns": 308, "unshare": 272, "socket": 41,
        "socketpair": 53, "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288, "fork": 57,
        "vfork": 58, "execve": 59, "execveat": 322, "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
        "rt_tgsigqueueinfo": 297, "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424, "ptrace": 101,
        "process_vm_readv": 310, "process_vm_writev": 311, "io_uring_setup": 425, "bpf": 321,
        "userfaultfd": 323, "perf_event_open": 298, "keyctl": 250, "add_key": 248, "request_key": 249, "shmget": 29,
        "msgget": 68, "semget": 64, "mq_open": 240,
    }),
    "aarch64": (0xC00000B7, 220, {
        "openat": 56, "openat2": 437, "open_by_handle_at": 265, "truncate": 45, "renameat": 38, "renameat2": 276,
        "mkdirat": 34, "linkat": 37, "unlinkat": 35, "symlinkat": 36, "mknodat": 33, "fchmod": 52, "fchmodat": 53,
        "fchown": 55, "fchownat": 54, "chdir": 49, "chroot": 51, "mount": 40, "umount2": 39, "pivot_root": 41,
        "setns": 268, "unshare": 97, "socket": 198, "socketpair": 199, "connect": 203, "bind": 200, "listen": 201,
        "accept": 202, "accept4": 242, "execve": 221, "execveat": 281, "kill": 129, "tkill": 130, "tgkill": 131,
        "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "pidfd_open": 434, "pidfd_getfd": 438,
        "pidfd_send_signal": 424, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
        "io_uring_setup": 425, "bpf": 280, "userfaultfd": 282, "perf_event_open": 241, "keyctl": 219, "add_key": 217,
        "request_key": 218, "shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180,
    }),
}
# fmt: on
_CLONE3, _FOREIGN_CALLS, _CLONE_THREAD = 435, 0x40000000, 0x10000
# What the kernel hands the filter: the call's number, the machine, then where it came from and its arguments.
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 1, 22, 38, 2
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class Cage:
    """Close this process in for good; whether the kernel's filter could be had says `filtered`."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # One heap, which gives back what is large: the memory of the last picture must not count against the next.
        with suppress(AttributeError):
            libc.mallopt(_M_ARENA_MAX, 1)
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
            resource.setrlimit(limit, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        self._memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self.filtered = _refuse_calls(libc)

    @contextmanager
    def work(self, cpu_seconds: float, memory_bytes: int) -> Iterator[None]:
        """Bound what the block may take beyond what the process has: past its seconds it dies of SIGPROF.

        Memory beyond its bound is not to be had, as on a machine without more.
        """
        mapped = int(os.pread(self._memory, 64, 0).split()[0]) * _PAGE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, resource.RLIM_INFINITY))
        # The clock of the limit counts whole seconds of the process's whole life, so a timer goes before it.
        spent = ceil(sum(os.times()[:2]) + cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _refuse_calls(libc: ctypes.CDLL) -> bool:
    """Have the kernel refuse calls from now on; tell whether it does."""
    if platform.machine() not in _CALLS:
        return False
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(platform.machine()))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _instructions(machine: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield the filter as (operation, steps to skip if true, if false, operand)."""
    audit, clone, refused = _CALLS[machine]
    yield _LOAD, 0, 0, _MACHINE
    yield _IF_EQUAL, 1, 0, audit
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    yield _IF_AT_LEAST, 0, 1, _FOREIGN_CALLS
    yield _RETURN, 0, 0, _KILL
    for number in refused.values():
        yield _IF_EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _REFUSE | EPERM
    # A filter cannot read the flags of clone3; without it, threads are made by clone.
    yield _IF_EQUAL, 0, 1, _CLONE3
    yield _RETURN, 0, 0, _REFUSE | ENOSYS
    yield _IF_EQUAL, 1, 0, clone
    yield _RETURN, 0, 0, _ALLOW
    yield _LOAD, 0, 0, _FIRST_ARGUMENT + (4 if sys.byteorder == "big" else 0)
    yield _IF_ANY_BIT, 1, 0, _CLONE_THREAD
    yield _RETURN, 0, 0, _REFUSE | EPERM
    yield _RETURN, 0, 0, _ALLOW
