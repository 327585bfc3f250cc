"""The table of settings: every key that a run is composed of is in it, and whoever asks gets the same answer."""

import copy
import functools
import itertools
import logging

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from contextrast.errors import ConfigError
from contextrast.export.metadata import _training
from contextrast.folders import config_directory
from contextrast.reporting.comparison import compare
from contextrast.runs.names import job_name
from contextrast.runs.records import read_runs
from contextrast.runs.rules import RULES, Kind, Rule
from contextrast.runs.settings import changes_result, flat, kind_of, result_part, results, rule_of
from contextrast.tasks.resume import refuse_other_run
from contextrast.tasks.sweeps import finished_before
from tests.conftest import choices

CONF = config_directory()


@functools.cache
def composed(*overrides, command="train"):
    """A command's settings by dotted key; interpolations are left, as only keys are asked for."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(command, ["paths.run_dir=/runs/a", *overrides])
    return flat(OmegaConf.to_container(config))


PAIRS = [
    [f"data={data}", f"model={model}"]
    for data, model in itertools.product(choices("data"), choices("model"))
    if (CONF / "recipe" / f"{model}_{data}.yaml").is_file()
]
GROUPS = ("data", "model", "loss", "trainer", "optimizer", "scheduler", "debug", "experiment")
CHOICES = [[f"{group}={name}"] for group in GROUPS for name in choices(group)]


@pytest.mark.parametrize("overrides", [*CHOICES, *PAIRS], ids=" ".join)
def test_every_setting_of_training_is_in_the_table(overrides):
    """Each file of each group, and the pairs that have a file of their own: choices add no keys to each other."""
    settings = composed(*overrides)
    assert [key for key in settings if rule_of(key, settings) is None] == []


@pytest.mark.parametrize("metrics", choices("metrics"))
def test_every_setting_of_evaluation_is_in_the_table(metrics):
    assert [key for key in composed(f"metrics=[{metrics}]", command="evaluate") if rule_of(key) is None] == []


def test_no_rule_is_for_settings_that_are_gone():
    keys = {path.name for path in CONF.iterdir() if path.is_dir()} | {"resume", "device", "trusted"}
    for overrides in CHOICES:
        keys |= set(composed(*overrides))
    keys |= set(composed(command="evaluate"))
    unused = {rule.pattern for rule in RULES if not any(rule.matches(key) for key in keys)}
    of_the_libraries = {"benchmark", "deterministic", "enable_checkpointing", "enable_progress_bar"}
    assert unused <= {f"trainer.{name}" for name in of_the_libraries} | {"optimizer.foreach"}


def test_no_setting_has_two_rules():
    asked = [(rule.pattern, rule.where) for rule in RULES]
    assert len(set(asked)) == len(asked)
    assert all(rule.reason for rule in RULES)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("paths.runs", Kind.OUTPUT),
        ("logger.wandb.project", Kind.PLACE),
        ("callbacks.best_checkpoint.dirpath", Kind.OUTPUT),
        ("data.root", Kind.PLACE),
        ("data.cache", Kind.OUTPUT),
        ("data.num_workers", Kind.EXECUTION),
        ("trainer.accelerator", Kind.EXECUTION),
        ("callbacks.progress.refresh_rate", Kind.EXECUTION),
        ("protocols.multi_scale.batch_size", Kind.EXECUTION),
        ("protocols.multi_scale.scales", Kind.RESULT),
        ("data.batch_size", Kind.RESULT),
        ("trainer.precision", Kind.RESULT),
        ("optimizer.lr", Kind.RESULT),
        ("optimizer.fused", Kind.EXECUTION),
        ("callbacks.mine.power", Kind.RESULT),
        ("nobody.thought.of.it", Kind.RESULT),
        ("compiled", Kind.RESULT),
    ],
)
def test_kinds(key, kind):
    assert kind_of(key) is kind


def test_patterns_match_whole_parts():
    assert Rule("a.*.c", Kind.PLACE, "-").matches("a.b.c")
    assert not Rule("a.*.c", Kind.PLACE, "-").matches("a.b.d.c")
    assert Rule("a.**", Kind.PLACE, "-").matches("a")
    assert Rule("a.**", Kind.PLACE, "-").matches("a.b.c")
    assert not Rule("a.**", Kind.PLACE, "-").matches("ab.c")


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("data.num_workers=4", False),
        ("logger=csv", False),
        ("+logger.wandb.notes=x", False),
        ("~callbacks.progress", False),
        ("hydra/launcher=joblib", False),
        ("loss/negatives=all", True),
        ("~callbacks.anchor_update", True),
        ("recipe@_global_=x", True),
        ("data=camvid", True),
        ("seed=1", True),
    ],
)
def test_overrides_are_judged_by_what_they_override(override, changes):
    assert changes_result(override) is changes


ELSEWHERE = {
    "data.num_workers": 7,
    "data.pin_memory": True,
    "data.cache": "/dev/shm/cache",
    "data.cache_gib": 3,
    "data.root": "/another/disk/camvid",
    "data.eval_batch_size": 1,
    "trainer.accelerator": "gpu",
    "trainer.devices": [3],
    "logger.csv.flush_logs_every_n_steps": 9,
    "paths.run_dir": "/runs/b",
    "paths.runs": "/shared/runs",
    "trainer.default_root_dir": "/runs/b",
    "callbacks.run_files.directory": "/runs/b",
    "compile.loss": True,
    "channels_last": False,
    "optimizer.fused": None,
}
"""Settings of another machine and of another way to compute the same."""


@functools.cache
def camvid():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["data=camvid", "data.root=/data/camvid", "logger=csv", "paths.run_dir=/runs/a"])
    return OmegaConf.to_container(config, resolve=True)


def run(folder, changes, seed=0):
    """A run folder of CamVid with some settings changed; returns the settings."""
    settings = copy.deepcopy(camvid())
    for key, value in {"seed": seed, **changes}.items():
        *sections, name = key.split(".")
        functools.reduce(dict.__getitem__, sections, settings)[name] = value
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "overrides.yaml").write_text(yaml.safe_dump([f"{key}={value}" for key, value in changes.items()]))
    return settings


@pytest.fixture(params=[*ELSEWHERE, "all"])
def elsewhere(request):
    return ELSEWHERE if request.param == "all" else {request.param: ELSEWHERE[request.param]}


def test_runs_that_compute_the_same_are_one_row_of_a_report(tmp_path, elsewhere):
    for name, changes, seed in (("a", {}, 0), ("b", elsewhere, 1)):
        run(tmp_path / name, changes, seed)
        (tmp_path / name / "metrics.json").write_text('{"miou": 0.5, "step": 1}')
    (table,) = compare(read_runs([tmp_path]).runs)
    (row,) = table.rows
    assert set(row.scores) == {0, 1}


def test_a_sweep_takes_the_result_of_a_job_that_computed_the_same(tmp_path, elsewhere):
    run(tmp_path / "a", elsewhere)
    (tmp_path / "a" / "metrics.json").write_text('{"miou": 0.5}')
    assert finished_before(run(tmp_path / "b", {}), tmp_path / "a") == 0.5


def test_a_run_goes_on_elsewhere_and_says_with_what(tmp_path, elsewhere, caplog):
    settings = run(tmp_path / "a", {})
    asked = run(tmp_path / "b", elsewhere)
    with caplog.at_level(logging.INFO):
        refuse_other_run(tmp_path / "a" / "checkpoints" / "last.ckpt", asked, 3)
    for key in elsewhere:
        assert (f"with {key}=" in caplog.text) == (kind_of(key) is Kind.EXECUTION)
    assert results(settings) == results(asked)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.batch_size", 3),
        ("trainer.devices", 2),
        ("trainer.precision", "16-mixed"),
        ("loss.temperature", 0.7),
        ("callbacks.anchor_update", None),
        ("seed", 1),
    ],
)
def test_what_changes_the_result_is_refused_and_is_another_row(tmp_path, key, value):
    run(tmp_path / "a", {})
    asked = run(tmp_path / "b", {key: value})
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        refuse_other_run(tmp_path / "a" / "checkpoints" / "last.ckpt", asked, 3)
    (tmp_path / "a" / "metrics.json").write_text('{"miou": 0.5}')
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        finished_before(asked, tmp_path / "a")
    first, second = read_runs([tmp_path]).runs
    assert (first.settings == second.settings) == (key == "seed")


@pytest.mark.parametrize("value", [1, "1", [0], [5]])
def test_devices_count_by_their_number(value):
    assert results({"trainer": {"devices": value}}) == results({"trainer": {"devices": 1}})
    assert results({"trainer": {"devices": value}}) != results({"trainer": {"devices": "0,1"}})


def test_one_s_own_images_are_told_apart_by_their_folder_s_name():
    def own(root, target="contextrast.data.Folder"):
        return results({"data": {"root": root, "dataset": {"_target_": target}}})

    assert own("/a/bees") == own("/b/bees")
    assert own("/a/bees") != own("/a/wasps")
    assert own("/a/camvid", "contextrast.data.CamVid") == own("/b/CamVid", "contextrast.data.CamVid")


def test_a_folder_s_name_knows_neither_places_nor_the_way_of_computing():
    overrides = ["loss=ce", "data.root=/x", "logger=csv", "data.num_workers=0", "hydra/launcher=joblib", "seed=1"]
    assert job_name(overrides, overrides) == job_name(["loss=ce", "seed=1"], ["loss=ce", "seed=1"])
    assert job_name(overrides, []) != job_name(["loss=ce", "seed=1"], []), "what its sweep varies tells jobs apart"


def test_what_is_written_about_a_network_tells_no_place(tmp_path):
    settings = run(tmp_path / "a", {"data.cache": "/secret", "paths.runs": "/secret/runs"})
    told = yaml.safe_dump(_training(result_part(settings) | {"data": settings["data"]}))
    assert "/" not in told
    assert "temperature" in told
    assert "accumulate_grad_batches" in told
