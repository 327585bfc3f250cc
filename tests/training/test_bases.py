"""loss/base=NAME: one override for every loss, and a run's checkpoint, curves and replay know it."""

import csv
from types import SimpleNamespace

import pytest
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.cli import train
from contextrast.config import instantiate
from contextrast.training.assembly import build_datamodule, build_module
from contextrast.training.replay import keep_step, load_replay
from tests.conftest import TINY, choices

REGIONS = {"lovasz", "dice", "tversky"}


@pytest.mark.parametrize("loss", choices("loss"))
def test_every_loss_takes_every_base_its_weight_and_the_options_of_cross_entropy(composed, loss):
    assert set(choices("loss/base")) == REGIONS | {"cross_entropy", "focal"}
    for base in ("lovasz", "focal"):
        own = [f"loss.base.weights.{base}=0.25"] if base in REGIONS else []
        options = [f"loss/base={base}", *own, "loss.base.cross_entropy.label_smoothing=0.1"]
        made = instantiate(
            composed("train", f"loss={loss}", *options).loss, num_classes=11, in_channels=[3, 3, 3, 3]
        ).base
        assert made.weights == {"cross_entropy": 1.0, **({base: 0.25} if own else {})}
        assert set(made.losses) == set(made.weights)
        assert made.losses["cross_entropy"].label_smoothing == 0.1
        assert made.losses["cross_entropy"].focal_gamma == (2.0 if base == "focal" else 0.0)


@pytest.mark.parametrize("base", [*sorted(REGIONS), "focal"])  # cross_entropy is what all other tests train with
def test_a_run_with_each_base(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [*TINY, f"loss/base={base}", "logger=csv", "trainer.log_every_n_steps=1", "hydra.run.dir=run"]
    monkeypatch.setattr("sys.argv", ["train", *arguments, "callbacks.pictures.num_images=0"])
    train.main()
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    terms = {"cross_entropy", "pixel_anchor"} | ({base} & REGIONS)
    assert {name for name in rows[0] if name.startswith("train/")} == {"train/loss", *(f"train/{t}" for t in terms)}
    for row in rows:
        weights = {"pixel_anchor": 0.1}
        total = sum(weights.get(name, 1.0) * float(row[f"train/{name}"]) for name in terms)
        assert float(row["train/loss"]) == pytest.approx(total, rel=1e-5)
    checkpoint = load_checkpoint("run/checkpoints/last.ckpt")
    assert set(checkpoint.config["loss"]["base"]["weights"]) == terms - {"pixel_anchor"}
    assert checkpoint.heads(checkpoint.network()) is not None


def batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
    return {"image": image, "mask": (image[:, 0] // 24).long(), "name": ["a", "b"]}


def test_a_replay_and_an_auxiliary_head_have_the_base(composed, tmp_path, monkeypatch):
    options = ["loss/base=lovasz", "loss.base.weights.lovasz=0.5", "loss.base.cross_entropy.class_weights=auto"]
    options += ["data.dataset.lengths.train=40", "data.dataset.size=[96,128]", "module.auxiliary_stage=4"]
    config = composed("train", *TINY, *options)
    module = build_module(config, build_datamodule(config.data)).eval()
    monkeypatch.setattr(type(module), "trainer", SimpleNamespace(default_root_dir=tmp_path))
    keep_step(module, 0, [batch()])
    monkeypatch.setattr(
        "contextrast.data.SegmentationDataModule.class_frequencies", lambda self: pytest.fail("counted once more")
    )
    again, (kept,) = load_replay(tmp_path / "replay_step_000000.pt")
    terms = again.eval().loss_terms(kept)
    torch.testing.assert_close(dict(terms), dict(module.loss_terms(batch())))
    assert set(terms) == {"total", "cross_entropy", "lovasz", "pixel_anchor", "auxiliary"}
    base = terms["cross_entropy"] + 0.5 * terms["lovasz"]
    torch.testing.assert_close(terms.total, base + 0.1 * terms["pixel_anchor"] + 0.4 * terms["auxiliary"])
    logits = torch.randn(2, 11, 64, 64)
    parts = module._with_auxiliary(terms, logits, batch()["mask"])
    torch.testing.assert_close(parts["auxiliary"], module.loss.base(logits, batch()["mask"]))
    assert parts["auxiliary"] > module.loss.base.losses["cross_entropy"](logits, batch()["mask"])
