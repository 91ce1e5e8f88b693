"""The authors' parameter layout ⇄ ours, by one table; and the only reader of pickled checkpoints.

Knows nothing of our file format: state dicts in, state dicts out.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.network.config import DMSRConfig
from model.network.network import DMSR

StateDict = dict[str, Tensor]

# Ours → theirs, outside the stages.
_MODULES = {
    "conv_first": "feat_extract.0.main.0",
    "down_half": "feat_extract.1.main.0",
    "down_quarter": "feat_extract.2.main.0",
    "up_half": "feat_extract.3.main.0",
    "up_full": "feat_extract.4.main.0",
    "out_full": "feat_extract.5.main.0",
    "skip_half": "Convs.0.main.0",
    "skip_full": "Convs.1.main.0",
    "out_quarter": "ConvsOut.0.main.0",
    "out_half": "ConvsOut.1.main.0",
    "join_quarter.merge": "FAM1.merge.main.0",
    "join_half.merge": "FAM2.merge.main.0",
}
for _ours, _theirs in (("embed_quarter", "SCM1"), ("embed_half", "SCM2")):
    _MODULES |= {f"{_ours}.conv{i + 1}": f"{_theirs}.main.{i}.main.0" for i in range(4)}
    _MODULES[f"{_ours}.norm"] = f"{_theirs}.main.4"

_STAGES = {
    "encoder_full": "Encoder.0",
    "encoder_half": "Encoder.1",
    "encoder_quarter": "Encoder.2",
    "decoder_quarter": "Decoder.0",
    "decoder_half": "Decoder.1",
    "decoder_full": "Decoder.2",
}

# Ours → theirs, inside one block of a stage.
_BLOCK = {
    "conv_in": "conv1.main.0",
    "depthwise": "proj",
    "conv_out": "conv2.main.0",
    "spatial.merge": "MPSRM.conv_sum",
    "frequency.small": "FDSM.conv_init_1.0",
    "frequency.large": "FDSM.conv_init_2.0",
    "frequency.fourier.conv": "FDSM.FFC.conv_layer",
    "frequency.fourier.norm": "FDSM.FFC.bn",
    "frequency.norm": "FDSM.bn",
}
for _scale in range(3):
    _BLOCK[f"spatial.convs.{_scale}"] = f"MPSRM.convs.{_scale}"
    for _ours, _theirs in {
        "value": "conv2.main.0",
        "place": "sa.sa",
        "pixel": "pa.pa2",
        "guide_in": "dwconv.0",
        "guide_depthwise": "dwconv.1",
        "guide_out": "dwconv.3",
    }.items():
        _BLOCK[f"spatial.attentions.{_scale}.{_ours}"] = f"MPSRM.dynas.{_scale}.{_theirs}"

# In the release's state dict, but no output depends on it: it never had a gradient.
_UNUSED = "FDSM.conv_mid.0"


class ConversionError(ValueError):
    """A checkpoint that is not the authors' layout, with the key at fault."""


def authors_key(key: str) -> str:
    """Translate one of our state-dict keys into the authors' name for it."""
    module, _, parameter = key.rpartition(".")
    stage, _, rest = module.partition(".")
    if stage in _STAGES:
        index, _, part = rest.partition(".")
        return f"{_STAGES[stage]}.layers.{index}.{_BLOCK[part]}.{parameter}"
    return f"{_MODULES[module]}.{parameter}"


def from_authors(checkpoint: dict[str, Any]) -> tuple[StateDict, DMSRConfig]:
    """Translate the authors' checkpoint, a state dict or `{"epoch", "state_dict", "optimizer"}`, into ours.

    Width and depth are read off the shapes; a `module.` prefix and the unused `conv_mid` are dropped.
    Raises ConversionError for any other unknown, missing or misshapen key, naming it.
    """
    theirs = checkpoint.get("state_dict", checkpoint)
    theirs = {key.removeprefix("module."): value for key, value in theirs.items()}
    theirs = {key: value for key, value in theirs.items() if f".{_UNUSED}." not in key}
    config = _infer_config(theirs)
    with torch.device("meta"):
        expected = DMSR(config).state_dict()

    ours: StateDict = {}
    for key, empty in expected.items():
        name = authors_key(key)
        value = theirs.pop(name, None)
        if not isinstance(value, Tensor):
            raise ConversionError(f"the checkpoint has no tensor {name!r} (ours: {key!r})")
        if value.shape != empty.shape:
            raise ConversionError(f"{name!r} has shape {tuple(value.shape)}; {config} needs {tuple(empty.shape)}")
        ours[key] = value.to(empty.dtype)
    if theirs:
        raise ConversionError(f"the checkpoint has keys unknown to DMSR: {', '.join(sorted(theirs)[:5])}")
    return ours, config


def to_authors(state_dict: StateDict) -> StateDict:
    """Translate our state dict into the authors' layout, the unused `conv_mid` filled with zeros."""
    theirs = {authors_key(key): value for key, value in state_dict.items()}
    for key, weight in state_dict.items():
        if key.endswith("frequency.small.weight"):
            block = authors_key(key).removesuffix("FDSM.conv_init_1.0.weight")
            half = weight.shape[0]
            theirs[f"{block}{_UNUSED}.weight"] = weight.new_zeros(half, 2 * half, 1, 1)
            theirs[f"{block}{_UNUSED}.bias"] = weight.new_zeros(half)
    return theirs


def read_authors_file(path: Path) -> dict[str, Any]:
    """Read a `.pth` file without running any code in it; raises ConversionError with the reason."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises half a dozen kinds for a broken or hostile pickle
        raise ConversionError(f"{path} is not a readable PyTorch checkpoint: {error}") from error
    if not isinstance(checkpoint, dict):
        raise ConversionError(f"{path} holds a {type(checkpoint).__name__}, not a state dict")
    return checkpoint


def _infer_config(theirs: dict[str, Any]) -> DMSRConfig:
    first = theirs.get("feat_extract.0.main.0.weight")
    if not isinstance(first, Tensor) or first.ndim != 4:
        raise ConversionError("the checkpoint has no 'feat_extract.0.main.0.weight': it is not a DMSR of the authors")
    layers = {match[1] for key in theirs if (match := re.match(r"Encoder\.0\.layers\.(\d+)\.", key))}
    try:
        return DMSRConfig(width=first.shape[0], depth=len(layers))
    except ValueError as error:
        raise ConversionError(f"the checkpoint's sizes make no DMSR: {error}") from error
