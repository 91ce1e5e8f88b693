"""The codec processes as the service sees them: a picture goes in, a header or pixels come out, or a reason why not.

Whoever stops waiting ends the process that worked for them, and is let go when it has really ended. It is one long
file, because who waits, who works and who has died are one state, changed on one event loop.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import structlog

from app.codecs import wire
from app.codecs.worker import PROBE_SECONDS, cpu_seconds
from app.errors import DeadlineExceeded, DmsrError, Draining, InternalError, UndecodableImage
from app.imaging.picture import ImageLimits, Picture, Probe
from app.telemetry.metrics import Metrics

# Copying this much takes a tenth of a millisecond, about as long as asking a thread for it.
_LARGE_BYTES = 1 << 20
# Beside its seconds of CPU, which a busy machine gives slowly, a process may wait so long before it counts as stuck.
_IDLE_SECONDS, _SLOWEST = 10.0, 20.0
# Headers are read in milliseconds, so a header that waits this long for a process waits for ever.
STUCK_SECONDS = 5.0
_DEATH_SECONDS = 5.0
_RESTART_SECONDS = 1.0
_FIRST_WORDS_SECONDS = 30.0
_BOOT = (
    "import json, socket, sys; sys.path[:] = json.loads(sys.argv[2]); from app.codecs.nursery import main; "
    "main(socket.socket(fileno=int(sys.argv[1])))"
)

_log = structlog.get_logger()


@dataclass(eq=False)
class _Process:
    """Know a codec process: its number, its socket, why it was killed, and its exit code when it is dead."""

    pid: int
    channel: socket.socket
    dead: "asyncio.Future[int | None]"
    reason: str | None = None


@dataclass(eq=False)
class _Waiter:
    """Stand for a call that needs a process."""

    decodes: bool
    since: float
    process: "asyncio.Future[_Process]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Codecs:
    """Keep codec processes: as many as pictures may be decoded at once, and one more, so that headers never wait.

    clock: monotonic seconds, the one that deadlines are on.
    """

    def __init__(self, decoders: int, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._decoders = decoders
        self._deaths = metrics.codec_deaths
        self._clock = clock
        self._processes: dict[int, _Process] = {}
        self._idle: list[_Process] = []
        self._waiting: list[_Waiter] = []
        self._decoding = 0
        self._drained = False
        self._control: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._first = asyncio.Event()

    @property
    def alive(self) -> int:
        """Count the processes that live."""
        return len(self._processes)

    @property
    def busy(self) -> int:
        """Count the processes that work."""
        return len(self._processes) - len(self._idle)

    @property
    def stuck(self) -> bool:
        """Tell whether pictures come in and no process is there for them."""
        now = self._clock()
        return not self._processes or any(now - w.since > STUCK_SECONDS for w in self._waiting if not w.decodes)

    async def start(self) -> None:
        """Start the nursery and return when the first process is there."""
        self._begin(self._tend())
        await self._first.wait()

    async def stop(self) -> None:
        """End every process."""
        self.abandon()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def abandon(self) -> None:
        """End every call and take no more: the time to drain is over."""
        self._drained = True
        for waiter in self._waiting:
            if not waiter.process.done():
                waiter.process.set_exception(_draining())
        for process in self._processes.values():
            if process not in self._idle:
                self._kill(process, "drained")

    @contextlib.asynccontextmanager
    async def hold(self, content: bytes) -> AsyncIterator[int]:
        """Put an upload where processes can read it while the block runs; give its descriptor."""
        if len(content) > _LARGE_BYTES:
            file = await asyncio.to_thread(wire.memory_of, content)
        else:
            file = wire.memory_of(content)
        try:
            yield file
        finally:
            os.close(file)

    async def probe(self, upload: int, limits: ImageLimits, deadline: float) -> Probe:
        """Read a header, as `app.imaging.probe` does.

        Raises what that does; DeadlineExceeded, Draining; UndecodableImage too if the work for it knows no bounds.
        """
        answer = await self._ask({"limits": asdict(limits)}, [upload], False, PROBE_SECONDS, deadline)
        return wire.read_probe(answer)

    async def decode(
        self, upload: int, header: Probe, damaged: Literal["refuse", "accept"], deadline: float
    ) -> Picture:
        """Decode a picture, as `app.imaging.decode` does; raises as `probe` does."""
        message = {"probe": wire.write_probe(header), "damaged": damaged}
        canvas = wire.Canvas(header)
        try:
            seconds = cpu_seconds(header.pixels)
            answer = await self._ask(message, [upload, canvas.file], True, seconds, deadline)
            return wire.read_picture(answer, canvas, header)
        finally:
            canvas.close()

    async def _ask(
        self, message: dict[str, Any], files: list[int], decodes: bool, cpu_seconds: float, deadline: float
    ) -> dict[str, Any]:
        """Have one process answer a message; a process that does not in time is killed, whatever the reason."""
        try:
            async with asyncio.timeout(deadline - self._clock()):
                process = await self._acquire(decodes)
        except TimeoutError:
            raise DeadlineExceeded("The time allowed ran out before the picture was decoded.") from None
        packet = b""
        patience = _IDLE_SECONDS + _SLOWEST * cpu_seconds
        try:
            async with asyncio.timeout(min(deadline - self._clock(), patience)):
                # A process that has died does not answer, which is what we learn below.
                with contextlib.suppress(OSError):
                    wire.send(process.channel, message, *files)
                    packet = await asyncio.get_running_loop().sock_recv(process.channel, wire.PACKET_BYTES)
        except TimeoutError:
            self._kill(process, "deadline" if self._clock() >= deadline else "stuck")
        except asyncio.CancelledError:
            self._kill(process, "cancelled")
            raise
        finally:
            if not packet:
                await self._death(process)
            self._release(process, decodes)
        answer = wire.loads(packet) if packet else None
        if answer is None:
            raise self._failure(process)
        if "failure" in answer:
            raise wire.read_failure(answer)
        return answer

    def _failure(self, process: _Process) -> DmsrError:
        """Say what the end of a process means for the picture it was at work on."""
        match process.reason:
            case "drained":
                return _draining()
            case "deadline":
                return DeadlineExceeded("The time allowed ran out while the picture was decoded.")
            case "stuck":
                return DeadlineExceeded("Decoding the picture came to no end.")
            case "work":
                return UndecodableImage("Decoding takes far more work than there is in a picture of its size.")
        code = process.dead.result()
        _log.warning("codec process ended", exit_code=code)
        if code is None or code == -signal.SIGKILL:  # the nursery is lost, or the machine's memory has run out
            return InternalError("The picture could not be decoded.")
        return UndecodableImage("The decoder broke down at the picture.")

    async def _acquire(self, decodes: bool) -> _Process:
        if self._drained:
            raise _draining()
        waiter = _Waiter(decodes, self._clock())
        self._waiting.append(waiter)
        try:
            self._serve()
            return await waiter.process
        except asyncio.CancelledError:
            if waiter.process.done() and not waiter.process.cancelled() and not waiter.process.exception():
                self._release(waiter.process.result(), decodes)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _serve(self) -> None:
        """Give idle processes to those that wait: headers first, then pictures, of which not too many at once."""
        for waiter in sorted(self._waiting, key=lambda waiter: waiter.decodes):
            if not self._idle or (waiter.decodes and self._decoding >= self._decoders):
                return
            if not waiter.process.done():
                self._waiting.remove(waiter)
                self._decoding += waiter.decodes
                waiter.process.set_result(self._idle.pop())

    def _release(self, process: _Process, decodes: bool) -> None:
        """Take a process back."""
        self._decoding -= decodes
        if process.dead.done():
            process.channel.close()
        else:
            self._idle.append(process)
        self._serve()

    def _kill(self, process: _Process, reason: str) -> None:
        """Have the nursery kill a process."""
        process.reason = process.reason or reason
        if self._control:
            with contextlib.suppress(OSError):
                self._control.send(str(process.pid).encode())

    async def _death(self, process: _Process) -> None:
        """Wait until a process that has been killed, or has fallen silent, is dead and its memory free."""
        await asyncio.wait([process.dead], timeout=_DEATH_SECONDS)
        self._died(process.pid, None)

    def _died(self, pid: int, code: int | None) -> None:
        process = self._processes.pop(pid, None)
        if process is None:
            return
        process.dead.set_result(code)
        if code in (-signal.SIGPROF, -signal.SIGXCPU):
            process.reason = process.reason or "work"
        delay = 0.0
        if process in self._idle:
            self._idle.remove(process)
            process.channel.close()
            delay = _RESTART_SECONDS  # not a picture's doing, and so it may happen again at once
        self._deaths.labels(process.reason or "crashed").inc()
        if not self._drained:
            self._begin(self._bear(delay))

    async def _tend(self) -> None:
        """Keep a nursery; start another when it ends."""
        while True:
            ours, theirs = wire.pair()
            ours.setblocking(False)
            command = [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)]
            nursery = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and seldom
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
            theirs.close()
            self._control = ours
            try:
                for _ in range(self._decoders + 1):
                    self._begin(self._bear(0))
                with contextlib.suppress(OSError):
                    while packet := await asyncio.get_running_loop().sock_recv(ours, 64):
                        self._died(*map(int, packet.split()))
            finally:
                self._control = None
                ours.close()  # its end, if it has not ended
                for pid in list(self._processes):
                    self._died(pid, None)
                await asyncio.to_thread(nursery.wait)
            _log.error("codec nursery ended", exit_code=nursery.returncode)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _bear(self, delay: float) -> None:
        """Have the nursery fork a process, and give it to those that wait when it says its first words."""
        await asyncio.sleep(delay)
        if not self._control:
            return  # the next nursery starts with as many as there should be
        ours, theirs = wire.pair()
        ours.setblocking(False)
        try:
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            theirs.close()
            async with asyncio.timeout(_FIRST_WORDS_SECONDS):
                first = wire.loads(await asyncio.get_running_loop().sock_recv(ours, wire.PACKET_BYTES))
        except (OSError, ValueError, TimeoutError) as error:
            theirs.close()
            ours.close()
            _log.error("no codec process", error=repr(error))
            self._begin(self._bear(_RESTART_SECONDS))
            return
        if not first["filtered"]:
            _log.warning("codec processes run without a filter of system calls")
        process = _Process(first["pid"], ours, asyncio.get_running_loop().create_future())
        self._processes[process.pid] = process
        self._idle.append(process)
        self._first.set()
        self._serve()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _draining() -> Draining:
    return Draining("The service stopped before the picture was decoded.")
