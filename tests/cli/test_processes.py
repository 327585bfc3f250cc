"""Runs of real processes: on two devices, two at a time, killed, asked to stop."""

import csv
import json
import os
import shutil
import signal
import time
from itertools import chain
from pathlib import Path

import pytest
import torch
import yaml

from contextrast.runs.image_counts import read_image_counts
from contextrast.runs.lock import is_running
from tests.analysis.checkpoints import tiny_module, written
from tests.cli.processes import ended, start, start_two, train, train_on_two, wait_for
from tests.conftest import TINY

RUN = [
    *(text for text in TINY if "max_steps" not in text), "data.batch_size=2", "loss=contextrast", "logger=csv",
    "trainer.max_steps=6", "trainer.val_check_interval=3", "trainer.log_every_n_steps=1",
    "callbacks.last_checkpoint.every_n_steps=2", "callbacks.pictures.num_images=0", "trainer.precision=32-true",
]  # fmt: skip
ENDLESS = [*RUN, "scheduler=constant", "trainer.max_steps=100000", "trainer.val_check_interval=100000"]


def last(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def has_saved(run):
    return (run / "checkpoints" / "last.ckpt").is_file


def copied(run, path):
    shutil.copytree(run, path, ignore=shutil.ignore_patterns(".lock"))
    return path


@pytest.fixture(scope="module")
def killed_on_two(tmp_path_factory):
    """A run of two processes that was killed on its way."""
    folder = tmp_path_factory.mktemp("two")
    processes = train_on_two(folder, *RUN, "hydra.run.dir=run")
    wait_for(has_saved(folder / "run"), *processes)
    for process in processes:
        process.kill()
    ended(*processes)
    assert not (folder / "run" / "metrics.json").exists()
    return folder / "run"


def test_a_run_on_two_devices_goes_on_bit_for_bit(killed_on_two, tmp_path):
    whole = train_on_two(tmp_path, *RUN, "hydra.run.dir=whole")
    assert ended(*whole) == [0, 0]
    run = copied(killed_on_two, tmp_path / "run")
    assert ended(*train_on_two(tmp_path, f"resume={run}")) == [0, 0]
    one, other = last(tmp_path / "whole"), last(run)
    assert one["global_step"] == other["global_step"] == 6
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][key], value, rtol=0, atol=0, msg=key)
    moments = [chain.from_iterable(state.values() for state in end["optimizer_states"][0]["state"].values())
               for end in (one, other)]  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*moments, strict=True))


