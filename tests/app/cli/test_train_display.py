import io

from rich.console import Console

from app.cli.train_display import PLAIN_SECONDS, TrainDisplay
from model.evaluation.protocol import Report, Score
from model.training.recipe import Phase
from model.training.state import Counters
from model.training.trainer import Progress


def progress(seconds, loss=0.5, reports=None):
    return Progress(Counters(7, 1, seconds), 0.25, loss, 2e-4, Phase(64, 8), reports)


def show(terminal, *steps):
    out = io.StringIO()
    with TrainDisplay(Console(file=out, force_terminal=terminal, width=200)) as display:
        for step in steps:
            display.show(step)
    return out.getvalue()


def test_without_a_terminal_there_is_a_plain_line_every_half_minute():
    said = show(False, progress(1), progress(2), progress(2 + PLAIN_SECONDS), progress(60))
    assert said.splitlines()[0].startswith("step 7 (25.0%, 0.0 min, 0 left)  loss 0.5000  rate 2.0e-04  crop 64×8")
    assert len(said.splitlines()) == 2


def test_a_validation_is_always_told_and_stays_in_view():
    report = Report({"a": Score(30.0, 0.9, 29.0, 25.0, 0.8, 24.0)})
    said = show(False, progress(1), progress(2, reports={"Rain12": report}), progress(99)).splitlines()
    assert "validation none yet" in said[0]
    assert "validation Rain12 30.00 (input 25.00)" in said[1]
    assert "validation Rain12 30.00 (input 25.00)" in said[2]


def test_a_skipped_step_does_not_spoil_the_mean_loss():
    assert "loss 0.5000" in show(False, progress(1), progress(40, loss=float("nan"))).splitlines()[1]


def test_on_a_terminal_the_line_is_live():
    assert "step 7" in show(True, progress(1), progress(2))
