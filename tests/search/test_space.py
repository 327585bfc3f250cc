"""What a search varies, and that W&B's sweeps and Optuna's speak the same language as Hydra."""

import optuna
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from contextrast.config import config_directory
from contextrast.errors import ConfigError
from contextrast.search.space import first_values, split_space, suggest

SEARCHES = sorted(path.stem for path in (config_directory() / "search").glob("*.yaml"))
SWEEPS = sorted((config_directory() / "wandb_sweeps").glob("*.yaml"))


def test_later_overrides_replace_earlier_ones():
    axes, fixed = split_space(["loss.alpha=interval(0.1,1)", "seed=0,1", "data=camvid", "loss.alpha=0.2"])
    assert [axis.key_or_group for axis in axes] == ["seed"]
    assert fixed == ["loss.alpha=0.2", "data=camvid"]


def test_nothing_to_search_over_is_refused():
    with pytest.raises(ConfigError, match="search=NAME"):
        split_space(["seed=0"])


def test_suggestions_stay_inside_and_on_their_scale():
    texts = ["a=tag(log, interval(0.001, 1.0))", "b=int(interval(10, 20))", "c=x,y", "d=range(1, 4)"]
    axes, _ = split_space(texts)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []
    for _ in range(60):
        trial = study.ask()
        seen.append(dict(suggest(trial, axis).split("=") for axis in axes))
        study.tell(trial, 0.0)
    small = sum(float(values["a"]) < 0.0316 for values in seen)  # half of the scale's length in decades
    assert 15 < small < 45
    assert {int(values["b"]) for values in seen} <= set(range(10, 21))
    assert {values["c"] for values in seen} == {"x", "y"}
    assert {values["d"] for values in seen} == {"1", "2", "3"}
    assert first_values(axes) == ["a=0.001", "b=10", "c=x", "d=1"]


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_composes_at_both_ends(name):
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        sweeper = compose("train", [f"search={name}"], return_hydra_config=True).hydra.sweeper
        assert OmegaConf.select(sweeper, "_target_").endswith("OptunaSweeper")
        axes, _ = split_space([f"{key}={value}" for key, value in sweeper.params.items()])
        compose("train", [f"search={name}", *first_values(axes)])


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
    assert sweep["metric"]["name"] == config.callbacks.best_checkpoint.monitor
