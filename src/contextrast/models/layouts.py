"""What other code bases call an encoder's entries, where order alone would not tell: Swin, SegFormer, ConvNeXt, ViT."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contextrast.models.weight_files import State

_Rules = Sequence[tuple[str, str]]  # patterns and what they become, one after the other

_SWIN_STAGES = range(4)
# By an entry that only files of that code base have: the rules for timm's names. All merge patches in timm's order but
# mmsegmentation, see `_as_unfolded`.
_SOURCES: Mapping[str, _Rules] = {
    "features.1.0.attn.relative_position_bias_table": (  # torchvision's Swin
        (r"^features\.0\.0\.", "patch_embed.proj."),
        (r"^features\.0\.2\.", "patch_embed.norm."),
        *((rf"^features\.{2 * stage + 1}\.", f"layers.{stage}.blocks.") for stage in _SWIN_STAGES),
        *((rf"^features\.{2 * stage}\.", f"layers.{stage}.downsample.") for stage in range(1, 4)),
        (r"(blocks\.\d+\.mlp\.)0\.", r"\1fc1."),
        (r"(blocks\.\d+\.mlp\.)3\.", r"\1fc2."),
    ),
    "layers.0.downsample.reduction.weight": tuple(  # its authors'
        (rf"^layers\.{stage}\.downsample\.", f"layers.{stage + 1}.downsample!.") for stage in range(3)
    ),
    "stages.0.blocks.0.attn.w_msa.qkv.weight": (  # mmsegmentation's
        (r"^patch_embed\.projection\.", "patch_embed.proj."),
        *((rf"^stages\.{stage}\.downsample\.", f"layers.{stage + 1}.downsample.") for stage in range(3)),
        (r"^stages\.", "layers."),
        (r"\.attn\.w_msa\.", ".attn."),
        (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
        (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    ),
    "swin.encoder.layers.0.blocks.0.attention.q_proj.weight": (  # transformers'
        (r"^swin\.embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^swin\.embeddings\.norm\.", "patch_embed.norm."),
        *((rf"^swin\.encoder\.layers\.{i}\.downsample\.", f"layers.{i + 1}.downsample.") for i in range(3)),
        (r"^swin\.encoder\.", ""),
        (r"^swin\.layernorm\.", "norm."),
        (r"\.attention\.o_proj\.", ".attn.proj."),
        (r"\.attention\.relative_position_bias\.", ".attn."),
        (r"\.attention\.", ".attn."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
    ),
    "swin.encoder.layers.0.blocks.0.attention.self.query.weight": (  # transformers' before version 5, as most files are
        (r"^swin\.embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^swin\.embeddings\.norm\.", "patch_embed.norm."),
        *((rf"^swin\.encoder\.layers\.{i}\.downsample\.", f"layers.{i + 1}.downsample.") for i in range(3)),
        (r"^swin\.encoder\.", ""),
        (r"^swin\.layernorm\.", "norm."),
        *((rf"\.attention\.self\.{name}\.", f".attn.{name[0]}_proj.") for name in ("query", "key", "value")),
        (r"\.attention\.self\.", ".attn."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"\.output\.dense\.", ".mlp.fc2."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
    ),
    "segformer.encoder.patch_embeddings.0.proj.weight": (  # SegFormer likewise, in the names of its authors
        (r"^decode_head\..*", "head."),
        *((rf"^segformer\.encoder\.patch_embeddings\.{i}\.", f"patch_embed{i + 1}.") for i in range(4)),
        *((rf"^segformer\.encoder\.block\.{i}\.", f"block{i + 1}.") for i in range(4)),
        *((rf"^segformer\.encoder\.layer_norm\.{i}\.", f"norm{i + 1}.") for i in range(4)),
        (r"^(patch_embed\d)\.layer_norm\.", r"\1.norm."),
        (r"\.attention\.self\.query\.", ".attn.q."),
        *((rf"\.attention\.self\.{name}\.", f".attn.{name[0]}_proj.") for name in ("key", "value")),
        (r"\.attention\.self\.layer_norm\.", ".attn.norm."),
        (r"\.attention\.self\.", ".attn."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.mlp\.dense(\d)\.", r".mlp.fc\1."),
        (r"\.layer_norm_(\d)\.", r".norm\1."),
    ),
    "downsample_layers.0.0.weight": (  # ConvNeXt's authors'
        (r"^stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
        (r"^downsample_layers\.0\.", "stem."),
        (r"^downsample_layers\.", "stages."),
        (r"^(stages\.\d)\.(\d)\.", r"\1.downsample.\2."),
        (r"\.dwconv\.", ".conv_dw."),
        (r"\.pwconv(\d)\.", r".mlp.fc\1."),
    ),
    "segformer.stages.0.patch_embeddings.proj.weight": (  # SegFormer of transformers, in the names of its authors
        (r"^decode_head\..*", "head."),
        *((rf"^segformer\.stages\.{i}\.patch_embeddings\.", f"patch_embed{i + 1}.") for i in range(4)),
        *((rf"^segformer\.stages\.{i}\.blocks\.", f"block{i + 1}.") for i in range(4)),
        *((rf"^segformer\.stages\.{i}\.layer_norm\.", f"norm{i + 1}.") for i in range(4)),
        (r"\.attention\.sequence_reduction\.sequence_reduction\.", ".attn.sr."),
        (r"\.attention\.sequence_reduction\.layer_norm\.", ".attn.norm."),
        (r"\.attention\.o_proj\.", ".attn.proj."),
        (r"\.attention\.q_proj\.", ".attn.q."),
        (r"\.attention\.", ".attn."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"^(patch_embed\d)\.layer_norm\.", r"\1.norm."),
    ),
    "layers.0.0.projection.weight": (  # SegFormer of mmsegmentation, likewise
        *((rf"^layers\.{i}\.0\.projection\.", f"patch_embed{i + 1}.proj.") for i in range(4)),
        *((rf"^layers\.{i}\.0\.norm\.", f"patch_embed{i + 1}.norm.") for i in range(4)),
        *((rf"^layers\.{i}\.1\.", f"block{i + 1}.") for i in range(4)),
        *((rf"^layers\.{i}\.2\.", f"norm{i + 1}.") for i in range(4)),
        (r"\.attn\.attn\.in_proj_", ".attn.in_proj."),
        (r"\.attn\.attn\.out_proj\.", ".attn.proj."),
        (r"\.ffn\.layers\.0\.", ".mlp.fc1."),
        (r"\.ffn\.layers\.1\.", ".mlp.dwconv.dwconv."),
        (r"\.ffn\.layers\.4\.", ".mlp.fc2."),
    ),
}
_MMSEG_SWIN = "stages.0.blocks.0.attn.w_msa.qkv.weight"
_DERIVED = ("relative_position_index", "attn_mask")  # follow from sizes; each library computes them
_TO_TRANSFORMERS: _Rules = (
    (r"^patch_embed\.proj\.", "swin.embeddings.patch_embeddings.projection."),
    (r"^patch_embed\.norm\.", "swin.embeddings.norm."),
    (r"^norm\.", "swin.layernorm."),
    *((rf"^layers\.{i + 1}\.downsample\.", f"swin.encoder.layers.{i}.downsample.") for i in range(3)),
    (r"^layers\.", "swin.encoder.layers."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.relative_position_bias_table", ".attention.relative_position_bias.relative_position_bias_table"),
    (r"\.attn\.", ".attention."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
)


def converted(state: State, encoder: nn.Module) -> State:
    """Give a file's entries the names, and where libraries differ the shapes, that an encoder has.

    Args:
        state: Entries of any encoder, without the prefixes of wrappers.
        encoder: The encoder that shall take them.

    Returns:
        The entries renamed, joined, split or resampled where the file is of a code base that is known; else as they
        were. Those that every library derives from sizes are left out.
    """
    state = to_timm(state)
    wanted = encoder.state_dict()
    if "swin.embeddings.patch_embeddings.projection.weight" in wanted and "patch_embed.proj.weight" in state:
        state = {_renamed(name, _TO_TRANSFORMERS): value for name, value in _split(state).items()}
    resample = _timm_filter(encoder)
    return state if resample is None else resample(state)


def to_timm(state: State) -> State:
    """Give a Swin transformer's or a ConvNeXt's entries timm's names, and a SegFormer's those of its authors and smp.

    Args:
        state: Entries of any encoder, without the prefixes of wrappers.

    Returns:
        The same entries renamed; other encoders' entries as they were.
    """
    mark = next((mark for mark in _SOURCES if mark in state), None)
    if mark == _MMSEG_SWIN:
        state = {name: _as_unfolded(name, value) for name, value in state.items()}
    rules: _Rules = _SOURCES[mark] if mark is not None else ()
    kept = {name: value for name, value in state.items() if not name.endswith(_DERIVED)}
    return _joined({_renamed(name, rules): value for name, value in kept.items()}) if rules else kept


def _renamed(name: str, rules: _Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name.replace("!", "")  # of a name that no further rule shall take for one of the file's


def _joined(state: State) -> State:
    """Queries, keys and values as timm's Swin has them, in one entry, or smp's SegFormer, in two."""
    joined: State = {}
    for name, value in state.items():
        if ".attn.in_proj." in name:
            query, keys = name.replace("in_proj.", "q."), name.replace("in_proj.", "kv.")
            joined[query], joined[keys] = value[: len(value) // 3], value[len(value) // 3 :]
        elif ".attn.q_proj." in name:
            parts = (state[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj"))
            joined[name.replace("q_proj", "qkv")] = torch.cat(list(parts))
        elif ".attn.k_proj." in name and name.replace("k_proj", "q_proj") not in state:
            joined[name.replace("k_proj", "kv")] = torch.cat([value, state[name.replace("k_proj", "v_proj")]])
        elif not re.search(r"\.attn\.[kv]_proj\.", name):
            joined[name] = value
    return joined


def _split(state: State) -> Mapping[str, Tensor]:
    """Joint queries, keys and values as three entries."""
    parts: State = {}
    for name, value in state.items():
        if ".attn.qkv." in name:
            thirds = zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True)
            parts |= {name.replace("qkv", part): third for part, third in thirds}
        else:
            parts[name] = value
    return parts


def _as_unfolded(name: str, value: Tensor) -> Tensor:
    """An entry of mmsegmentation's patch merging, which unfolds channel by channel, in the order of all others."""
    if ".downsample.reduction." in name:
        return value.reshape(len(value), -1, 4).transpose(1, 2)[:, [0, 2, 1, 3]].reshape(len(value), -1)
    if ".downsample.norm." in name:
        return value.reshape(-1, 4).T[[0, 2, 1, 3]].flatten()
    return value


def _timm_filter(encoder: nn.Module) -> Callable[[State], State] | None:
    """What timm itself does to files for its vision transformers: names of their authors, other patches and grids."""
    model: Any = getattr(encoder, "model", None)
    own = getattr(sys.modules.get(type(model).__module__), "checkpoint_filter_fn", None)
    if own is None:  # among them what gives timm's other networks their maps, which has names of its own
        return None
    return lambda state: dict(own(dict(state), model))
