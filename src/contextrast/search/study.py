"""Optuna's own loop over the configurations of ``contextrast-train``.

Hydra's sweeper gives Optuna the result of a finished job alone; pruning needs to know how a job goes while it runs.
"""

import logging
from collections.abc import Sequence

import optuna
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks  # what a launcher is given; Hydra has no public way to run one job
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict
from optuna.trial import TrialState

from contextrast.cli.train import train
from contextrast.config import config_directory
from contextrast.errors import ConfigError
from contextrast.search.pruning import Pruning
from contextrast.search.space import first_values, split_space, suggest

log = logging.getLogger(__name__)


def search(overrides: Sequence[str], pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """Run trials until the study has as many as ``hydra.sweeper.n_trials``, those of earlier starts included.

    Each trial is a job of a sweep, with a run folder of its own. One that fails leaves the others alone.

    Args:
        overrides: Of ``contextrast-train``; ``search=NAME`` says what is searched, how long, and where the study lies.
        pruner: Says which trials have no prospects.

    Returns:
        The study.

    Raises:
        ConfigError: If the search cannot work; before the first trial.
        SystemExit: If trials failed, at the end and with their names.
    """
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        arguments = ["hydra.mode=MULTIRUN", *overrides]
        master = hydra.compose_config("train", arguments, RunMode.MULTIRUN, with_log_configuration=True)
        sweeper = master.hydra.sweeper
        params = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
        axes, fixed = split_space([*params, *master.hydra.overrides.task])
        if "storage" not in sweeper:
            raise ConfigError(
                "search=null: choose one of conf/search, which says where the study lies: search=contrast"
            )
        _check(hydra.config_loader.load_sweep_config(master, [*fixed, *first_values(axes)]))
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(master))
        context.callbacks.on_multirun_start(config=master, config_name="train")
        study = _study(sweeper, pruner)

        def objective(trial: optuna.Trial) -> float:
            job = [*fixed, *(suggest(trial, axis) for axis in axes)]
            return _run(trial, hydra.config_loader.load_sweep_config(master, job), context)

        done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
        study.optimize(objective, n_trials=max(0, sweeper.n_trials - done), catch=(Exception,))
        context.callbacks.on_multirun_end(config=master, config_name="train")
        return study


def _study(sweeper: DictConfig, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """The study that is configured, new or from an earlier start."""
    settings = {str(key): value for key, value in sweeper.sampler.items() if key != "_target_"}
    direction = getattr(sweeper.direction, "name", sweeper.direction)
    return optuna.create_study(
        study_name=sweeper.study_name,
        storage=sweeper.storage,
        sampler=optuna.samplers.TPESampler(**settings),
        pruner=pruner,
        direction=direction,
        load_if_exists=True,
    )


def _run(trial: optuna.Trial, config: DictConfig, context: HydraContext) -> float:
    """One trial as a job of a sweep; what went wrong is raised.

    Raises:
        TrialPruned: If it was stopped.
    """
    with open_dict(config.hydra.job):
        config.hydra.job.num, config.hydra.job.id = trial.number, f"trial_{trial.number}"
    pruning = Pruning(trial)

    def task(job: DictConfig) -> float:
        try:
            return train(job, [pruning])
        except optuna.TrialPruned as pruned:
            log.info("Pruned: %s", pruned)  # not a failure: no error.txt, and no metrics.json either
            return float("nan")

    done = run_job(task, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    if pruning.pruned:
        raise optuna.TrialPruned
    return float(done.return_value)


def _check(config: DictConfig) -> None:
    """Refuse a search whose pruner would have nothing to judge by.

    Raises:
        ConfigError: If trials are validated at their end alone.
    """
    every, steps = config.trainer.val_check_interval, config.trainer.max_steps
    if isinstance(every, int) and every >= steps:
        raise ConfigError(
            f"trainer.val_check_interval={every} with trainer.max_steps={steps}: trials are pruned by validations,"
            " and the only one is at the end. Choose a smaller interval, or contextrast-train -m."
        )
