"""Weight files of Swin transformers: what other code bases call timm's entries, where order alone would not tell."""

import re
from collections.abc import Sequence

from contextrast.models.weight_files import State

_Rules = Sequence[tuple[str, str]]  # patterns and what they become; the first that matches an entry's path counts

# An entry that only files of that code base have, and the rules for its stages. Both merge patches in timm's order.
_TORCHVISION_MARK = "features.1.0.attn.relative_position_bias_table"
_TORCHVISION: _Rules = (
    (r"^features\.0\.0\.", "patch_embed.proj."),
    (r"^features\.0\.2\.", "patch_embed.norm."),
    *((rf"^features\.{2 * stage + 1}\.", f"layers.{stage}.blocks.") for stage in range(4)),
    *((rf"^features\.{2 * stage}\.", f"layers.{stage}.downsample.") for stage in range(1, 4)),
)
_ORIGINAL_MARK = "layers.0.downsample.reduction.weight"
_ORIGINAL: _Rules = tuple((rf"^layers\.{stage}\.downsample\.", f"layers.{stage + 1}.downsample.") for stage in range(3))
_LAYERS = {".mlp.0.": ".mlp.fc1.", ".mlp.3.": ".mlp.fc2."}  # torchvision's, inside a block
_DERIVED = ("relative_position_index", "attn_mask")  # follow from sizes; timm computes them


def to_timm(state: State) -> State:
    """Give the entries of a Swin transformer of torchvision or of its authors timm's names.

    Args:
        state: Entries of any encoder, without the prefixes of wrappers.

    Returns:
        The same entries renamed, without those that timm derives from sizes; other encoders' entries as they were.
    """
    rules: _Rules = ()
    if _TORCHVISION_MARK in state:
        rules = _TORCHVISION
    elif _ORIGINAL_MARK in state:
        rules = _ORIGINAL
    return {_rename(name, rules): value for name, value in state.items() if not name.endswith(_DERIVED)}


def _rename(name: str, rules: _Rules) -> str:
    for pattern, replacement in rules:
        renamed = re.sub(pattern, replacement, name)
        if renamed != name:
            for layer, ours in _LAYERS.items():
                renamed = renamed.replace(layer, ours)
            return renamed
    return name
