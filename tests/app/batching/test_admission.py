import pytest

from app.batching.admission import Admission
from app.errors import DeadlineExceeded, Draining, ImageTooLarge, Overloaded
from app.pipeline import RestoreTrace
from app.settings import QueueSettings
from tests.app.batching.fakes import job as make_job
from tests.app.batching.fakes import run

INF = float("inf")


class World:
    """A clock set by hand and a device of known speed."""

    def __init__(self, tiles=100, pixels=10**6, rate=10.0):
        self.now = 0.0
        self.rate = rate
        settings = QueueSettings(tiles=tiles, decoded_pixels=pixels, max_deadline_seconds=3600)
        self.admission = Admission(settings, lambda: self.rate, lambda: self.now, jitter=lambda: 0.0)

    def admit(self, tiles, pixels=1, deadline=INF, least=None):
        return self.admission.admit(lambda: tiles, pixels, deadline, tiles if least is None else least)


def test_places_are_given_back():
    world = World()
    with world.admit(60), world.admit(40):
        assert world.admission.tiles == 100
        assert not world.admission.idle.is_set()
    assert (world.admission.tiles, world.admission.pixels, world.admission.requests) == (0, 0, 0)
    assert world.admission.idle.is_set()


def test_places_are_given_back_when_work_fails():
    world = World()
    with pytest.raises(RuntimeError), world.admit(60):
        raise RuntimeError
    assert world.admission.tiles == 0


def test_a_full_queue_says_when_there_will_be_room():
    """95 tiles are in, 10 more would be 5 too many: at 10 tiles a second there is room in half a second."""
    world = World()
    with world.admit(95), pytest.raises(Overloaded) as caught, world.admit(10):
        pass
    assert caught.value.retry_after_seconds == 1


def test_a_picture_larger_than_the_queue_is_too_large():
    """429 would promise what can never come true."""
    with pytest.raises(ImageTooLarge) as caught, World().admit(101):
        pass
    assert caught.value.extra == {"limit": 100, "observed": 101}


def test_the_refused_are_told_different_times():
    """Each is sent to the end of the line of those refused before, so that they do not all return at once."""
    world = World(rate=10)
    waits = []
    with world.admit(100):
        for _ in range(5):
            with pytest.raises(Overloaded) as caught, world.admit(100):
                pass
            waits.append(caught.value.retry_after_seconds)
    assert waits == [10, 10, 20, 30, 40]


def test_the_line_of_the_refused_is_bounded_and_forgotten():
    """A minute of overload by callers who never return must not send the next caller away for an hour."""
    world = World(rate=10)
    with world.admit(100):
        for _ in range(1000):
            with pytest.raises(Overloaded) as caught, world.admit(100):
                pass
        assert caught.value.retry_after_seconds == 3600
    with world.admit(100):  # the queue was empty: the line is gone
        with pytest.raises(Overloaded) as caught, world.admit(10):
            pass
        assert caught.value.retry_after_seconds == 1


def test_a_request_that_cannot_make_its_deadline_is_refused_at_once():
    """(n + Σ min(left, n)) ÷ rate: 20 tiles beside one of 50 take (20 + 20) ÷ 10 = 4 s."""
    world = World()
    with world.admit(50):
        assert world.admission.predicted_seconds(20) == 4.0
        with world.admit(20, deadline=4.0):
            pass
        with pytest.raises(Overloaded, match=r"about 4 s .* 3\.9 s"), world.admit(20, deadline=3.9):
            pass


def test_a_deadline_that_an_idle_service_could_not_meet_is_no_matter_of_coming_back():
    """20 tiles at 10 a second take 2 s: for 1.9 another try is no remedy, so none is proposed."""
    world = World()
    words = r"about 2 s .* 1\.9 s are allowed"
    with pytest.raises(DeadlineExceeded, match=words) as refusal, world.admit(20, deadline=1.9):
        pass
    assert refusal.value.retry_after_seconds is None
    with world.admit(20, deadline=2.0):
        pass
    slow = World(rate=0.1)
    with pytest.raises(DeadlineExceeded, match=r"about 200 s .* 123 s are allowed"), slow.admit(20, deadline=123.4):
        pass


def test_what_a_survey_may_save_is_no_reason_to_refuse_a_picture_as_late():
    """Up to 90 tiles at 10 a second, but perhaps 5: two seconds may do. In the queue it counts as 90 all the same."""
    world = World()
    with world.admit(90, 1, 2.0, least=5), world.admit(10, 1, 2.0, least=5):
        assert world.admission.tiles == 100
        with pytest.raises(Overloaded, match="queue is full"), world.admit(10, 1, 2.0, least=5):
            pass
    with pytest.raises(DeadlineExceeded), world.admit(90, 1, 0.4, least=5):
        pass


def test_a_pass_that_cannot_end_in_time_is_not_begun():
    world = World()
    world.admission.check(20, deadline=2.0)
    with pytest.raises(DeadlineExceeded, match=r"about 2 s .* 1\.9 s are allowed"):
        world.admission.check(20, deadline=1.9)
    world.now = 5
    world.admission.check(20, deadline=4)  # the job's own end is near enough


def test_nothing_is_predicted_before_the_first_batch():
    with World(rate=0.0).admit(100, deadline=0.001):
        pass


def test_a_deadline_in_the_past_is_exceeded():
    world = World()
    world.now = 5
    with pytest.raises(DeadlineExceeded), world.admit(1, deadline=5):
        pass


def test_pixels_are_bounded_but_one_picture_always_fits():
    world = World(pixels=100)
    with world.admit(1, pixels=500), pytest.raises(Overloaded, match="500 pixels"), world.admit(1, pixels=1):
        pass


def test_draining_refuses_everybody():
    world = World()
    world.admission.draining = True
    with pytest.raises(Draining), world.admit(1):
        pass


def test_a_place_counts_down_over_several_jobs_and_gives_back_what_is_saved():
    """20 tiles were promised; the first job has 4 and says that 10 at most follow, the second has 6 and is the last."""

    async def scenario():
        world = World()
        trace = RestoreTrace(tiles=20)
        with world.admission.admit(lambda: trace.tiles_left, 1, INF, 20):
            assert world.admission.tiles == 20
            first, second = make_job(4), make_job(6)
            trace.begin(first, 10)
            assert world.admission.tiles == 14
            first.tiles_done = 4
            assert world.admission.tiles == 10
            trace.begin(second, 0)
            assert world.admission.tiles == 6
            second.tiles_done = 6
            assert world.admission.tiles == 0

    run(scenario)
