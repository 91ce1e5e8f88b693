"""Codec processes: the same pixels as without them, and nobody waits for one that does not answer.

One file as the pool is one, and all tests share the ways to make a process hang or die.
"""

import asyncio
import json
import os
import signal
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from app.codecs import wire
from app.codecs.pool import STUCK_SECONDS, Codecs
from app.codecs.wire import Canvas
from app.errors import DeadlineExceeded, Draining, ImageTooLarge, NotAnImage, UndecodableImage
from app.imaging.decode import decode
from app.imaging.picture import ImageLimits, Probe
from app.imaging.probe import probe
from app.telemetry.metrics import CODEC_DEATHS, Metrics
from tests.app.imaging.corpus import STORABLE, camera_exif, deep_png, deep_samples, draw, save, srgb_profile
from tests.pictures import drawn, encoded

FAR = 1000
PICTURE = encoded(drawn(20, 30))


@asynccontextmanager
async def codecs(decoders=1):
    """Start codec processes; stop them at the end."""
    metrics = Metrics()
    made = Codecs(decoders, metrics, time.monotonic)
    made.metrics = metrics
    await made.start()
    await until(lambda: made.alive == decoders + 1)
    try:
        yield made
    finally:
        await made.stop()
        assert not made.alive


async def until(true):
    """Wait for what another process brings about; the test's own time limit is the end of it."""
    while not true():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def decoded(codecs, data, seconds=FAR, damaged="refuse"):
    async with codecs.hold(data) as upload:
        header = await codecs.probe(upload, ImageLimits(), time.monotonic() + seconds)
        return await codecs.decode(upload, header, damaged, time.monotonic() + seconds)


async def begun(codecs, data=PICTURE, seconds=FAR):
    """Begin to decode in a process that does not move; return the task and the process's number."""
    async with codecs.hold(data) as upload:
        header = await codecs.probe(upload, ImageLimits(), time.monotonic() + FAR)
    process = codecs._idle[-1]
    os.kill(process.pid, signal.SIGSTOP)

    async def work():
        async with codecs.hold(data) as upload:
            return await codecs.decode(upload, header, "refuse", time.monotonic() + seconds)

    task = asyncio.create_task(work())
    await until(lambda: process not in codecs._idle)
    return task, process.pid


def deaths(codecs):
    """Count the deaths by reason, those that there were."""
    counted = {reason: codecs._deaths.labels(reason)._value.get() for reason in CODEC_DEATHS}
    return {reason: count for reason, count in counted.items() if count}


