"""Sweeps: a failed job leaves the others alone, and started again, a sweep runs only what is not finished."""

import json
import math
import os
import time
import weakref
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from contextrast.cli import report, train
from contextrast.errors import ConfigError
from contextrast.runs.names import sweep_folder
from contextrast.runs.records import read_runs
from contextrast.tasks import train as task
from contextrast.tasks.sweeps import FailedJobs, finished_before
from contextrast.training.module import SegmentationModule
from tests.conftest import TINY

# Four jobs: the first crashes (division by zero in a step), the second and the fourth are refused, the third finishes.
SWEEP = (
    "-m", *TINY, "loss=ce", "logger=csv", "callbacks.pictures.num_images=0", "trainer.accumulate_grad_batches=2,1",
    "data.batch_size=2,4000",
)  # fmt: skip


def crashing(training_pass):
    """The same, but for a run whose steps are of two batches."""

    def step(module, batch):
        1 / (2 - module.trainer.accumulate_grad_batches)
        return training_pass(module, batch)

    return step


@pytest.fixture(scope="module")
def started_twice(tmp_path_factory):
    """The folder of a sweep after its second start, and exit code, output and finished files of each."""
    folder = tmp_path_factory.mktemp("sweep")
    starts = []
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(SegmentationModule, "training_pass", crashing(SegmentationModule.training_pass))
        for _ in range(2):
            patched.setattr("sys.argv", ["train", *SWEEP])
            with pytest.raises(SystemExit) as stopped:
                train.main()
            finished = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")}
            starts.append((stopped.value.code, finished))
            if len(starts) == 1:
                for error in folder.rglob("error.txt"):
                    (error.parent / "metrics.csv").write_text("step,train/loss\n1,0.5\n")
    (sweep,) = (folder / "runs" / "multirun").iterdir()
    return sweep, starts


def test_a_failed_job_leaves_the_others_alone_and_the_exit_code_tells(started_twice):
    sweep, starts = started_twice
    assert [code for code, _ in starts] == [1, 1]
    (finished,) = starts[0][1]
    assert "trainer.accumulate_grad_batches=1" in (finished.parent / "overrides.yaml").read_text()
    errors = {path.read_text().partition("\n")[0].partition(":")[0] for path in sweep.glob("*/error.txt")}
    assert errors == {"ZeroDivisionError", "ConfigError"}
    assert len(list(sweep.glob("*/error.txt"))) == 3


def test_started_again_a_finished_job_is_not_run_again(started_twice):
    sweep, starts = started_twice
    assert starts[0][1] == starts[1][1], "metrics.json was written anew"
    (finished,) = starts[0][1]
    log = (finished.parent / "train.log").read_text()
    assert f"Skipped, finished before: mIoU {100 * json.loads(finished.read_text())['miou']:.2f}" in log
    assert len(list(sweep.glob("*/.hydra"))) == 4, "both starts used the same folders"


def test_no_folder_needs_quoting(started_twice):
    sweep, _ = started_twice
    for path in (sweep, *(path for path in sweep.rglob("*") if ".hydra" not in path.parts)):
        assert not set(path.name) & set("=, []{}()"), path
        assert len(path.name.encode()) < 120


def test_started_again_a_failed_job_does_not_continue_its_curves(started_twice):
    sweep, _ = started_twice
    assert [path.parent for path in sweep.glob("*/metrics.csv")] == [
        path.parent for path in sweep.glob("*/metrics.json")
    ]


def test_a_misspelt_key_is_refused_before_any_job_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train", "-m", "loss.alhpa=0.1,0.2"])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    assert stopped.value.code == 1
    assert "Did you mean loss.alpha" in capsys.readouterr().err
    assert not list(tmp_path.rglob(".hydra"))


def test_the_crash_is_in_the_job_s_log_with_its_traceback(started_twice):
    logs = [path.read_text() for path in started_twice[0].glob("*/train.log")]
    assert sum("Traceback" in log and "ZeroDivisionError" in log for log in logs) == 1


def test_the_report_lists_what_did_not_finish(started_twice, capsys):
    report.main([str(started_twice[0])])
    printed = capsys.readouterr().out
    assert "Streets" in printed
    assert printed.count("failed: ConfigError") == 2
    assert printed.count("failed: ZeroDivisionError") == 1
    (finished,) = [run for run in read_runs([started_twice[0]]).runs if run.metrics]
    assert finished.overrides["data.batch_size"] == "data.batch_size=2"
    assert finished.metrics["parameters"]["training_only"] == 0, "cross-entropy has none"


def test_a_job_returns_what_was_recorded_so_that_sweepers_get_its_value(started_twice, composed, monkeypatch):
    (finished,) = started_twice[1][0][1]
    overrides = OmegaConf.load(finished.parent / "overrides.yaml")
    config = composed("train", *overrides, f"paths.run_dir='{finished.parent}'")
    monkeypatch.setattr("contextrast.tasks.train.in_sweep", lambda: True)
    assert task.train(config) == json.loads(finished.read_text())["miou"]


