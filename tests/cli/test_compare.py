"""The command as users type it, and what it keeps, refuses and goes on with."""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import yaml

from contextrast.cli import compare
from contextrast.errors import ConfigError
from contextrast.runs.image_counts import read_image_counts
from contextrast.runs.lock import held
from contextrast.runs.results import Variant
from contextrast.tasks import series
from contextrast.tasks.compare import run
from contextrast.tasks.series import Series
from tests.cli.processes import ended, start, train
from tests.conftest import TINY

STREETS = [text for text in TINY if not text.startswith("trainer.precision")]


def compared(folder, *arguments):
    """What a comparison and the processes that it starts say; these are forked, for the sake of their imports."""

    def call(module, asked, job):
        command = start(module.rpartition(".")[2], folder, *asked, OMP_NUM_THREADS="1")
        if ended(command) != [0]:
            raise series.RunFailedError(f"{job.name}: {(folder / 'output.txt').read_text()}")

    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.setattr(series, "_call", call)
        compare.main([*arguments])
    return said.getvalue() + (folder / "output.txt").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A series of one loss on one seed."""
    folder = tmp_path_factory.mktemp("series")
    return folder, compared(folder, *STREETS, "--losses", "ce", "--seeds", "0", "--keep-checkpoints")


@pytest.mark.slow  # three interpreters import everything
def test_a_comparison_starts_commands_that_work(tmp_path):
    arguments = [*STREETS, "--losses", "ce", "--seeds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "contextrast.cli.compare", *arguments], cwd=tmp_path, text=True, capture_output=True,
        env=os.environ | {"COLUMNS": "80", "OMP_NUM_THREADS": "1"}, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "streets" / "loss-ce" / "0.json").is_file()


def test_a_run_leaves_a_record_with_its_images(finished):
    folder, printed = finished
    record = json.loads((folder / "results" / "streets" / "loss-ce" / "0.json").read_text())
    assert (record["recipe"], record["variant"], record["seed"]) == ("streets", "ce", 0)
    assert record["environment"]["hardware"]["torch_threads"] == 1
    assert "command" not in record["environment"]
    assert record["metrics"]["train_seconds"] > 0
    assert 0 <= record["metrics"]["b_miou"]["b_miou_3"] <= 1
    assert "data.num_workers=0" not in record["overrides"], "how files are read changes nothing"
    images = read_image_counts(folder / "results" / "streets" / "loss-ce" / "0.npz")
    assert len(images.names) == 4
    np.testing.assert_array_equal(images.confusion(images.whole)[:, :-1], record["metrics"]["confusion"])
    run_dir = folder / "runs" / "compare" / "streets" / "loss-ce" / "0"
    assert (run_dir / "metrics.json").is_file()
    for shown in ("loss=ce", "thin mIoU %", "B-mIoU %", "pixel acc. %"):
        assert shown in printed


def test_finished_runs_are_not_run_again(finished, monkeypatch, capsys):
    folder, _ = finished
    monkeypatch.chdir(folder)
    monkeypatch.setattr(series, "_call", lambda *_: pytest.fail("a run was started"))
    compare.main([*STREETS, "--losses", "ce", "--seeds", "0"])
    assert "loss=ce" in capsys.readouterr().out
    compare.main([*STREETS, "--losses", "ce", "contextrast loss.alpha=1", "--seeds", "0", "1", "--dry-run"])
    shown = capsys.readouterr().out
    assert "contextrast loss.alpha=1, seed 0: would run, about 0.0 h" in shown
    assert "ce, seed 0" not in shown
    assert "3 runs, about" in shown
    compare.main([*STREETS, "--losses", "ce", "pixel_contrast", "--seeds", "0", "--table-only"])
    assert "loss=pixel_contrast, seed 0: not run" in capsys.readouterr().out


def test_a_run_of_ones_own_is_taken(finished, tmp_path, monkeypatch):
    """The folder of a finished training, which lies elsewhere; its evaluation is there already."""
    folder, _ = finished
    run_dir = tmp_path / "my run"
    shutil.copytree(folder / "runs" / "compare" / "streets" / "loss-ce" / "0", run_dir)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(series, "_call", lambda *_: pytest.fail("a run was started"))
    arguments = [*STREETS, "--take", str(run_dir), "--results", "results/mine"]
    compare.main(arguments)
    paths = [root / "loss-ce" / name for root in (tmp_path / "results" / "mine",) for name in ("0.json", "0.npz")]
    first = json.loads((folder / "results" / "streets" / "loss-ce" / "0.json").read_text())
    assert json.loads(paths[0].read_text()) == first | {"recipe": "mine"}
    assert paths[1].read_bytes() == (folder / "results" / "streets" / "loss-ce" / "0.npz").read_bytes()
    assert (run_dir / "checkpoints" / "last.ckpt").is_file(), "what is not the series' own is left alone"
    for wrong, words in ((arguments, "already"), ([*arguments[:-1], "x", "data.batch_size=3"], "data.batch_size=3")):
        with pytest.raises(ConfigError, match=words):
            run(compare._parse(wrong))


@pytest.mark.parametrize("lacking", ["config.yaml", "metrics.json", "checkpoints/last.ckpt"])
def test_folders_without_a_finished_run_are_not_taken(finished, tmp_path, lacking):
    shutil.copytree(finished[0] / "runs" / "compare" / "streets" / "loss-ce" / "0", tmp_path / "run")
    (tmp_path / "run" / lacking).unlink()
    with pytest.raises(ConfigError, match=rf"--take .*{lacking.replace('.', '[.]')}"):
        Series(tmp_path / "results", tmp_path / "runs").taken(tmp_path / "run")


def test_the_loss_of_a_taken_run_is_known_where_nobody_typed_it(finished, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(finished[0] / "runs" / "compare" / "streets" / "loss-ce" / "0", run_dir)
    (run_dir / "overrides.yaml").write_text(yaml.safe_dump(["loss.alpha=1", "data.root=x", "seed=0"]))
    assert Series(tmp_path / "results", tmp_path / "runs").taken(run_dir).name == "ce loss.alpha=1, seed 0"
    (run_dir / "overrides.yaml").write_text(yaml.safe_dump(["loss=ce", "data=camvid"]))
    with pytest.raises(ConfigError, match="data=camvid, which results have in common"):
        Series(tmp_path / "results", tmp_path / "runs").taken(run_dir)


def write_record(results, folder, variant, seed, overrides=(), **metrics):
    path = results / folder / f"{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"recipe": results.name, "variant": variant, "seed": seed, "overrides": list(overrides)}
    path.write_text(json.dumps(content | {"metrics": {"miou": 0.5, **metrics}}))


def test_a_failed_run_leaves_the_others_alone_and_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    called = []

    def call(module, arguments, job):
        called.append((job.name, module))
        if job.variant.loss == "ce":
            raise series.RunFailedError(f"{job.name}: train failed with exit code 1; see above.")
        for name in ("evaluation", "checkpoints"):
            (job.run_dir / name).mkdir(parents=True, exist_ok=True)
        folder = job.run_dir / "evaluation" if "evaluate" in module else job.run_dir
        metrics = {"single_scale": {"miou": 0.5}, "split": "val", "step": 2} if "evaluate" in module else {"step": 2}
        (folder / "metrics.json").write_text(json.dumps(metrics))

    monkeypatch.setattr(series, "_call", call)
    with pytest.raises(SystemExit) as stopped:
        compare.main(["--losses", "ce", "contextrast", "--seeds", "0", "--results", "results/x"])
    assert stopped.value.code == 1
    assert "ce, seed 0: train failed" in capsys.readouterr().err
    assert [name for name, _ in called] == ["ce, seed 0", "contextrast, seed 0", "contextrast, seed 0"]
    assert (tmp_path / "results/x/loss-contextrast/0.json").is_file()
    assert not (tmp_path / "runs/compare/x/loss-contextrast/0/checkpoints").exists(), "what is recorded needs none"


def calls(monkeypatch, folder, prepare):
    """What a series starts for a run whose folder was prepared."""
    found = []
    made = Series(folder / "results" / "x", folder / "runs", ["data=streets"])
    (job,) = made.jobs([Variant("ce")], [0])
    prepare(job.run_dir)

    def call(module, arguments, job):
        found.append([module.rpartition(".")[2], *arguments])
        raise series.RunFailedError("stop here")

    monkeypatch.setattr(series, "_call", call)
    with pytest.raises(series.RunFailedError):
        made.run(job)
    return found[0], job


def test_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    def interrupted(run_dir):
        (run_dir / "checkpoints").mkdir(parents=True)
        (run_dir / "checkpoints" / "last.ckpt").touch()

    started, job = calls(monkeypatch, tmp_path, interrupted)
    assert started[0] == "train"
    assert f'resume="{job.run_dir}"' in started


def test_a_run_that_stopped_before_its_first_checkpoint_starts_anew(tmp_path, monkeypatch):
    def early(run_dir):
        run_dir.mkdir(parents=True)
        (run_dir / "metrics.csv").write_text("step\n1\n")

    started, job = calls(monkeypatch, tmp_path, early)
    assert not any(text.startswith("resume") for text in started)
    assert not (job.run_dir / "metrics.csv").exists()


def test_a_trained_run_is_only_evaluated(tmp_path, monkeypatch):
    def trained(run_dir):
        run_dir.mkdir(parents=True)
        (run_dir / "metrics.json").write_text("{}")
        (run_dir / "overrides.yaml").write_text(yaml.safe_dump(["data=streets", "logger=csv", "loss=ce", "seed=0"]))

    started, _ = calls(monkeypatch, tmp_path, trained)
    assert started[0] == "evaluate"


def test_a_trained_run_of_other_settings_is_refused(tmp_path, monkeypatch):
    def other(run_dir):
        run_dir.mkdir(parents=True)
        (run_dir / "metrics.json").write_text("{}")
        (run_dir / "overrides.yaml").write_text(yaml.safe_dump(["data=camvid", "loss=ce"]))

    with pytest.raises(ConfigError, match=r"data=camvid data=streets.*--runs"):
        calls(monkeypatch, tmp_path, other)


def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path):
    made = Series(tmp_path / "results" / "x", tmp_path / "runs")
    job = made.job(Variant("ce"), 0)
    job.run_dir.mkdir(parents=True)
    for lock in (
        job.run_dir.with_name(".0.lock"),
        job.run_dir / ".lock",
    ):  # a series, and the training of one that was killed
        with held(lock) as mine:
            assert mine
            assert made.run(job) is False


def test_a_run_whose_last_checkpoint_is_missing_goes_on_from_the_one_before(tmp_path):
    """As a crash between two renames leaves it: the real command trains on, and what was done before is kept."""
    settings = [
        *STREETS, "trainer.max_steps=6", "trainer.log_every_n_steps=1", "callbacks.last_checkpoint.every_n_steps=2",
        "trainer.val_check_interval=100", "loss=ce", "seed=0", "logger=csv", "callbacks.pictures.num_images=0",
    ]  # fmt: skip
    run_dir = tmp_path / "runs" / "compare" / "streets" / "loss-ce" / "0"
    assert ended(train(tmp_path, *settings, f"hydra.run.dir={run_dir}")) == [0]
    (run_dir / "metrics.json").unlink()
    (run_dir / "checkpoints" / "last.ckpt").unlink()
    before = (run_dir / "metrics.csv").read_text().splitlines()
    overrides = [text for text in settings if not text.startswith(("loss=", "seed="))]
    said = compared(tmp_path, *overrides, "--losses", "ce", "--seeds", "0", "--keep-checkpoints")
    assert "last-1.ckpt" in said
    assert (run_dir / "metrics.csv").read_text().splitlines()[:4] == before[:4]
    assert (tmp_path / "results" / "streets" / "loss-ce" / "0.json").is_file()


def test_results_of_other_overrides_are_no_part_of_a_series(tmp_path):
    results = tmp_path / "camvid_short"
    write_record(results, "ce", "ce", 0, ["data.crop=[64,64]"])
    with pytest.raises(ConfigError, match=r"data\.crop=\[64,64\].*trainer\.max_steps=5.*--results"):
        Series(results, tmp_path, ["trainer.max_steps=5"]).jobs([Variant("ce")], [0])


def test_results_of_earlier_folder_names_are_found(tmp_path):
    results = tmp_path / "camvid_short"
    write_record(results, "contextrast,negatives.error_map=others", "contextrast loss.negatives.error_map=others", 0)
    made = Series(results, tmp_path, ["experiment=camvid_short", "data.root=/somewhere", "data.num_workers=1"])
    jobs = made.jobs([Variant.parse("contextrast loss.negatives.error_map=others")], [0, 1])
    assert [job.seed for job in jobs] == [1]
    assert jobs[0].record == results / "loss-contextrast__loss.negatives.error_map-others" / "1.json"


def test_folders_have_no_characters_that_shells_read_and_stay_apart():
    texts = ["a loss.x=[1,2]", "a loss.x=[1.2]", "a 'loss.x={a: 1}'".replace(" 1", "1"), f"a loss.x={'y' * 300}"]
    folders = [Variant.parse(text).folder for text in texts]
    assert len(set(folders)) == len(folders)
    for name in folders:
        assert not set(name) & set("=, []{}()'\"")
        assert len(name) < 200


def test_variants_are_equal_in_any_order():
    assert Variant.parse("a x=1 y=2").key == Variant.parse("a  y=2 x=1").key


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--losses", "loss=ce"], '"loss=ce" is no loss with overrides'),
        (["--losses", "ce contextrast"], "is no loss with overrides"),
        (["--losses", "focall"], "focall"),
        (["--losses", "contextrast loss.alfa=1"], "loss.alfa"),
        (["--table-only", "--results", "nowhere"], "nowhere holds no results"),
        (["--take", "nowhere"], "nowhere: it has no config.yaml"),
    ],
)
def test_mistakes_show_before_the_first_run(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(series, "_call", lambda *_: pytest.fail("a run was started"))
    with pytest.raises(SystemExit) as stopped:
        compare.main(arguments)
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_loss_without_its_option_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        compare.main(["ce", "contextrast"])
    assert stopped.value.code == 2
    assert "Losses come after --losses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "losses", "seeds"),
    [
        (["losses=[ce,contextrast]", "seeds=3"], ["ce", "contextrast"], [0, 1, 2]),
        (["losses=ce", "seeds=[4,7]"], ["ce"], [4, 7]),
        (["--losses", "ce", "--seeds", "5"], ["ce"], [5]),
    ],
)
def test_losses_and_seeds_may_be_typed_as_settings(typed, losses, seeds):
    arguments = compare._parse(["data=streets", *typed])
    assert (arguments.losses, arguments.seeds, arguments.overrides) == (losses, seeds, ["data=streets"])


def test_seeds_that_are_no_numbers_are_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        compare._parse(["losses=ce", "seeds=many"])
    assert "seeds=many" in capsys.readouterr().err