def lives(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def parent(pid):
    """Return the number of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pictures():
    for format, modes in STORABLE.items():
        for mode in modes:
            exif = {"exif": camera_exif(6)} if format in ("jpeg", "png", "webp") else {}
            icc = {"icc_profile": srgb_profile()} if mode in ("RGB", "RGBA") and format != "bmp" else {}
            yield f"{format} {mode}", save(draw(mode), format, **exif, **icc)
    for channels in (1, 2, 3, 4):
        yield f"png of 16 bits, {channels}", deep_png(deep_samples(channels), interlaced=False)


def test_pixels_and_what_is_beside_them_are_those_of_the_decoder():
    async def run():
        async with codecs() as pool:
            for name, data in pictures():
                header = probe(data, ImageLimits())
                want, got = decode(data, header), await decoded(pool, data)
                for part in ("rgb", "alpha", "deep"):
                    np.testing.assert_array_equal(getattr(got, part), getattr(want, part), name)
                    if getattr(want, part) is not None:
                        assert getattr(got, part).dtype == getattr(want, part).dtype, name
                for part in ("grey", "icc", "exif", "dpi", "png_colour", "warnings"):
                    assert getattr(got, part) == getattr(want, part), (name, part)
            assert not deaths(pool)

    asyncio.run(run())


def test_refusals_are_those_of_the_decoder():
    async def run():
        async with codecs() as pool:
            with pytest.raises(NotAnImage, match="not an image"):
                await decoded(pool, b"nothing of the kind")
            with pytest.raises(UndecodableImage) as refused:
                await decoded(pool, encoded(drawn(99, 99), "jpeg")[:2000])
            assert refused.value.extra["observed"] > 0
            async with pool.hold(PICTURE) as upload:
                with pytest.raises(ImageTooLarge) as refused:
                    await pool.probe(upload, ImageLimits(max_pixels=599), time.monotonic() + FAR)
            assert refused.value.extra == {"limit": 599, "observed": 600}
            assert not deaths(pool)

    asyncio.run(run())


def test_a_decoder_that_does_not_answer_is_killed_at_the_deadline_and_replaced():
    async def run():
        async with codecs() as pool:
            task, pid = await begun(pool, seconds=0.2)
            with pytest.raises(DeadlineExceeded):
                await task
            assert not lives(pid)
            assert deaths(pool) == {"deadline": 1}
            await until(lambda: pool.alive == 2)
            assert (await decoded(pool, PICTURE)).width == 30

    asyncio.run(run())


def test_who_hangs_up_ends_the_decoder_and_goes_when_it_has_ended():
    async def run():
        async with codecs() as pool:
            task, pid = await begun(pool)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not lives(pid)
            assert deaths(pool) == {"cancelled": 1}
            await until(lambda: pool.alive == 2)

    asyncio.run(run())


def test_the_end_of_the_drain_ends_decoders_and_those_who_wait_for_one():
    async def run():
        async with codecs() as pool:
            task, pid = await begun(pool)
            waiting = asyncio.create_task(decoded(pool, PICTURE))
            await until(lambda: pool._waiting)
            pool.abandon()
            for each in (task, waiting, decoded(pool, PICTURE)):
                with pytest.raises(Draining):
                    await each
            assert not lives(pid)
            assert deaths(pool) == {"drained": 1}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("end", "words", "reason"),
    [(signal.SIGSEGV, "broke down", "crashed"), (signal.SIGPROF, "far more work", "work")],
)
def test_a_decoder_that_dies_of_a_picture_is_the_pictures_fault_and_nobody_elses(end, words, reason):
    async def run():
        async with codecs() as pool:
            task, pid = await begun(pool)
            os.kill(pid, end)
            os.kill(pid, signal.SIGCONT)
            with pytest.raises(UndecodableImage, match=words):
                await task
            assert deaths(pool) == {reason: 1}
            await until(lambda: pool.alive == 2)
            assert (await decoded(pool, PICTURE)).width == 30

    asyncio.run(run())


def test_headers_are_read_while_all_decoders_are_busy():
    async def run():
        async with codecs() as pool:
            task, pid = await begun(pool)
            second = asyncio.create_task(decoded(pool, PICTURE))
            async with pool.hold(PICTURE) as upload:
                for _ in range(20):
                    assert (await pool.probe(upload, ImageLimits(), time.monotonic() + FAR)).width == 30
            assert not task.done()
            assert not second.done()
            assert not pool.stuck
            os.kill(pid, signal.SIGCONT)
            assert (await task).width == (await second).width == 30
            assert not deaths(pool)

    asyncio.run(run())


def test_a_lost_nursery_is_replaced_with_all_its_children():
    async def run():
        async with codecs() as pool:
            task, pid = await begun(pool)
            os.kill(parent(pid), signal.SIGKILL)
            with pytest.raises(Exception, match="could not be decoded"):
                await task
            await until(lambda: not lives(pid))
            await until(lambda: pool.alive == 2)
            assert (await decoded(pool, PICTURE)).width == 30

    asyncio.run(run())


def test_headers_that_wait_tell_of_stuck_codecs():
    """One header that waits five seconds is enough; pictures may wait for ever."""

    async def run():
        now = 0.0
        pool = Codecs(1, Metrics(), lambda: now)
        assert pool.stuck, "none has been started"
        await pool.start()
        await until(lambda: pool.alive == 2)
        pids = list(pool._processes)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        async with pool.hold(PICTURE) as upload:
            tasks = [asyncio.create_task(pool.probe(upload, ImageLimits(), FAR)) for _ in range(3)]
            await until(lambda: pool._waiting)
            now = STUCK_SECONDS
            assert not pool.stuck
            now += 1
            assert pool.stuck
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
            await asyncio.gather(*tasks)
        assert not pool.stuck
        await pool.stop()

    asyncio.run(run())


def test_a_canvas_has_no_room_for_more_than_the_header_promised():
    header = Probe("png", 30, 20, "rgb", 8, False, 1, 1, b"")
    canvas = Canvas(header)
    try:
        assert canvas.array("rgb", (20, 30, 3)).shape == (20, 30, 3)
        for name, shape in (("rgb", (20, 31, 3)), ("alpha", (20, 30)), ("deep", (1, 1, 1)), ("rgb", (0, 30, 3))):
            with pytest.raises(ValueError, match="no room"):
                canvas.array(name, shape)
        with pytest.raises(PermissionError):
            os.ftruncate(canvas.file, 10)
    finally:
        canvas.close()


PROBE = {"format": "png", "width": 30, "height": 20, "mode": "rgb", "bits": 8, "alpha": False, "frames": 1}
PROBE |= {"orientation": 1, "exif": ""}
DECODED = {"grey": False, "channels": 0, "alpha": False, "icc": 0, "dpi": None, "png_colour": [], "warnings": []}
FAILURE = {"failure": "undecodable-image", "detail": "It is damaged.", "extra": {"limit": 1}}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (PROBE, None),
        (DECODED, None),
        (FAILURE, UndecodableImage),
        ("no JSON", ValueError),
        ("[" * 60_000, ValueError),
        ("[1]", ValueError),
        ("{}", ValueError),
        (PROBE | {"width": "30"}, ValueError),
        (PROBE | {"width": -30, "height": -20}, ValueError),
        (PROBE | {"width": 10**9}, ValueError),
        (PROBE | {"orientation": 9}, ValueError),
        (PROBE | {"exif": "A" * 100_000}, ValueError),
        (PROBE | {"more": 1}, ValueError),
        (DECODED | {"channels": 3}, ValueError),
        (DECODED | {"alpha": True}, ValueError),
        (DECODED | {"icc": 1 << 40}, ValueError),
        (DECODED | {"dpi": [72, float("nan")]}, ValueError),
        (DECODED | {"warnings": ["a\r\nSet-Cookie: b"]}, ValueError),
        (DECODED | {"warnings": ["a" * 501]}, ValueError),
        (DECODED | {"png_colour": [["IDAT", "AAAA"]]}, ValueError),
        (FAILURE | {"failure": "unauthorized"}, ValueError),
        (FAILURE | {"failure": []}, ValueError),
        (FAILURE | {"extra": {"limit": "<b>"}}, ValueError),
        (FAILURE | {"detail": "a" * 501}, ValueError),
    ],
)
def test_what_a_process_says_is_sound_or_refused(said, answer):
    """It may have been taken over by a picture: no size, no header of an answer and no status is its to choose."""

    def read(packet):
        message = wire.loads(packet)
        if "failure" in message:
            return wire.read_failure(message)
        if "width" in message:
            return wire.read_probe(message, ImageLimits())
        return wire.read_picture(message, canvas, Probe("png", 30, 20, "rgb", 8, False, 1, 1, b""))

    canvas = Canvas(Probe("png", 30, 20, "rgb", 8, False, 1, 1, b""))
    packet = said.encode() if isinstance(said, str) else json.dumps(said).encode()
    try:
        if answer is ValueError:
            with pytest.raises(ValueError, match="unsound"):
                read(packet)
        else:
            assert isinstance(read(packet), answer or object)
    finally:
        canvas.close()


def test_only_the_numbers_of_a_failure_are_believed():
    failure = wire.read_failure(FAILURE | {"extra": {"limit": 1, "type": "/elsewhere", "allow": "a\r\nb"}})
    assert failure.extra == {"limit": 1}


def test_a_process_that_says_what_is_unsound_is_killed_and_replaced(monkeypatch):
    async def run():
        async with codecs() as pool:
            header = await probed(pool)
            monkeypatch.setattr(wire, "read_picture", refuse)
            async with pool.hold(PICTURE) as upload:
                with pytest.raises(UndecodableImage, match="broke down"):
                    await pool.decode(upload, header, "refuse", time.monotonic() + FAR)
            assert deaths(pool) == {"crashed": 1}
            monkeypatch.undo()
            await until(lambda: pool.alive == 2)
            assert (await decoded(pool, PICTURE)).width == 30

    def refuse(*_):
        raise ValueError("unsound")

    async def probed(pool):
        async with pool.hold(PICTURE) as upload:
            return await pool.probe(upload, ImageLimits(), time.monotonic() + FAR)

    asyncio.run(run())