def settings(run_dir="/somewhere", alpha=0.1, root="a", **more):
    paths = {"run_dir": run_dir, "runs": "runs"}
    return {"seed": 0, "loss": {"alpha": alpha, **more}, "data": {"root": root}, "out": f"{run_dir}/x", "paths": paths}


def finished_job(folder, **recorded):
    OmegaConf.save(OmegaConf.create(settings(**recorded)), folder / "config.yaml")
    (folder / "metrics.json").write_text('{"miou": 0.25}')


def test_results_of_the_same_settings_are_reused_wherever_the_folder_lies(tmp_path):
    finished_job(tmp_path, run_dir="/before/it/was/moved", root="/data/before")
    assert finished_before(settings(run_dir=str(tmp_path)), tmp_path) == 0.25


def test_results_of_other_settings_are_refused_with_their_names(tmp_path):
    finished_job(tmp_path, alpha=0.2, old=None)
    with pytest.raises(
        ConfigError, match=r"loss\.alpha: 0\.2 there, 0\.1 here; loss\.old: None there, - here"
    ) as refused:
        finished_before(settings(), tmp_path)
    assert "data.root" not in str(refused.value)
    assert "hydra.sweep.dir=PATH" in str(refused.value)


def test_what_does_not_say_its_settings_is_refused(tmp_path):
    finished_job(tmp_path)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="other settings"):
        finished_before(settings(), tmp_path)


def test_a_run_without_a_score_is_finished_and_one_without_metrics_is_not(tmp_path):
    finished_job(tmp_path)
    (tmp_path / "metrics.json").write_text('{"miou": null}')
    assert math.isnan(finished_before(settings(), tmp_path))
    (tmp_path / "metrics.json").unlink()
    assert finished_before(settings(), tmp_path) is None


class Large:
    """Stands for a network that a failed job had."""


def test_a_failed_job_s_objects_are_let_go_while_the_sweep_goes_on(tmp_path):
    seen = []

    def job():
        network = Large()
        seen.append(weakref.ref(network))
        raise RuntimeError("out of memory")

    returned = JobReturn()
    try:
        job()
    except RuntimeError as error:
        returned.return_value, returned.status = error, JobStatus.FAILED
    assert seen[0]() is not None
    config = OmegaConf.create({"hydra": {"mode": RunMode.MULTIRUN, "runtime": {"output_dir": str(tmp_path)}}})
    FailedJobs().on_job_end(config=config, job_return=returned)
    assert seen[0]() is None
    text = (tmp_path / "error.txt").read_text()
    assert text.startswith("RuntimeError: out of memory\n")
    assert "in job" in text, "the traceback"


def test_the_summary_names_the_failures_of_this_start_alone(tmp_path):
    for name in ("earlier", "now"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "error.txt").write_text(f"ValueError: {name}\n\nmore")
    os.utime(tmp_path / "earlier" / "error.txt", (time.time() - 100,) * 2)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    FailedJobs().on_multirun_start(config=config)
    summary = FailedJobs.summary()
    assert "now: ValueError: now" in summary
    assert "earlier" not in summary
    assert FailedJobs.summary() is None, "the next error of this process is not a sweep's"


def sweep_config(folder, *overrides, ablation=None):
    """What the resolvers of a sweep's and its jobs' folders see of Hydra's configuration."""
    choices = {"ablation": ablation}
    hydra = {"overrides": {"task": list(overrides)}, "runtime": {"choices": choices}, "sweep": {"dir": str(folder)}}
    hydra["callbacks"] = {"failed_jobs": {"sweep": ["data.root=/x", "data=camvid", "logger=csv"]}}
    return OmegaConf.create({"hydra": hydra, "subdir": "${job_folder:}"})


def test_a_sweep_is_named_by_its_ablation_or_by_what_its_jobs_compute(tmp_path):
    asked = ["loss=ce,contextrast", "seed=0,1", "data.root=/x", "logger=csv", "data.num_workers=0"]
    assert sweep_folder("runs", "alpha", asked) == str(Path("runs", "multirun", "alpha"))
    assert Path(sweep_folder("runs", None, asked)).name == "loss-ce+contextrast__seed-0+1"
    assert "num_workers" in sweep_folder("runs", None, ["data.num_workers=0,1"]), "what varies tells sweeps apart"


def test_a_job_is_named_by_what_it_computes_and_what_tells_it_apart(tmp_path):
    job = sweep_config(tmp_path, "data=camvid", "data.root=/x", "seed=0", "trainer.log_every_n_steps=1")
    assert job.subdir == "seed-0__trainer.log_every_n_steps-1__data-camvid"


def test_sweeps_and_jobs_that_were_named_before_are_found(tmp_path):
    asked = ["seed=0,1", "loss=ce", "logger=csv"]
    former = tmp_path / "multirun" / "loss=ce,seed=0,1"
    former.mkdir(parents=True)
    assert sweep_folder(str(tmp_path), None, asked) == str(former)
    (former / "loss=ce,seed=0").mkdir()
    assert sweep_config(former, "seed=0", "loss=ce", "logger=csv").subdir == "loss=ce,seed=0"
    assert sweep_config(former, "seed=1", "loss=ce", "logger=csv").subdir == "loss-ce__seed-1"
