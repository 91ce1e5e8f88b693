import tomllib

import pytest

from model.checkpoints.catalog import WEIGHTS_FOLDER, Catalog, ManifestEntry
from model.checkpoints.checkpoint import WeightsError, file_sha256, load_checkpoint

SHIPPED = Catalog.load()


@pytest.mark.parametrize("entry", SHIPPED.entries, ids=lambda entry: entry.name)
def test_every_shipped_file_is_what_the_manifest_says(entry):
    network, info = load_checkpoint(SHIPPED.path(entry), entry.sha256)
    assert (info.config.width, info.config.depth) == (entry.width, entry.depth)
    for key in ("task", "tile", "overlap", "overview", "licence"):
        assert getattr(info, key) == getattr(entry, key), key
    assert network.config == info.config
    assert info.scores == entry.scores


def test_every_weights_file_is_listed():
    assert {path.name for path in WEIGHTS_FOLDER.glob("*.safetensors")} == {entry.file for entry in SHIPPED.entries}


def entry(**changes):
    values = {
        "name": "a",
        "task": "derain",
        "file": "a.safetensors",
        "sha256": "0",
        "width": 16,
        "depth": 4,
        "tile": 128,
        "overlap": 16,
    }
    return ManifestEntry(**(values | changes))


def manifest(folder, *entries):
    (folder / "manifest.toml").write_text("\n".join(each.to_toml() for each in entries))
    return Catalog.load(folder)


def test_what_is_written_is_read(tmp_path):
    one = entry(name='with "quotes"', scores={"Rain12, small": {"psnr_y": 34.75, "pictures": 12}}, steps=7)
    assert manifest(tmp_path, one).entries == (one,)


def test_a_device_s_own_weights_come_before_those_for_any(tmp_path):
    small, large, haze = entry(name="s"), entry(name="l", device="cuda"), entry(name="h", task="dehaze")
    catalog = manifest(tmp_path, small, large, haze)
    assert catalog.default("derain", "cpu") == small
    assert catalog.default("derain", "cuda") == large
    assert catalog.default("dehaze", "cuda") == haze
    assert manifest(tmp_path, large).default("derain", "cpu") is None


def test_weights_marked_none_are_nobody_s_default(tmp_path):
    assert manifest(tmp_path, entry(device="none")).default("derain", "cpu") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("weights = [", "not TOML"),
        ('[[weights]]\nname = "x"\n', "entry x"),
        (entry().to_toml() + 'colour = "red"\n', "not TOML|unknown key"),
        (entry(task="desnow").to_toml(), "desnow"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path, text, words):
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(WeightsError, match=words):
        Catalog.load(tmp_path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"manifest\.toml cannot be read"):
        Catalog.load(tmp_path)


def test_entries_are_plain_toml():
    scores = {"a": {"psnr_y": 1.5}, "b c": {"psnr_y": 2}}
    assert tomllib.loads(entry(scores=scores).to_toml())["weights"][0]["scores"] == scores


def test_the_sha256_is_the_file_s(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f").startswith("ba7816bf")
