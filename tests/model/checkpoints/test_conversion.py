import json

import pytest
import torch

from model.checkpoints.conversion import ConversionError, from_authors, read_authors_file, to_authors
from model.network.config import DMSRConfig
from model.network.network import DMSR
from tests.golden import authors


@pytest.fixture(scope="module")
def theirs():
    """A small network in the authors' layout."""
    return to_authors(DMSR(DMSRConfig(width=8, depth=3)).state_dict())


def test_sizes_are_read_off_the_shapes(theirs):
    assert from_authors(theirs)[1] == DMSRConfig(width=8, depth=3)


def test_there_and_back_is_the_same(theirs):
    again = to_authors(from_authors(theirs)[0])
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[key], theirs[key]) for key in theirs)


def test_keys_and_shapes_are_the_release_s():
    """Our paper-width network translates to exactly the keys and shapes the release has, `conv_mid` included."""
    keys = json.loads((authors.FOLDER / "authors_keys_depth2.json").read_text())
    translated = to_authors(DMSR(DMSRConfig(width=48, depth=2)).state_dict())
    assert {key: list(value.shape) for key, value in translated.items()} == keys


def test_training_checkpoints_and_parallel_prefixes_are_understood(theirs):
    wrapped = {"epoch": 7, "optimizer": {}, "state_dict": {f"module.{key}": value for key, value in theirs.items()}}
    state_dict, config = from_authors(wrapped)
    DMSR(config).load_state_dict(state_dict)


def test_a_missing_key_is_named(theirs):
    broken = dict(theirs)
    del broken["Encoder.1.layers.2.FDSM.bn.running_var"]
    with pytest.raises(ConversionError, match=r"Encoder\.1\.layers\.2\.FDSM\.bn\.running_var"):
        from_authors(broken)


def test_an_unknown_key_is_named(theirs):
    with pytest.raises(ConversionError, match=r"Encoder\.9\.surprise"):
        from_authors(theirs | {"Encoder.9.surprise": torch.zeros(1)})


def test_a_misshapen_tensor_is_named(theirs):
    with pytest.raises(ConversionError, match=r"Convs\.0\.main\.0\.weight.*shape"):
        from_authors(theirs | {"Convs.0.main.0.weight": torch.zeros(2, 2)})


def test_another_network_is_refused():
    with pytest.raises(ConversionError, match="not a DMSR"):
        from_authors({"conv.weight": torch.zeros(1)})


def test_a_pickle_that_runs_code_is_refused_unread(tmp_path):
    """A checkpoint with a class inside is refused with a reason, and its code is not run."""
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (marker.write_text, ("x",))

    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": Hostile()}, path)
    with pytest.raises(ConversionError, match="not a readable PyTorch checkpoint"):
        read_authors_file(path)
    assert not marker.exists()


def test_a_file_that_holds_no_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConversionError, match="holds a list"):
        read_authors_file(tmp_path / "list.pth")
