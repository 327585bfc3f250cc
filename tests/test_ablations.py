"""Each ablation is one command: its jobs compose and differ, the default is among them, their losses can be built."""

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from contextrast.config import instantiate
from contextrast.contrast.stages import weights_by_depth
from contextrast.folders import config_directory
from tests.conftest import choices

ABLATIONS = choices("ablation")


@pytest.fixture(scope="module", autouse=True)
def hydra():
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def defaults(hydra):
    losses = ("contextrast", "contextrast_pp")
    return [OmegaConf.to_container(compose("train", [f"loss={loss}"]), resolve=False) for loss in losses]


def jobs_of(ablation, *arguments):
    """The overrides of the jobs that Hydra's own sweeper makes of an ablation and further arguments."""
    params = compose("train", [f"ablation={ablation}"], return_hydra_config=True).hydra.sweeper.params
    texts = [f"{key}={value}" for key, value in params.items()] + [f"ablation={ablation}", *arguments]
    (batch,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(texts), None)
    return batch


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_every_job_composes_into_a_loss_of_its_own(ablation, defaults):
    seen = []
    for job in jobs_of(ablation, "seed=0"):
        config = compose("train", job)
        stages = len(config.model.stages)
        settings = OmegaConf.merge(config.loss, {"embedding_dim": 8}) if "embedding_dim" in config.loss else config.loss
        instantiate(settings, num_classes=3, in_channels=[4] * stages)
        varied = OmegaConf.to_container(config, resolve=False)
        assert varied not in seen, f"{job} is a job twice"
        seen.append(varied)
    assert len(seen) > 2
    assert any(default in seen for default in defaults)


def test_seeds_are_another_axis_and_the_command_line_replaces_them():
    values = len(jobs_of("alpha", "seed=0"))
    assert len(jobs_of("alpha")) == 3 * values
    assert [job[0] for job in jobs_of("alpha", "seed=5,6")] == ["seed=5"] * values + ["seed=6"] * values


def test_coupled_values_change_together():
    for job in jobs_of("fusion_weight", "seed=0"):
        fusion = compose("train", job).loss.fusion
        assert fusion.weight_low + fusion.weight_high == 1
        assert fusion._target_.endswith("StaticFusion")
    for job in jobs_of("stages", "seed=0"):
        config = compose("train", job)
        weights = config.loss.stage_weights or weights_by_depth(len(config.model.stages))
        assert len(config.model.stages) == len(weights)


def test_components_build_up_from_cross_entropy():
    losses = [compose("train", job).loss for job in jobs_of("components", "seed=0")]
    assert [loss._target_.rpartition(".")[2] for loss in losses] == ["CrossEntropyLoss"] + ["ContextrastLoss"] * 4
    negatives = [loss.negatives._target_.rpartition(".")[2] for loss in losses[1:]]
    assert negatives == ["AllNegatives"] + ["BoundaryAwareNegatives"] * 3
    assert [loss.fusion._target_.endswith("StaticFusion") for loss in losses[1:]] == [True, True, False, False]
    assert [bool(loss.get("memory")) for loss in losses[1:]] == [False, False, False, True]
