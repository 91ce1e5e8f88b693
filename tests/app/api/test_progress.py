"""Who may see how far a picture is: its caller, and nobody can take its id away."""

import pytest

from app.api.progress import Running
from app.errors import NotFound


def test_progress_is_its_caller_s_alone():
    running = Running()
    with running.follow("one", "id") as trace:
        trace.tiles = 7
        assert running.progress("one", "id").tiles_total == 7
        for caller in ("other", ""):
            with pytest.raises(NotFound):
                running.progress(caller, "id")
    with pytest.raises(NotFound):
        running.progress("one", "id")


def test_of_two_requests_with_one_id_the_first_is_told_of():
    running = Running()
    with running.follow("", "id") as first:
        first.tiles = 7
        with running.follow("", "id") as second:
            second.tiles = 9
            assert running.progress("", "id").tiles_total == 7
        assert running.progress("", "id").tiles_total == 7
