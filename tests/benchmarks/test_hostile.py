"""Each promise of SECURITY.md is judged by its bound, and one that was not measured is not claimed."""

import pytest

from benchmarks.hostile import bounds, table, uploads
from tests.bombs import BOMBS

ONE = {"upload_bytes": 1_000_000, "status": 422, "cpu_seconds": 0.5, "memory_over_idle_bytes": 0}
LOOP = {"livez_p99_seconds": 0.1, "pictures_of_those_alone": 0.8}
SOUND = {
    "files": {"a bomb": {"one": ONE, "alone": {"livez_p99_seconds": 0.001}, "in_a_loop": LOOP}},
    "deadline": {"slowest_seconds": 2.5},
    "hangup": {"slowest_seconds": 0.5},
    "drain": {"every file in flight": {"seconds": 5.0, "drain_seconds": 3.0}},
    "readers": {
        "readers": 1000,
        "answer_bytes_at_most": 64_000_000,
        "limit_bytes": 64_000_000,
        "beside": {"statuses": {"200": 9}},
    },
    "latency": {"added_median_milliseconds": 10, "codecs_added_median_milliseconds": 2},
}


def broken(figures):
    return [words for words, _, _, holds in bounds(figures) if not holds]


def changed(part, **others):
    """Return sound figures, but for one of a part, wherever in it that stands."""

    def change(value):
        if not isinstance(value, dict):
            return value
        return {name: others.get(name, change(inner)) for name, inner in value.items()}

    return SOUND | {part: change(SOUND[part])}


def test_what_is_at_its_bound_holds():
    assert len(bounds(SOUND)) == 12
    assert not broken(SOUND)


@pytest.mark.parametrize(
    ("part", "others", "words"),
    [
        ("files", {"cpu_seconds": 0.51}, "CPU"),
        ("files", {"cpu_seconds": 1.01, "status": 200}, "CPU"),
        ("files", {"memory_over_idle_bytes": 104_000_000}, "memory"),
        ("files", {"livez_p99_seconds": 0.11}, "livez"),
        ("files", {"pictures_of_those_alone": 0.79}, "others' pictures"),
        ("deadline", {"slowest_seconds": 2.6}, "deadline"),
        ("hangup", {"slowest_seconds": 0.6}, "hang-up"),
        ("drain", {"seconds": 5.1}, "SIGTERM"),
        ("readers", {"readers": 999}, "readers"),
        ("readers", {"answer_bytes_at_most": 65_000_000}, "answers held"),
        ("readers", {"statuses": {"200": 9, "503": 1}}, "refused"),
        ("latency", {"added_median_milliseconds": 11}, "added"),
        ("latency", {"codecs_added_median_milliseconds": 3}, "processes"),
    ],
)
def test_what_is_past_its_bound_is_told(part, others, words):
    (found,) = broken(changed(part, **others))
    assert words in found
    assert "**no**" in table(changed(part, **others))


def test_what_was_not_measured_is_not_claimed():
    assert not bounds({})
    assert len(bounds({"hangup": SOUND["hangup"]})) == 1


def test_every_bomb_is_sent():
    assert set(BOMBS) < set(uploads())
