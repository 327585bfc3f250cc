"""The table of settings: which change what a run computes, which only say where things lie or how it is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final


class Kind(Enum):
    """What a setting has to do with a run's result."""

    PLACE = "place"
    """Where things lie that are read, and what is recorded: other files, the same numbers."""

    OUTPUT = "output"
    """Where things are written."""

    EXECUTION = "execution"
    """How the result is computed: other time and memory, the same numbers up to rounding in another order."""

    RESULT = "result"
    """What is computed."""


def itself(value: object) -> object:
    """All of a value counts."""
    return value


def device_count(devices: object) -> object:
    """How many devices ``trainer.devices`` asks for.

    Args:
        devices: As Lightning takes it: ``2``, ``"2"``, ``[0, 3]`` and ``"0,3"`` are two devices each.

    Returns:
        Their number; ``auto`` for as many as there are, and what is no number of devices as it is.
    """
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        return len(devices)
    if str(devices) in ("auto", "-1"):
        return "auto"
    return int(str(devices)) if str(devices).isdecimal() else devices


def _last_part(path: object) -> object:
    return Path(path).name if isinstance(path, str) else path


@dataclass(frozen=True, slots=True)
class Rule:
    """What some settings are.

    Attributes:
        pattern: Their dotted keys: ``*`` stands for one part, ``**`` at the end for any number of parts, none included.
        kind: What they have to do with the result.
        reason: Why.
        where: A key and the value it has to have for the rule to hold, where the kind depends on it.
        seen_as: What of a value counts when two runs are compared.
    """

    pattern: str
    kind: Kind
    reason: str
    where: tuple[str, str] | None = None
    seen_as: Callable[[object], object] = itself

    def matches(self, key: str) -> bool:
        """Whether a dotted key is one of these."""
        parts, found = self.pattern.split("."), key.split(".")
        if parts[-1] == "**":
            parts, found = parts[:-1], found[: len(parts) - 1]
        return len(parts) == len(found) and all(part in ("*", name) for part, name in zip(parts, found, strict=True))

    @property
    def rank(self) -> tuple[int, int, bool]:
        """How closely it describes what it matches: the rule of the highest rank holds."""
        parts = self.pattern.split(".")
        return len(parts) - (parts[-1] == "**"), -parts.count("*"), self.where is not None


def _rules(kind: Kind, reason: str, *patterns: str) -> list[Rule]:
    return [Rule(pattern, kind, reason) for pattern in patterns]


