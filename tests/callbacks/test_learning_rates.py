"""Learning rates share the rows of the losses."""

import csv

from contextrast.callbacks import LearningRates
from contextrast.runs.loggers import RunCsv


def test_rates_of_every_group_stand_beside_the_loss(module, data, trainer_for, tmp_path) -> None:
    trainer = trainer_for([LearningRates()], [RunCsv(tmp_path)])
    trainer.fit(module, data)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == [1, 3, 5]
    assert {(row["lr/encoder"], row["lr/decoder"]) for row in rows} == {("0.5", "0.25")}
    assert not any("no_decay" in name for name in rows[0])


def test_a_run_without_loggers_is_no_error(module, data, trainer_for) -> None:
    trainer = trainer_for([LearningRates()])
    trainer.fit(module, data)
    assert trainer.callback_metrics["lr/encoder"] == 0.5
