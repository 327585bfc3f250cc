"""Runs are read back from whatever holds them, whole or not."""

import json

import pytest
import yaml

from contextrast.errors import ConfigError
from contextrast.runs.records import read_runs
from contextrast.runs.settings import differing_keys, results
from tests.reporting.records import metrics, settings, write_run, write_sweep


def test_a_sweep_is_read_in_the_order_of_its_jobs(tmp_path):
    write_sweep(tmp_path, {0.1: {0: 0.5}, 0.05: {0: 0.6}, 10: {0: 0.7}})
    runs = read_runs([tmp_path]).runs
    assert [run.overrides["loss.alpha"] for run in runs] == ["loss.alpha=0.1", "loss.alpha=0.05", "loss.alpha=10"]
    assert [run.metrics["miou"] for run in runs] == [0.5, 0.6, 0.7]
    assert {run.state for run in runs} == {"finished"}


def test_overrides_are_what_tells_settings_apart(tmp_path):
    overrides = [
        "+loss.new=1",
        "~model.old",
        "loss/negatives=all",
        "seed=3",
        "logger=csv",
        "logger.csv.x=1",
        "ablation=a",
    ]
    overrides += ["paths.runs=x", "seeds=1", "data.root=a", "data.num_workers=0", "trainer.devices=[2]"]
    write_run(tmp_path / "run", overrides, 0.5, seed=3)
    (run,) = read_runs([tmp_path]).runs
    assert list(run.overrides.values()) == ["+loss.new=1", "~model.old", "loss/negatives=all", "seeds=1"]
    assert list(run.overrides) == ["loss.new", "model.old", "loss/negatives", "seeds"]
    assert run.seed == 3


def test_what_the_run_wrote_wins_over_what_hydra_rewrites(tmp_path):
    folder = write_run(tmp_path / "run", ["loss.alpha=0.2"], 0.5)
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["loss.alpha=0.1"]))
    (run,) = read_runs([folder]).runs
    assert run.overrides == {"loss.alpha": "loss.alpha=0.1"}


def test_settings_know_neither_places_nor_seeds(tmp_path):
    write_run(tmp_path / "a", [], 0.5, seed=0, root="/data")
    write_run(tmp_path / "b", [], 0.5, seed=1, root="/elsewhere")
    first, second = read_runs([tmp_path]).runs
    assert first.settings == second.settings
    assert first.settings["loss.alpha"] == 0.1
    write_run(tmp_path / "c", [], 0.5, alpha=0.2)
    assert differing_keys([first.settings, read_runs([tmp_path / "c"]).runs[0].settings]) == ["loss.alpha"]


def test_a_job_s_own_settings_keep_their_seeds():
    assert differing_keys([results(settings(seed=0)), results(settings(seed=1))]) == [
        "seed",
        "data.seed",
        "loss.negatives.seed",
    ]


def test_runs_that_did_not_finish_say_so(tmp_path):
    write_run(tmp_path / "a", ["seed=4"], seed=4)
    write_run(tmp_path / "b", [], error="DataError: no such folder", resolved=False)
    stopped, failed = read_runs([tmp_path]).runs
    assert (stopped.state, stopped.metrics, stopped.seed) == ("not finished", None, 4)
    assert failed.state == "failed: DataError: no such folder"
    assert failed.settings is None, "what Hydra wrote is not resolved"
    assert failed.data == stopped.data


def test_results_are_read_as_runs(tmp_path):
    path = tmp_path / "results" / "short" / "contextrast,alpha=0.2" / "7.json"
    path.parent.mkdir(parents=True)
    record = {"recipe": "short", "variant": "contextrast loss.alpha=0.2", "seed": 7, "metrics": metrics(0.5)}
    path.write_text(json.dumps(record))
    (run,) = read_runs([tmp_path / "results"]).runs
    assert run.overrides == {"loss": "loss=contextrast", "loss.alpha": "loss.alpha=0.2"}
    assert (run.data, run.seed, run.metrics["miou"]) == ({"recipe": "short"}, 7, 0.5)
    path.write_text(json.dumps(record | {"overrides": ["trainer.max_steps=3"]}))
    assert read_runs([tmp_path]).runs[0].settings != run.settings, "another recipe"
    path.write_text(json.dumps(record | {"overrides": ["data.num_workers=3", "data.root=/x"]}))
    assert read_runs([tmp_path]).runs[0].settings == run.settings, "as another machine ran it"


def test_a_run_is_read_once_and_what_lies_in_it_is_not(tmp_path):
    run = write_run(tmp_path / "sweep" / "run", [], 0.5)
    write_run(run / "inside", [], 0.6)
    assert [run.metrics["miou"] for run in read_runs([tmp_path, run, tmp_path / "sweep"]).runs] == [0.5]


def test_what_is_no_run_of_training_is_left_out_with_its_reason(tmp_path):
    write_run(tmp_path / "good", [], 0.5)
    evaluated = write_run(tmp_path / "evaluated", [])
    (evaluated / "config.yaml").write_text(yaml.safe_dump({"checkpoint": "x", "data": {"root": None}}))
    damaged = write_run(tmp_path / "damaged", [])
    (damaged / "metrics.json").write_text('{"miou": 0.')
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "0.json").write_text("{}")
    records = read_runs([tmp_path])
    assert [run.path.name for run in records.runs] == ["good"]
    reasons = {path.name: reason for path, reason in records.left_out.items()}
    assert set(reasons) == {"evaluated", "damaged", "0.json"}
    assert "no run of contextrast-train" in reasons["evaluated"]
    assert "metrics.json cannot be read" in reasons["damaged"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (".hydra/hydra.yaml", "[1, 2]", None),
        (".hydra/hydra.yaml", "hydra:", None),
        ("overrides.yaml", "[1, 2.5]", None),
        ("overrides.yaml", "a: b", "overrides are no list"),
        ("config.yaml", "loss: {}\nseed: 0\ndata: [1]", "no loss or no dataset"),
        ("config.yaml", "loss: {}\nseed: 0\ndata: {dataset: {split: x}}\npaths: somewhere", None),
        ("config.yaml", "just words", "no loss or no dataset"),
        ("metrics.json", "[0.5]", "metrics no mapping"),
    ],
)
def test_foreign_files_are_left_out_or_do_not_matter(tmp_path, name, content, reason):
    run = write_run(tmp_path / "run", [], 0.5)
    (run / ".hydra").mkdir(exist_ok=True)
    (run / name).write_text(content)
    records = read_runs([tmp_path])
    if reason is None:
        assert [run.metrics["miou"] for run in records.runs] == [0.5]
    else:
        assert reason in records.left_out[run]


def test_an_error_in_another_encoding_is_read(tmp_path):
    run = write_run(tmp_path / "run", [], error="x")
    (run / "error.txt").write_bytes("Fehler: \xfc".encode("latin-1") + b"\nmore")
    assert read_runs([tmp_path]).runs[0].state == "failed: Fehler: \ufffd"


@pytest.mark.parametrize("make", [False, True])
def test_folders_without_runs_are_an_error(tmp_path, make):
    folder = tmp_path / "empty"
    if make:
        (folder / "deeper").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds no runs" if make else "is no folder") as refused:
        read_runs([folder])
    assert str(folder) in str(refused.value)
