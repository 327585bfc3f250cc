"""metrics.csv and the decision where W&B writes to."""

import csv
import warnings
from pathlib import Path

import pytest

from contextrast.runs.loggers import RunCsv, RunWandb, default_mode, finish_loggers
from tests.reporting.wandb_record import records_in, sign_out


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_rows_land_in_the_run_folder_beside_other_files(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0")
    logger = RunCsv(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logger.log_hyperparams({"lr": 0.1})
        logger.log_metrics({"train/loss": 2.0}, step=9)
        logger.log_metrics({"val/miou": 0.5}, step=9)
        logger.finalize("success")
    assert rows(tmp_path) == [{"step": "9", "train/loss": "2.0"}, {"step": "9", "val/miou": "0.5"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "metrics.csv"]


def test_a_resumed_run_keeps_its_rows(tmp_path: Path) -> None:
    for step, name in ((9, "train/loss"), (19, "val/miou"), (29, "train/loss")):
        logger = RunCsv(tmp_path)
        logger.log_metrics({name: 1.0}, step=step)
        finish_loggers([logger], failed=True)
    assert rows(tmp_path) == [
        {"step": "9", "train/loss": "1.0"},
        {"step": "19", "val/miou": "1.0"},
        {"step": "29", "train/loss": "1.0"},
    ]


def test_rows_are_readable_while_the_run_goes_on(tmp_path: Path) -> None:
    RunCsv(tmp_path).log_metrics({"train/loss": 2.0}, step=3)
    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize(
    ("netrc", "variables", "mode"),
    [
        (None, {}, "offline"),
        (None, {"WANDB_API_KEY": "k"}, "online"),
        (None, {"WANDB_MODE": "disabled"}, "disabled"),
        ("machine api.wandb.ai login user password key", {}, "online"),
        ("machine example.org login user password key", {}, "offline"),
        (
            "machine wandb.example.org login user password key",
            {"WANDB_BASE_URL": "https://wandb.example.org"},
            "online",
        ),
        ("this is not a netrc file", {}, "offline"),
    ],
)
def test_offline_unless_logged_in_or_told(netrc, variables, mode, tmp_path, monkeypatch) -> None:
    sign_out(monkeypatch, tmp_path)
    if netrc is not None:
        (tmp_path / ".netrc").write_text(netrc)
        (tmp_path / ".netrc").chmod(0o600)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_mode() == mode


def test_a_netrc_named_by_the_environment_counts(tmp_path, monkeypatch) -> None:
    sign_out(monkeypatch, tmp_path)
    file = tmp_path / "elsewhere"
    file.write_text("machine api.wandb.ai login user password key")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert default_mode() == "online"


@pytest.fixture(scope="module")
def two_jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two jobs of one process, as a sweep runs them; the second fails."""
    folder = tmp_path_factory.mktemp("jobs")
    with pytest.MonkeyPatch.context() as patch:
        sign_out(patch, tmp_path_factory.mktemp("home"))
        for name, failed in (("first", False), ("second", True)):
            (folder / name).mkdir()
            logger = RunWandb(folder / name, name=name, group="both", tags=["a", "b"], settings={"console": "off"})
            logger.log_hyperparams({"optimizer": {"lr": 0.1}})
            logger.log_metrics({"train/loss": 1.5}, step=4)
            finish_loggers([logger], failed)
            finish_loggers([logger], failed)  # finishing twice changes nothing
    return folder


def test_each_job_has_one_run_and_both_are_finished(two_jobs: Path) -> None:
    (first,), (second,) = records_in(two_jobs / "first"), records_in(two_jobs / "second")
    assert (first.exit_code, second.exit_code) == (0, 1)
    assert first.run.run_id != second.run.run_id
    assert (first.run.display_name, second.run.display_name) == ("first", "second")


def test_a_run_carries_group_tags_config_and_steps(two_jobs: Path) -> None:
    (record,) = records_in(two_jobs / "first")
    assert record.run.project == "contextrast"
    assert record.run.run_group == "both"
    assert list(record.run.tags) == ["a", "b"]
    assert record.config["optimizer"] == {"lr": 0.1}
    assert record.history["train/loss"] == [1.5]
    assert record.history["trainer/global_step"] == [4]


def test_a_logger_that_was_never_used_leaves_no_run(tmp_path: Path, monkeypatch) -> None:
    sign_out(monkeypatch, tmp_path)
    finish_loggers([RunWandb(tmp_path)], failed=True)
    assert records_in(tmp_path) == []
