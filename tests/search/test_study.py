"""A search: trials without prospects are stopped, and the same command goes on where it was."""

import optuna
import pytest

from contextrast.errors import ConfigError
from contextrast.search import search
from tests.conftest import TINY

SHORT = [text for text in TINY if "max_steps" not in text]
COMMAND = [
    *SHORT, "search=contrast", "logger=csv", "callbacks.pictures.num_images=0", "hydra.sweep.dir=sweep",
    "trainer.max_steps=2", "trainer.val_check_interval=1", "optimizer.lr=interval(0.001,0.1)",
]  # fmt: skip

AXES = ("optimizer.lr", "loss.alpha", "loss.temperature", "loss.negatives.percentage")


class Merciless(optuna.pruners.BasePruner):
    """Prunes every trial but the first."""

    def prune(self, study, trial):
        return trial.number > 0


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        search([*COMMAND, "hydra.sweeper.n_trials=1"], Merciless())
        study = search([*COMMAND, "hydra.sweeper.n_trials=2"], Merciless())
    return folder / "sweep", study.get_trials()


def test_a_trial_without_prospects_is_stopped_and_is_no_failure(searched):
    folder, trials = searched
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED"]
    assert list(trials[1].intermediate_values) == [1], "pruned after its first step"
    assert len(list(folder.glob("*/metrics.json"))) == 1
    assert not list(folder.glob("*/error.txt"))


def test_started_again_it_goes_on(searched):
    assert len(searched[1]) == 2, "one trial each start, as the study counts what is there"
    assert 0.001 <= searched[1][1].params["optimizer.lr"] <= 0.1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer.val_check_interval=2"], "Choose a smaller interval"),
        ([f"{key}=1" for key in AXES], "Nothing to search over"),
    ],
)
def test_a_search_that_cannot_work_is_refused_before_the_first_trial(overrides, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        search([*COMMAND, *overrides], optuna.pruners.NopPruner())
    assert not list(tmp_path.rglob("study.db"))


def test_a_misspelt_key_is_refused_before_the_first_trial(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="alhpa"):
        search([*COMMAND, "loss.alhpa=interval(0,1)"], optuna.pruners.NopPruner())
    assert not list(tmp_path.rglob("study.db"))