RULES: Final = (
    *_rules(Kind.PLACE, "what is recorded", "logger.**"),
    *_rules(Kind.PLACE, "what pictures show of the images", "data.rgb"),
    *_rules(Kind.PLACE, "where the dataset's files lie", "data.root", "data.dataset.label_root", "paths.data"),
    *_rules(Kind.OUTPUT, "where folders are made", "paths.**", "trainer.default_root_dir", "trainer.profiler.dirpath"),
    *_rules(Kind.OUTPUT, "where records are written", "logger.*.save_dir"),
    *_rules(
        Kind.OUTPUT,
        "where a callback writes",
        *("callbacks.*.dirpath", "callbacks.*.directory", "callbacks.*.path", "callbacks.*.filename"),
    ),
    *_rules(Kind.OUTPUT, "where decoded files are kept", "data.cache"),
    *_rules(Kind.EXECUTION, "Hydra's: folders, launchers, logs", "hydra.**"),
    *_rules(Kind.EXECUTION, "a run that goes on is the run it was", "resume"),
    *_rules(Kind.EXECUTION, "which jobs a sweep has; what they vary is in their settings", "ablation"),
    *_rules(Kind.EXECUTION, "a file of keys that are compared one by one", "trainer", "callbacks"),
    *_rules(Kind.EXECUTION, "the same sums in another order", "channels_last", "compile.**"),
    *_rules(Kind.EXECUTION, "one kernel or several, for the same update", "optimizer.fused", "optimizer.foreach"),
    *_rules(Kind.EXECUTION, "samples depend on the seed alone", "data.num_workers", "data.pin_memory"),
    *_rules(Kind.EXECUTION, "how much is kept; what does not fit is decoded again", "data.cache_gib"),
    *_rules(Kind.EXECUTION, "when a run stops for its data; one that finishes is the same", "data.max_bad_samples"),
    *_rules(Kind.EXECUTION, "whether a run starts; one that does is the same", "data.allow_absent_classes"),
    *_rules(Kind.EXECUTION, "whether it is looked at on the way; weights are the same", "data.validate"),
    *_rules(Kind.EXECUTION, "images are predicted independently of those beside them", "data.eval_batch_size"),
    *_rules(Kind.EXECUTION, "views of an image that are predicted at once", "protocols.*.batch_size"),
    *_rules(Kind.EXECUTION, "which device computes; how many is trainer.devices", "trainer.accelerator", "device"),
    *_rules(Kind.EXECUTION, "how processes share gradients", "trainer.strategy", "trainer.collective_timeout"),
    *_rules(
        Kind.EXECUTION,
        "what is looked at on the way",
        *("module.gradient_interval", "trainer.log_every_n_steps", "trainer.num_sanity_val_steps"),
        *("trainer.detect_anomaly", "trainer.profiler.**"),
        *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.enable_checkpointing"),
    ),
    *_rules(Kind.EXECUTION, "choice of kernels", "trainer.benchmark", "trainer.deterministic"),
    *_rules(
        Kind.EXECUTION,
        "saves or shows what the run does anyway",
        *("callbacks.random_state.**", "callbacks.best_checkpoint.**", "callbacks.last_checkpoint.**"),
        *("callbacks.learning_rates.**", "callbacks.summary.**", "callbacks.progress.**", "callbacks.pictures.**"),
        *("callbacks.tables.**", "callbacks.run_files.**", "callbacks.submission.**", "callbacks.image_counts.**"),
    ),
    *_rules(Kind.EXECUTION, "permission to read a file", "trusted"),
    *_rules(Kind.RESULT, "named sets of the settings below", "experiment", "search", "debug"),
    *_rules(Kind.RESULT, "weights, order of samples, augmentation", "seed", "data.seed"),
    *_rules(Kind.RESULT, "the state that a run begins with", "start_from"),
    *_rules(Kind.RESULT, "the network and the loss", "model.**", "loss.**", "module.**"),
    *_rules(Kind.RESULT, "how weights move", "optimizer.**", "scheduler.**"),
    *_rules(Kind.RESULT, "numbers that other settings take", "recipe.**"),
    *_rules(Kind.RESULT, "moves on what outlives a step", "callbacks.anchor_update.**"),
    *_rules(Kind.RESULT, "which weights are measured and saved", "callbacks.averaged_weights.**"),
    *_rules(Kind.RESULT, "how long a run is", "callbacks.early_stopping.**"),
    *_rules(
        Kind.RESULT,
        "which images with which labels",
        "data",
        "data._target_",
        "data.dataset.**",
        "data.orientation",
        "data.channels",
    ),
    *_rules(
        Kind.RESULT,
        "what a step sees of the images",
        *("data.crop", "data.batch_size", "data.augment", "data.scale", "data.flip", "data.color_jitter.**"),
        *("data.on_bad_sample", "trainer.overfit_batches"),
    ),
    *_rules(
        Kind.RESULT,
        "how many steps of which gradient, and when they are measured",
        *("trainer._target_", "trainer.max_steps", "trainer.max_epochs", "trainer.accumulate_grad_batches"),
        *("trainer.gradient_clip_val", "trainer.val_check_interval", "trainer.check_val_every_n_epoch"),
        *("trainer.limit_val_batches", "trainer.sync_batchnorm", "trainer.use_distributed_sampler"),
    ),
    *_rules(Kind.RESULT, "rounding that scores show", "trainer.precision"),
    *_rules(Kind.RESULT, "what is measured, and how", "checkpoint", "split", "metrics.**", "protocols.**"),
    Rule("trainer.devices", Kind.RESULT, "a step sees data.batch_size images a device", seen_as=device_count),
    Rule("trainer.num_nodes", Kind.RESULT, "a step sees data.batch_size images a device"),
    Rule(
        "data.root",
        Kind.RESULT,
        "one's own images have no other name than their folder's",
        where=("data.dataset._target_", "contextrast.data.Folder"),
        seen_as=_last_part,
    ),
)
"""All that is known; the rule that describes a key most closely holds, see `contextrast.runs.settings.rule_of`."""
