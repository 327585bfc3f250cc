"""What a search varies, and that W&B's sweeps and Optuna's speak the same language as Hydra."""

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from contextrast.folders import config_directory
from tests.conftest import choices

SWEEPS = sorted((config_directory() / "wandb_sweeps").glob("*.yaml"))


@pytest.mark.parametrize("name", choices("search"))
def test_every_search_composes_at_both_ends(name):
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        sweeper = compose("train", [f"search={name}"], return_hydra_config=True).hydra.sweeper
        assert OmegaConf.select(sweeper, "_target_").endswith("OptunaSweeper")
        axes = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in sweeper.params.items()])
        assert len(axes) > 1
        for end in ("start", "end"):
            job = [f"{axis.key_or_group}={getattr(axis.value(), end)}" for axis in axes]
            compose("train", [f"search={name}", *job])


def agent_arguments(sweep, pick):
    """The command line that W&B's agent starts for a trial."""
    args = {}
    for key, space in sweep["parameters"].items():
        values = space.get("values") or [space["min"], space["max"]]
        args[key] = {"value": values[pick]}
    command = create_sweep_command([*sweep["command"]])
    expanded = create_sweep_command_args({"args": args})["args_no_hyphens"]
    words = [word for part in command for word in (expanded if part == "${args_no_hyphens}" else [part])]
    return words, {key: value["value"] for key, value in args.items()}


@pytest.mark.parametrize("pick", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_an_agent_s_command_means_what_the_sweep_says(path, pick):
    sweep = yaml.safe_load(path.read_text())
    (program, *overrides), values = agent_arguments(sweep, pick)
    assert program == "contextrast-train"
    parsed = {item.key_or_group: item.value() for item in OverridesParser.create().parse_overrides(overrides)}
    assert {key: parsed[key] for key in values} == values
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", overrides)
    for key, value in values.items():
        if "." in key:
            assert OmegaConf.select(config, key) == value
    if sweep["method"] != "grid":  # which tries all there is, whatever comes out
        assert sweep["metric"]["name"] == config.callbacks.best_checkpoint.monitor