def test_curves_are_of_all_processes(killed_on_two):
    """The total that is logged is that of its terms, which are sums over all images: no process's own share."""
    with (killed_on_two / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert rows
    alpha = yaml.safe_load((killed_on_two / "config.yaml").read_text())["loss"]["alpha"]
    for row in rows:
        total = float(row["train/cross_entropy"]) + alpha * float(row["train/pixel_anchor"])
        assert float(row["train/loss"]) == pytest.approx(total, rel=1e-5)


def test_a_run_on_two_devices_goes_on_on_one_with_the_same_images_per_step(killed_on_two, tmp_path):
    run = copied(killed_on_two, tmp_path / "run")
    assert ended(train(tmp_path, f"resume={run}", "trainer.devices=1")) == [1]
    assert "data.batch_size" in (tmp_path / "output.txt").read_text()
    assert ended(train(tmp_path, f"resume={run}", "trainer.devices=1", "data.batch_size=4")) == [0]
    assert last(run)["global_step"] == 6


def test_a_process_that_is_stopped_is_waited_for_as_long_as_the_user_says(tmp_path):
    processes = train_on_two(tmp_path, *ENDLESS, "trainer.collective_timeout=5", "hydra.run.dir=run")
    wait_for(has_saved(tmp_path / "run"), *processes)
    os.kill(processes[1].pid, signal.SIGSTOP)
    assert ended(processes[0]) == [1]
    processes[1].kill()
    printed = (tmp_path / "output_0.txt").read_text()
    assert "LostProcessError" in printed
    assert f"resume={tmp_path / 'run'}" in printed


def test_a_run_on_one_device_goes_on_on_two(tmp_path):
    run = tmp_path / "run"
    process = train(tmp_path, *RUN, "data.batch_size=4", "hydra.run.dir=run")
    wait_for(has_saved(run), process)
    process.kill()
    ended(process)
    assert ended(*train_on_two(tmp_path, f"resume={run}", "data.batch_size=2")) == [0, 0]
    assert last(run)["global_step"] == 6
    assert json.loads((run / "metrics.json").read_text())["step"] == 6


def test_a_folder_belongs_to_one_run_at_a_time(tmp_path):
    """The second start changes nothing, latest passes over what is alive, and a killed run's lock is gone."""
    run = tmp_path / "runs" / "first"
    process = train(tmp_path, *ENDLESS, "hydra.run.dir=runs/first")
    wait_for(has_saved(run), process)
    assert is_running(run)
    settings = (run / "config.yaml").read_text()
    second = [
        train(tmp_path, *ENDLESS, "seed=1", "hydra.run.dir=runs/first", output="second.txt"),
        train(tmp_path, "resume=runs/first", output="third.txt"),
        train(tmp_path, "resume=latest", output="latest.txt"),
    ]
    assert ended(*second) == [1, 1, 1]
    assert "being trained" in (tmp_path / "latest.txt").read_text()
    assert process.is_alive()
    assert (run / "config.yaml").read_text() == settings
    process.kill()
    ended(process)
    assert not is_running(run)


def test_an_unfinished_run_is_not_started_anew_by_the_same_command(tmp_path):
    run = tmp_path / "run"
    process = train(tmp_path, *ENDLESS, "hydra.run.dir=run")
    wait_for(has_saved(run), process)
    process.kill()
    ended(process)
    step, files = last(run)["global_step"], {path: path.stat().st_mtime_ns for path in run.rglob("*.c*")}
    assert ended(train(tmp_path, *ENDLESS, "hydra.run.dir=run")) == [1]
    assert f'resume="{run}"' in (tmp_path / "output.txt").read_text()
    assert last(run)["global_step"] == step
    assert {path: path.stat().st_mtime_ns for path in files} == files


def workers(process):
    """Processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])  # the others: tests/callbacks/test_checkpoints.py
def test_a_signal_saves_once_names_the_way_on_and_ends_with_its_code(number, tmp_path):
    """Sent twice within a moment; with a worker that reads, which a terminal's signal reaches, too."""
    run = tmp_path / "run"
    process = train(tmp_path, *ENDLESS, "callbacks.last_checkpoint.every_n_steps=1000",
                    "data.num_workers=1", "hydra.run.dir=run")  # fmt: skip
    curves = run / "metrics.csv"
    wait_for(lambda: curves.is_file() and len(curves.read_text().splitlines()) > 2, process)
    reading = workers(process)
    assert reading
    for _ in range(2):
        for pid in (process.pid, *reading):
            os.kill(pid, number)
        time.sleep(0.01)
    assert ended(process) == [128 + number]
    printed = (tmp_path / "output.txt").read_text()
    assert f"resume={run}" in printed
    assert "Traceback" not in printed
    stopped = last(run)["global_step"]
    assert stopped >= 2
    assert steps_of(curves) == list(range(1, stopped)), "the row of the last step is in the checkpoint"
    process = train(tmp_path, f"resume={run}", output="again.txt")
    wait_for(lambda: curves.is_file() and len(steps_of(curves)) > stopped + 2, process)
    process.kill()
    ended(process)
    assert steps_of(curves) == list(range(1, len(steps_of(curves)) + 1))


def steps_of(curves):
    """Steps of the rows of a file of curves."""
    with curves.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_ctrl_c_ends_a_sweep_after_saving_the_job(tmp_path):
    process = train(tmp_path, "-m", *ENDLESS, "seed=1,2", "hydra.sweep.dir=sweep")
    wait_for(lambda: next(tmp_path.glob("sweep/*/checkpoints/last.ckpt"), None) is not None, process)
    os.kill(process.pid, signal.SIGINT)
    assert ended(process) == [130]
    assert len(list(tmp_path.glob("sweep/*/config.yaml"))) == 1, "the second job was not begun"
    assert "sweep ends" in (tmp_path / "output.txt").read_text()
    saved = last(next(tmp_path.glob("sweep/*/config.yaml")).parent)["global_step"]
    process = train(tmp_path, "-m", *ENDLESS, "seed=1,2", "hydra.sweep.dir=sweep", output="again.txt")
    again = tmp_path / "again.txt"
    wait_for(lambda: again.is_file() and f"from step {saved}" in again.read_text(), process)


def test_a_sweep_s_job_whose_last_checkpoint_is_missing_goes_on_from_the_one_before(tmp_path):
    sweep = ["-m", *RUN, "seed=1", "hydra.sweep.dir=sweep"]
    assert ended(train(tmp_path, *sweep)) == [0]
    (run,) = (path.parent for path in tmp_path.glob("sweep/*/config.yaml"))
    before = last(run)
    (run / "metrics.json").unlink()
    (run / "checkpoints" / "last.ckpt").unlink()
    assert ended(train(tmp_path, *sweep, output="again.txt")) == [0]
    assert "last-1.ckpt" in (tmp_path / "again.txt").read_text()
    assert last(run)["global_step"] == 6
    assert all(torch.equal(value, last(run)["state_dict"][key]) for key, value in before["state_dict"].items())


def test_a_signal_before_the_first_step_ends_in_good_order(tmp_path):
    process = train(tmp_path, *ENDLESS, "hydra.run.dir=run")
    wait_for((tmp_path / "run" / "environment.json").is_file, process)
    os.kill(process.pid, signal.SIGINT)
    assert ended(process) == [130]
    printed = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in printed
    assert str(tmp_path / "run") in printed


def test_two_processes_evaluate_as_one(tmp_path):
    """Five images in batches of two: three images for one process, two for the other."""
    checkpoint = written(tiny_module(tmp_path, "loss=contextrast"), tmp_path / "a.ckpt")
    measures = "metrics=[miou,b_miou,boundary_iou,object_scale,features]"
    lengths = "+data.dataset={_target_:contextrast.data.Streets,_partial_:true,size:[64,96],lengths:{val:5}}"
    asked = [f"checkpoint={checkpoint}", lengths, measures, "data.num_workers=0", "data.eval_batch_size=2",
             "protocols.multi_scale.scales=[0.5,1.0]"]  # fmt: skip
    assert ended(start("evaluate", tmp_path, "trainer.accelerator=cpu", *asked, "hydra.run.dir=one")) == [0]
    assert ended(*start_two("evaluate", tmp_path, *asked, "hydra.run.dir=two")) == [0, 0]
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert sum(map(sum, one["single_scale"]["confusion"])) <= 5 * 64 * 96
    assert flat(one) == pytest.approx(flat(two), abs=1e-6)
    for path in (tmp_path / "one").glob("*.npz"):
        first, second = (read_image_counts(folder / path.name) for folder in (path.parent, tmp_path / "two"))
        assert first.names == second.names
        assert (first.whole == second.whole).all()
        assert (first.band == second.band).all()
    printed = [(tmp_path / name).read_text() for name in ("output_0.txt", "output_1.txt")]
    assert "Numbers:" in printed[0]
    assert "Numbers:" not in printed[1]


def flat(content, prefix=""):
    """Numbers and texts by dotted key."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        return {name: value for key, inner in items for name, value in flat(inner, f"{prefix}.{key}").items()}
    return {prefix: content}
