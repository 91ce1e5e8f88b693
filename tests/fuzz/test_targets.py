"""The targets hold without the fuzzer, and notice a parser that breaks its promise."""

import random

import pytest

from app.errors import UndecodableImage
from app.imaging.formats import READERS, png
from app.imaging.probe import sniff
from tests.app.imaging.test_fuzz import mutate
from tests.fuzz.targets import STEPS, TARGETS, Target, TooManySteps, hold, picture, refusing


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_on_its_seeds_and_on_some_mutants(name):
    seeds, dice = TARGETS[name].seeds(), random.Random(name)
    assert seeds
    for data in [*seeds, *(mutate(dice.choice(seeds), dice) for _ in range(15)), b"", b"\n"]:
        hold(TARGETS[name], data)


def test_every_format_has_a_target():
    formats = {format for format in READERS if format in TARGETS}
    formats |= {sniff(data) for data in TARGETS["boxes"].seeds()}
    assert formats == set(READERS)


def test_a_parser_without_end_is_noticed():
    def endless(data):
        while True:
            picture(data, "png")

    with pytest.raises(TooManySteps, match=str(STEPS)):
        hold(Target(endless, list), b"")


def test_a_mistake_of_ours_is_no_refusal(monkeypatch):
    """Without a check, picture_at_fault would make an UndecodableImage of it, as of whatever a codec raises."""
    seed = TARGETS["png"].seeds()[0]
    monkeypatch.setattr(png, "_chunks", None)
    with pytest.raises(AssertionError, match="mistake of ours"):
        hold(TARGETS["png"], seed)


def test_an_error_without_a_name_passes_through():
    with pytest.raises(KeyError), refusing(ValueError):
        raise KeyError
    with refusing(ValueError):
        raise UndecodableImage("It is damaged.")
