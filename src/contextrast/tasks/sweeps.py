"""Sweeps that can be started again: folders by name, jobs that are finished already, and jobs that failed."""

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from contextrast.errors import ConfigError, ContextrastError
from contextrast.runs.reading import load
from contextrast.runs.records import ERROR_FILE, headline
from contextrast.runs.rules import device_count
from contextrast.runs.settings import by_key, changes_result, differences, differing_keys, results
from contextrast.tasks.old_records import recorded_settings

log = logging.getLogger(__name__)

_CHOICES: Final = ("ablation", "callbacks", "trainer")  # of files, some of whose settings change the result


def in_sweep() -> bool:
    """Whether the task runs as a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def refuse_shared_process(trainer: Mapping[str, Any], launcher: Mapping[str, Any]) -> None:
    """Refuse jobs on several devices unless their launcher starts a process for each device, as submitit does.

    A job on several devices is several processes. Where the launcher runs a job in a process of its own making that
    further jobs use too, those of the other devices cannot be started: Lightning would start the sweep's command again.

    Args:
        trainer: Settings of Lightning's trainer.
        launcher: Settings of Hydra's launcher.

    Raises:
        ConfigError: If the launcher does not start as many processes as the trainer has devices.
    """
    asked = _devices(trainer), int(trainer.get("num_nodes", 1))
    started = int(launcher.get("tasks_per_node", 1)), int(launcher.get("nodes", 1))
    if asked == started:
        return
    name = str(launcher.get("_target_", "")).rpartition(".")[2] or "the launcher"
    raise ConfigError(
        f"trainer.devices={trainer['devices']} is {asked[0]} device(s) on {asked[1]} node(s), and {name} starts "
        f"{started[0]} process(es) on {started[1]} for a job. A sweep needs a process for each device: "
        f"hydra/launcher=submitit_local (this machine) or submitit_slurm, with hydra.launcher.tasks_per_node="
        f"{asked[0]} hydra.launcher.nodes={asked[1]}; or trainer.devices=1; or one command for each run instead of -m."
    )


def refuse_equal_jobs(overrides: Sequence[str]) -> None:
    """Refuse several values of a setting that says only where or how to compute: their jobs have the same result.

    A choice of a file with other settings is none of these, as what they are is compared one by one.

    Raises:
        ConfigError: If there is such a setting.
    """
    for item in OverridesParser.create().parse_overrides(list(overrides)):
        text = str(item.input_line)
        if item.is_sweep_override() and not changes_result(text) and item.key_or_group not in _CHOICES:
            raise ConfigError(
                f"{text}: {item.key_or_group} says where or how to compute, not what. Jobs that differ in it alone "
                "have the same result, which would be there more than once. Give it one value, or start a run for each."
            )


def _devices(trainer: Mapping[str, Any]) -> int:
    """Devices of a machine that Lightning would take."""
    count = device_count(trainer["devices"])
    if count == "auto":
        import torch  # noqa: PLC0415  (the commands name this class, and start faster without)

        return 1 if trainer["accelerator"] == "cpu" else max(1, torch.cuda.device_count())
    return int(str(count))


def join_tasks(launcher: Mapping[str, Any]) -> None:
    """Say which of a job's processes this is, where the launcher started several on this machine.

    SLURM says so itself.
    """
    if str(launcher.get("_target_", "")).endswith(".LocalLauncher") and launcher["tasks_per_node"] > 1:
        from lightning.pytorch.utilities import rank_zero_only  # noqa: PLC0415  (as torch, below)
        from submitit.helpers import TorchDistributedEnvironment  # noqa: PLC0415  (an extra)

        # Lightning picks the device by the rank among all that it sees
        joined = TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        rank_zero_only.rank = joined.rank  # type: ignore[attr-defined]  # Lightning set it when imported


def finished_before(config: Mapping[str, Any], run_dir: Path) -> float | None:
    """What an earlier start of the same sweep reached in this job's folder.

    Args:
        config: The job's settings as plain containers.
        run_dir: Its folder.

    Returns:
        The recorded mIoU, in 0..1, or NaN where there is none; None if the job has to run.

    Raises:
        ConfigError: If the folder holds the results of other settings, or does not say of which.
    """
    metrics = load(run_dir / "metrics.json")
    if metrics is None:
        return None
    recorded, asked = results(recorded_settings(run_dir, config)), results(config)
    if keys := differing_keys([recorded, asked]):
        raise ConfigError(
            f"{run_dir} holds a finished run of other settings ({differences(recorded, asked, keys)}). Its results "
            "were not used: give this sweep a folder of its own, hydra.sweep.dir=PATH, or remove that one."
        )
    miou = metrics["miou"]
    log.info("Skipped, finished before: mIoU %s", "unknown" if miou is None else f"{100 * miou:.2f}")
    return float("nan") if miou is None else float(miou)


class FailedJobs(Callback):
    """Hydra callback that tells why a job of a sweep failed, when it happens and in ``error.txt`` of its folder.

    Hydra's launchers run the other jobs nevertheless, and its sweeper raises the first failure after the last of them.
    Jobs may run in other processes and on other machines: their folders are what they share with the one that started
    the sweep, and `summary` reads them there.

    Args:
        sweep: The overrides that all jobs of the sweep have. Jobs find them here in Hydra's configuration, for their
            folder's name and for `run_name`.
    """

    # Folder and start of the sweep this process started; of the class, as Hydra keeps the object it makes to itself.
    _sweep: ClassVar[tuple[Path, float] | None] = None

    def __init__(self, sweep: Sequence[str] = ()) -> None:
        self.sweep = sweep

    @override
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note where and when, and refuse a sweep whose jobs cannot run.

        Raises:
            SystemExit: With an explanation; Hydra turns exceptions of callbacks into warnings.
        """
        folder = Path(config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)  # sweepers put their study there, before the launcher makes it
        trainer = config.get("trainer")
        try:
            if "loss" in config:  # training, whose results are compared
                refuse_equal_jobs(config.hydra.overrides.task)
            if trainer is not None and device_count(trainer.devices) != "auto":  # else known where the job runs
                refuse_shared_process(trainer, config.hydra.launcher)
        except ConfigError as error:
            raise SystemExit(f"{type(error).__name__}: {error}") from None
        FailedJobs._sweep = folder, time.time()  # see above

    @override
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Tell of failures after which the sweeper went on to its end, as Optuna's does; others raise the first one.

        Raises:
            SystemExit: If there were any.
        """
        if summary := self.summary():
            raise SystemExit(summary)

    @override
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget how an earlier attempt failed."""
        (Path(config.hydra.runtime.output_dir) / ERROR_FILE).unlink(missing_ok=True)

    @override
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Log and keep the error of a job that failed; a single run's is printed by its command."""
        if config.hydra.mode != RunMode.MULTIRUN or job_return.status != JobStatus.FAILED:
            return
        error: Exception = job_return._return_value  # the property would raise it
        folder = Path(config.hydra.runtime.output_dir)
        text = f"{type(error).__name__}: {error}\n"
        if not isinstance(error, ContextrastError):
            text += "\n" + "".join(traceback.format_exception(error))
        log.error("The job failed, the others go on. %s", text.rstrip())
        (folder / ERROR_FILE).write_text(text, encoding="utf-8")
        # The sweeper keeps the error to the end, and with its frames the failed job's network and batch.
        traceback.clear_frames(error.__traceback__)

    @classmethod
    def summary(cls) -> str | None:
        """The jobs that failed since this process started a sweep, or None if there are none."""
        if cls._sweep is None:
            return None
        (folder, began), cls._sweep = cls._sweep, None  # see above
        failed = sorted(path for path in folder.glob(f"*/{ERROR_FILE}") if path.stat().st_mtime >= began - 1)
        if not failed:
            return None
        names = _jobs(folder)
        lines = [f"  {names.get(path.parent, path.parent.name)}: {headline(path)}" for path in failed]
        return "\n".join(
            [f"{len(failed)} job(s) of {folder} failed:", *lines, "The same command runs these again, and no others."]
        )


def _jobs(folder: Path) -> dict[Path, str]:
    """Jobs of a sweep by folder, called by the overrides they differ in."""
    asked = {path.parents[1]: by_key(load(path)) for path in sorted(folder.glob("*/.hydra/overrides.yaml"))}
    varied = differing_keys(list(asked.values()))
    return {job: " ".join(texts[key] for key in varied if key in texts) or job.name for job, texts in asked.items()}
