"""One bar for the run, counted in steps."""

import io
import re

import pytest
import rich
from rich.console import Console

from contextrast.callbacks import StepsProgressBar
from contextrast.callbacks.progress import readable


class Watched(StepsProgressBar):
    """Notes the training bar after every batch."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.seen: list[tuple[int, float, float]] = []
        self.output = ""

    def on_train_batch_end(self, trainer, *arguments) -> None:
        super().on_train_batch_end(trainer, *arguments)
        bar = self.train_progress_bar
        self.seen.append((self.train_progress_bar_id, bar.completed, bar.total))


@pytest.mark.parametrize(("limits", "total"), [({"max_steps": 10}, 10), ({"max_steps": -1, "max_epochs": 3}, 12)])
def test_epochs_do_not_restart_the_bar(limits, total, module, data, trainer_for) -> None:
    bar = Watched()
    trainer_for([bar], enable_progress_bar=True, **limits).fit(module, data)
    assert bar.seen == [(bar.seen[0][0], step, total) for step in range(1, total + 1)]


def test_a_resumed_run_starts_where_it_stopped(module, data, trainer_for, tmp_path) -> None:
    first = trainer_for([StepsProgressBar()], enable_progress_bar=True, max_steps=5)
    first.fit(module, data)
    first.save_checkpoint(tmp_path / "at_5.ckpt")
    bar = Watched()
    trainer = trainer_for([bar], enable_progress_bar=True, max_steps=8)
    trainer.fit(module, data, ckpt_path=tmp_path / "at_5.ckpt", weights_only=True)
    assert [completed for _, completed, _ in bar.seen] == [6, 7, 8]


def test_accumulated_batches_count_as_one_step(module, data, trainer_for) -> None:
    bar = Watched()
    trainer_for([bar], enable_progress_bar=True, max_steps=4, accumulate_grad_batches=2).fit(module, data)
    assert [completed for _, completed, _ in bar.seen] == [0, 1, 1, 2, 2, 3, 3, 4]


def test_loss_and_miou_are_shown_in_readable_units(module, data, trainer_for) -> None:
    bar = StepsProgressBar()
    trainer = trainer_for([bar], enable_progress_bar=True)
    trainer.fit(module, data)
    shown = bar.get_metrics(trainer, module)
    assert shown == {
        "loss": f"{trainer.callback_metrics['train/loss']:.3f}",
        "mIoU": f"{100 * trainer.callback_metrics['val/miou']:.1f}%",
    }
    assert readable("mIoU", 0.61249) == "61.2%"
    assert readable("loss", 0.61249) == "0.612"


def test_values_are_read_from_the_device_once_in_a_while(module, data, trainer_for) -> None:
    reads = 0

    class Counting(StepsProgressBar):
        def get_metrics(self, trainer, pl_module):
            nonlocal reads
            reads += 1
            return super().get_metrics(trainer, pl_module)

    bar = Counting(seconds_between_values=1e6, seconds_between_lines=1e6)
    options = {"max_steps": 20, "val_check_interval": 1000, "num_sanity_val_steps": 0}
    trainer_for([bar], enable_progress_bar=True, **options).fit(module, data)
    assert reads == 2, "at the first step and at the last"


def test_without_a_terminal_there_are_lines_to_read(module, data, trainer_for, capsys) -> None:
    bar = StepsProgressBar()
    trainer_for([bar], enable_progress_bar=True).fit(module, data)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["3/6", "6/6"]
    assert all("loss" in line and "mIoU" in line and line.endswith("%") for line in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_bar_and_values_fit_into_one_line(width, module, data, trainer_for) -> None:
    file = io.StringIO()
    bar = StepsProgressBar(console_kwargs={"file": file, "force_terminal": True, "width": width, "color_system": None})
    trainer_for([bar], enable_progress_bar=True, max_steps=10).fit(module, data)
    drawn = re.findall(r"Training .*", file.getvalue())
    assert re.search(r"━{10,} 10/10 .*(/s|s each) +loss: \d\.\d{3} mIoU: \d+\.\d%", drawn[-1])


def test_a_terminal_gets_no_lines(module, data, trainer_for) -> None:
    file = io.StringIO()
    bar = StepsProgressBar(console_kwargs={"file": file, "force_terminal": True, "width": 120})
    trainer_for([bar], enable_progress_bar=True).fit(module, data)
    assert "Training" in file.getvalue()
    assert "step 3/6" not in file.getvalue()


def test_the_bar_can_be_switched_off(module, data, trainer_for, capsys) -> None:
    trainer_for([StepsProgressBar(refresh_rate=0)], enable_progress_bar=True).fit(module, data)
    assert capsys.readouterr().out == ""


@pytest.fixture(autouse=True)
def fresh_console():
    """The bar replaces rich's global console; what pytest captures has to reach it, and later tests get their own."""
    before = rich._console
    rich._console = Console()
    yield
    rich._console = before
