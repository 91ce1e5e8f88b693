"""Where codec processes come from: a small process that has all codecs loaded, and forks.

A fork is ready in milliseconds where a fresh interpreter needs half a second of CPU, so replacing a process costs an
attacker more than it costs us. Whoever forks has to be the one who kills too, because only a parent knows that a number
still means its child. Ends, with all its children, when its service closes the socket or dies.
"""

import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

# Threads of a linear algebra that is not used would not survive a fork. numpy reads this once, when it is imported.
os.putenv("OPENBLAS_NUM_THREADS", "1")


def main(control: socket.socket) -> None:
    """Obey: a descriptor asks for a new process on it, a number is killed. Tell number and exit code of the dead."""
    import encodings.latin_1
    import encodings.utf_16_be  # noqa: F401 - a codec process may not open the files of modules
    import gc

    from app.codecs.worker import serve
    from app.imaging.formats import load_libraries

    load_libraries()
    gc.freeze()
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the service, which ends us when it has drained
        signal.signal(number, signal.SIG_IGN)
    awake, woken = socket.socketpair()
    for end in (awake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    events = selectors.DefaultSelector()
    events.register(control, selectors.EVENT_READ)
    events.register(awake, selectors.EVENT_READ)
    while True:
        ready = [key.fileobj for key, _ in events.select()]
        if awake in ready:
            with suppress(BlockingIOError):
                awake.recv(4096)
            _bury(children, control)
        if control not in ready:
            continue
        try:
            packet, files, _, _ = socket.recv_fds(control, 64, 1)
        except ConnectionError:
            packet = b""
        if not packet:
            os._exit(0)
        if not files:
            if (child := int(packet)) in children:
                os.kill(child, signal.SIGKILL)
            continue
        try:
            child = os.fork()
        except OSError:  # too many processes: the closed socket tells, and we are asked again
            os.close(files[0])
            continue
        if not child:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            events.close()
            for end in (control, awake, woken):
                end.close()
            _live(serve, files[0])
        children.add(child)
        os.close(files[0])


def _live(serve: Callable[[socket.socket], None], file: int) -> NoReturn:
    """Be a codec process, and end as one, whatever happens."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # libraries write there what they think of a picture
        os.dup2(nothing, stream)
    try:
        serve(socket.socket(fileno=file))
        os._exit(0)
    finally:
        os._exit(1)


def _bury(children: set[int], control: socket.socket) -> None:
    """Take leave of the dead and tell of them."""
    with suppress(ChildProcessError, ConnectionError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            children.discard(found[0])
            control.send(f"{found[0]} {os.waitstatus_to_exitcode(found[1])}".encode())
