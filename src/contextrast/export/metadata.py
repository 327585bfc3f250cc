"""What goes with an exported network: its classes, its input, how good it is, where it is from, on whose terms."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from contextrast.checkpoints.contents import Checkpoint
from contextrast.export.format import Metadata
from contextrast.folders import config_directory, own_configurations
from contextrast.models import Segmenter
from contextrast.models.build import network_name
from contextrast.models.channels import RGB
from contextrast.runs.files import environment
from contextrast.runs.reading import load
from contextrast.runs.rules import Kind
from contextrast.runs.settings import kind_of, result_part

_STARTING_POINT = ("_target_", "_convert_", "encoder_weights", "weights", "allow_class_mismatch")
_DESCRIBED = ("model", "labels")  # sections that the metadata has by themselves
_FILES = ("_target_", "dataset", "root")  # of the data: which it was stands in `dataset`, its files need not be told
_SCORES = ("split", "step", "miou", "pixel_accuracy", "mean_accuracy", "iou")


def describe(checkpoint: Checkpoint, network: Segmenter, takes: str) -> dict[str, Any]:
    """Metadata of a network, as plain containers that JSON can hold; no path of this machine is in it.

    Args:
        checkpoint: Where it is from. Scores, commit and versions come from the run folder around it, if there is one.
        network: The checkpoint's network.
        takes: What images the export takes, see `Format`.

    Raises:
        ConfigError: If a file of the run folder is damaged.
    """
    settings = {key: value for key, value in checkpoint.config["model"].items() if key not in _STARTING_POINT}
    run_dir = checkpoint.path.resolve().parent.parent
    trained = load(run_dir / "environment.json") or {}
    exported = environment()
    labels = checkpoint.labels
    return {
        "model": settings,
        "dataset": labels.name,
        "classes": list(labels.classes),
        "palette": [list(color) for color in labels.palette],
        "values": labels.to_dict().get("values"),
        "data": _without_places(checkpoint.data, "data"),
        "input": {
            "takes": takes.format(
                image="RGB" if network.channels == RGB else "channels as in training", channels=network.channels
            ),
            "rgb": checkpoint.data.get("rgb"),
            "mean": [round(value, 6) for value in network.mean.flatten().tolist()],
            "std": [round(value, 6) for value in network.std.flatten().tolist()],
            "stride": network.stride,
            "smallest_side": network.smallest_side,
        },
        "output": "logits float32 [B, N, H, W]; the class is the argmax over N, by its position in `classes`",
        "metrics": scores(load(run_dir / "metrics.json") or {}, checkpoint.step),
        "licence": licence(checkpoint.config["model"]),
        "training": _training(checkpoint.config),
        "checkpoint": {
            "name": checkpoint.path.name,
            "sha256": hashlib.sha256(checkpoint.path.read_bytes()).hexdigest(),
            "step": checkpoint.step,
            "git": trained.get("git"),
            "versions": trained.get("versions"),
        },
        "exported": {"git": exported["git"], "versions": exported["versions"]},
    }


def _without_places(settings: Metadata, prefix: str) -> dict[str, Any]:
    """Settings without those that say where files lie here."""
    kept = {key: value for key, value in settings.items() if kind_of(f"{prefix}.{key}") is not Kind.PLACE}
    return {
        key: _without_places(value, f"{prefix}.{key}") if isinstance(value, dict) else value
        for key, value in kept.items()
        if not (isinstance(value, str) and Path(value).expanduser().is_absolute())
    }


def _training(config: Metadata) -> dict[str, Any]:
    """What changed the result of training."""
    settings = {key: value for key, value in result_part(config).items() if key not in _DESCRIBED}
    return settings | {"data": {key: value for key, value in settings["data"].items() if key not in _FILES}}


def scores(metrics: Metadata, step: int) -> dict[str, Any] | None:
    """The scores that a run measured at a step; None where it measured none, so that no other weights' are quoted.

    Args:
        metrics: Content of the run's ``metrics.json``.
        step: That of the weights.
    """
    if metrics.get("step") == step:
        return {key: metrics[key] for key in _SCORES if key in metrics}
    best = metrics.get("best") or {}
    return {"split": metrics.get("split"), **best} if best.get("step") == step else None


def licence(model: Metadata) -> str:
    """Whose terms a network comes under: the line ``# Licence: ...`` of its file in a ``conf/model``."""
    name = network_name(model).lower()
    for folder in (config_directory(), *own_configurations().values()):
        for path in sorted((folder / "model").glob("[!_]*.yaml")):
            found = re.search(r"^# Licence: (.+)$", path.read_text("utf-8"), re.MULTILINE)
            if found and network_name(OmegaConf.load(path).model).lower() == name:
                return found[1]
    if str(model.get("encoder")).startswith("mit_b"):  # over any architecture
        return "NON-COMMERCIAL: the encoder's code and weights come under NVIDIA's Source Code License"
    return f"not recorded for {network_name(model)}: see where its code and its first weights are from"


