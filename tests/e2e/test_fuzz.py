"""Mutated files, sent to a real server: a picture or a refusal, soon, and in little memory."""

import random
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

from app.imaging.encode import OUT_FORMATS
from tests.app.imaging.test_fuzz import mutate, seeds
from tests.e2e.conftest import KEY

SECONDS_A_CASE = 2
MEGABYTES_OVER_IDLE = 200


class Memory:
    """Watch the memory of a process: what it holds now, and the most it held since `watch`."""

    def __init__(self, pid):
        self.folder = Path(f"/proc/{pid}")

    def megabytes(self, field):
        return int(re.search(rf"{field}:\s*(\d+)", (self.folder / "status").read_text())[1]) / 1024

    def watch(self):
        (self.folder / "clear_refs").write_text("5")  # forget the peak so far
        return self.megabytes("VmRSS")


def device_seconds(answer):
    """What a picture that is one, however it came about, costs the network."""
    found = re.search(r"device;dur=([\d.]+)", answer.headers.get("server-timing", ""))
    return float(found[1]) / 1000 if found else 0


def send_mutants(server, cases, seed):
    dice, files, statuses, memory = random.Random(seed), seeds(), Counter(), Memory(server.process.pid)
    with httpx.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=60) as client:
        client.post("/derain", content=files[0])
        idle = memory.watch()
        for number in range(cases):
            format, mutant = dice.choice(list(OUT_FORMATS)), mutate(dice.choice(files), dice)
            answer = client.post(f"/derain?format={format}", content=mutant)
            statuses[answer.status_code] += 1
            assert answer.status_code < 500, (seed, number, answer.text)
            assert answer.elapsed.total_seconds() - device_seconds(answer) < SECONDS_A_CASE, (seed, number)
    assert memory.megabytes("VmHWM") - idle < MEGABYTES_OVER_IDLE
    return statuses


def test_five_hundred_mutants(strict_server):
    statuses = send_mutants(strict_server, 500, seed=1)
    assert set(statuses) <= {200, 400, 406, 413, 415, 422}
    assert statuses[200] > 25
    assert statuses[422] > 100


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 110))
def test_two_thousand_mutants_more(strict_server, seed):
    statuses = send_mutants(strict_server, 2000, seed)
    print(seed, dict(statuses))  # noqa: T201 - the figures are for the log