def as_text(metadata: Metadata) -> dict[str, str]:
    """Metadata for formats that hold text by key only: each value as JSON."""
    return {key: json.dumps(value) for key, value in metadata.items()}


def from_text(text: Metadata) -> dict[str, Any]:
    """What `as_text` was given."""
    return {key: json.loads(value) for key, value in text.items()}


def model_card(metadata: Metadata, name: str, recipe: str) -> str:
    """A page in Markdown about an exported network.

    Args:
        metadata: See `describe`.
        name: The file or folder it describes.
        recipe: Python that loads it.
    """
    model, wanted, measured = metadata["model"], metadata["input"], metadata["metrics"]
    training, start = metadata["training"], metadata["checkpoint"]
    iou = (measured or {}).get("iou", {})
    lines = [
        f"# {_words(network_name(model))}, trained on {_words(metadata['dataset'])}",
        "",
        f"{_code(name)} segments images into {len(metadata['classes'])} classes.",
        f"Licence: {_words(metadata['licence'])}. The terms of the training data hold too.",
        "",
        f"* Input: {wanted['takes']}.",
        f"* Mean {wanted['mean']}, standard deviation {wanted['std']} of each channel in 0..1; stride "
        f"{wanted['stride']}, smallest side {wanted['smallest_side']}.",
        f"* Output: {metadata['output']}.",
        f"* Scores: {_in_words(measured)}.",
        f"* Trained with {_target(training, 'loss')} and {_target(training, 'optimizer')} for {start['step']} steps of "
        f"{_words(training['data'].get('batch_size'))} images, crops of {_words(training['data'].get('crop'))} pixels, "
        f"seed {_words(training.get('seed'))}, code of commit {(start['git'] or {}).get('commit', 'unknown')}. "
        "All settings: `training` in `metadata.json`.",
        f"* From {_code(start['name'])}, SHA-256 {_code(start['sha256'])}.",
        "",
        "```python",
        recipe.strip(),
        "```",
        "",
        "| id | class | RGB | IoU |",
        "|---:|---|---|---:|",
    ]
    for train_id, (label, color) in enumerate(zip(metadata["classes"], metadata["palette"], strict=True)):
        score = iou.get(label)
        rgb = " ".join(map(str, color))
        lines.append(f"| {train_id} | {_words(label)} | {rgb} | {'' if score is None else f'{score:.3f}'} |")
    return "\n".join(lines) + "\n"


def _words(text: object) -> str:
    """Text that a page of Markdown shows as it is: names may come from a stranger's checkpoint."""
    return re.sub(r"([\\`*_<>()#|!~&])", r"\\\1", " ".join(str(text).split()))


def _code(text: object) -> str:
    """Text as code, which ends at its end."""
    return "`" + " ".join(str(text).replace("`", "'").split()) + "`"


def _target(training: Metadata, part: str) -> str:
    return _code(training.get(part, {}).get("_target_", "unknown"))


def _in_words(measured: Metadata | None) -> str:
    if measured is None or measured.get("miou") is None:
        return "none were measured with these very weights in their run"
    return f"mIoU {100 * measured['miou']:.2f} % on {measured['split']} at step {measured['step']}"
