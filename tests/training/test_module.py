"""The Lightning module: what a step does, what is logged, what a checkpoint holds."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import PolynomialLR
from torch.utils.data import DataLoader

from contextrast.benchmarks.operations import Operations
from contextrast.callbacks import AnchorUpdate
from contextrast.contrast import ContextrastLoss, CrossEntropyLoss, LossTerms
from contextrast.data.labels import LabelTable
from contextrast.errors import ConfigError, NonFiniteLossError
from contextrast.models import Segmenter
from contextrast.training.module import SegmentationModule

LABELS = LabelTable("three", ("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def network():
    torch.manual_seed(0)
    return Segmenter(
        num_classes=3, mean=[0.5] * 3, std=[0.5] * 3, architecture="FPN", encoder="resnet18", encoder_weights=None,
        decoder_pyramid_channels=8, decoder_segmentation_channels=32,
    )  # fmt: skip


def module(loss=None, **options):
    net = network()
    loss = ContextrastLoss(3, net.stage_channels, embedding_dim=8, **options) if loss is None else loss
    return SegmentationModule(
        net, loss, LABELS, partial(SGD, lr=0.02, momentum=0.9, weight_decay=5e-4),
        partial(PolynomialLR, total_iters=4, power=0.9), encoder_lr_ratio=0.5, loss_lr_ratio=2.0, config={"seed": 1},
    )  # fmt: skip


class NoEncoder(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, num_classes, 3, padding=1))


def test_a_rate_of_the_encoder_is_refused_where_there_is_none():
    net = Segmenter(NoEncoder, num_classes=3, mean=[0.5] * 3, std=[0.5] * 3, contrast_on=["0"])
    SegmentationModule(net, None, LABELS)
    with pytest.raises(ConfigError, match="NoEncoder has no `encoder`"):
        SegmentationModule(net, None, LABELS, encoder_lr_ratio=0.1)
    with pytest.raises(ConfigError, match="NoEncoder has no `encoder`"):
        SegmentationModule(net, None, LABELS, freeze_encoder=True)


def batches(count=4, size=(40, 50)):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.randint(0, 256, (2, 3, *size), generator=generator, dtype=torch.uint8),
            "mask": torch.randint(0, 3, (2, 1, 1), generator=generator).expand(2, *size).clone(),
            "name": [f"{index}a", f"{index}b"],
        }
        for index in range(count)
    ]


def fit(model, steps=4, callbacks=(), **options):
    trainer = pl.Trainer(
        max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[*callbacks, AnchorUpdate()],
        **{"accelerator": "cpu", "log_every_n_steps": 1} | options,
    )  # fmt: skip
    trainer.fit(model, DataLoader(batches(8), batch_size=None))
    return trainer


def test_image_and_mask_are_padded_together_before_the_loss():
    class Recording(CrossEntropyLoss):
        def forward(self, logits, target, features=()):
            self.seen = logits.shape, target.clone(), [tuple(f.shape[2:]) for f in features]
            return super().forward(logits, target, features)

    model = module(Recording(3))
    fit(model, 1)
    shape, target, stages = model.loss.seen
    assert shape == (2, 3, 64, 64)
    assert stages == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert (target[:, 40:] == 255).all()
    assert (target[:, :, 50:] == 255).all()
    assert (target[:, :40, :50] != 255).all()


def test_the_schedule_is_poly_a_step_with_a_rate_for_each_part():
    model = module()
    rates = []

    class Spy(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rates.append({group["name"]: group["lr"] for group in trainer.optimizers[0].param_groups})

    trainer = pl.Trainer(
        max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Spy()],
    )  # fmt: skip
    trainer.fit(model, DataLoader(batches(), batch_size=None))
    for step, groups in enumerate(rates):
        factor = (1 - step / 4) ** 0.9
        for name, ratio in (("encoder", 0.5), ("decoder", 1.0), ("heads", 2.0)):
            assert groups[name] == pytest.approx(0.02 * ratio * factor)


def test_terms_and_diagnostics_are_logged_by_name():
    model = module()
    logged = fit(model).callback_metrics
    stages = [f"stage{number}" for number in (2, 3, 4, 5)]
    names = {"train/loss", "train/cross_entropy", "train/pixel_anchor"}
    for kind in ("error_share", "negatives", "positive_cosine", "negative_cosine", "classes_present"):
        names |= {f"contrast/{kind}/{stage}" for stage in stages}
    assert names <= set(logged)
    assert float(logged["train/loss"]) == pytest.approx(
        float(logged["train/cross_entropy"]) + 0.1 * float(logged["train/pixel_anchor"]), rel=1e-5
    )


def test_anchors_are_updated_once_after_each_optimiser_step():
    model = module(warmup_steps=100)
    fit(model, steps=3, accumulate_grad_batches=2)
    assert int(model.loss.step) == 3
    assert model.loss.contrast.running_anchors.seen.any()


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path):
    model = module()
    with torch.no_grad():
        model.network.network.segmentation_head[0].weight.fill_(float("inf"))
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(NonFiniteLossError, match=r"step 0.*cross_entropy.*0a, 0b.*replay_step_000000\.pt"):
        fit(model, default_root_dir=tmp_path)
    kept = torch.load(tmp_path / "replay_step_000000.pt", weights_only=True)
    assert kept["global_step"] == 0
    assert kept["batches"][0]["name"] == ["0a", "0b"]
    assert torch.equal(kept["batches"][0]["image"], batches(1)[0]["image"])
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]), name


def test_a_later_batch_of_an_accumulated_step_that_is_not_finite_stops_it_and_is_named(tmp_path):
    class Spoiled(CrossEntropyLoss):
        calls = 0

        def forward(self, logits, target, features=()):
            self.calls += 1
            terms = super().forward(logits, target)
            return terms if self.calls != 5 else LossTerms(terms.total * float("inf"), {"spoiled": terms.total / 0})

    model = module(Spoiled(3))
    kept = []

    class Spy(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            kept.append({name: value.clone() for name, value in pl_module.named_parameters()})

    with pytest.raises(NonFiniteLossError, match=r"step 2: total = inf, spoiled = inf. Batch: 4a, 4b"):
        fit(model, accumulate_grad_batches=2, callbacks=[Spy()], default_root_dir=tmp_path)
    assert len(kept) == 5  # the fifth batch alone makes no step, so nothing was asked of it yet
    for name, value in model.named_parameters():
        assert torch.equal(value, kept[3][name]), name


def test_curves_show_each_class_and_the_gradients_and_change_nothing():
    logged, weights = {}, []
    for interval in (1, None):
        model = module()
        model.gradient_interval = interval
        trainer = fit(model, 2)
        logged[interval] = {key: float(value) for key, value in trainer.logged_metrics.items()}
        weights.append(model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key
    assert set(logged[1]) - set(logged[None]) == {
        f"gradients/{name}/stage{stage}" for name in ("ratio", "cosine") for stage in (2, 3, 4, 5)
    }
    for stage in (2, 3, 4, 5):
        per_class = [logged[1][f"contrast_per_class/negatives/stage{stage}/{name}"] for name in "abc"]
        assert sum(per_class) == logged[1][f"contrast/negatives/stage{stage}"]
        assert logged[1][f"contrast/silent_share/stage{stage}"] <= 1


class Exploding(CrossEntropyLoss):
    """A loss that is finite and whose gradient is not: that of a square root at 0."""

    def forward(self, logits, target, features=()):
        terms = super().forward(logits, target)
        zero = (logits - logits.detach()).sum()
        return LossTerms(terms.total + zero.abs().sqrt(), {"cross_entropy": terms.total})


def test_a_gradient_that_is_not_finite_stops_before_the_step(tmp_path):
    model = module(Exploding(3))
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(NonFiniteLossError, match=r"gradient is not finite at step 0: norm = nan. Batch: 0a, 0b"):
        fit(model, default_root_dir=tmp_path)
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("factory", [SGD, AdamW])
def test_a_fused_optimiser_leaves_a_step_out_where_it_is_told_to(factory):
    """What a GPU relies on, which hears of the gradients' norm later than it takes the step."""
    steps = []
    for found in (None, 0.0, 1.0):
        weight = torch.nn.Parameter(torch.ones(5))
        optimizer = factory([weight], lr=0.1, weight_decay=0.1, fused=True)
        for _ in range(2):
            weight.grad = torch.full((5,), 0.5 if found != 1.0 else float("nan"))
            if found is not None:
                optimizer.found_inf = torch.tensor(found)
            optimizer.step()
        steps.append(weight.detach().clone())
    assert torch.equal(steps[0], steps[1])
    assert torch.equal(steps[2], torch.ones(5))


def test_a_step_reads_nothing_on_the_host_and_diagnoses_only_what_is_logged():
    """Lightning's part of it included. Other optimisers than fused ones read their own step counters, on the host."""
    model = module()
    model.optimizer_factory = partial(AdamW, lr=1e-3, weight_decay=0.01, fused=True)
    steps = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            steps.append(Operations().__enter__())

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            steps[-1].__exit__(None, None, None)

    fit(model, 3, callbacks=[Watch()], gradient_clip_val=1.0, log_every_n_steps=2)
    for operations in steps:
        assert len(operations.names) > 1000
        assert not operations.host_reads()
    first, second, third = (len(operations.names) for operations in steps)
    assert third <= first < second - 100  # the second is logged


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("loss", [None, CrossEntropyLoss(3)])
def test_a_step_on_a_gpu_does_not_synchronise(loss):
    model = module(loss)
    model.optimizer_factory = partial(AdamW, lr=1e-3, weight_decay=0.01, fused=True)

    class Strict(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx:  # the first step makes state
                torch.cuda.set_sync_debug_mode("error")

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            torch.cuda.set_sync_debug_mode("default")

    try:
        fit(model, accelerator="gpu", callbacks=[Strict()], log_every_n_steps=100)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_checkpoint_is_plain_data_and_goes_on_where_it_stopped(tmp_path):
    model = module(warmup_steps=10)
    trainer = fit(model, 2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert content["hyper_parameters"] == {"seed": 1}
    resumed = module(warmup_steps=10)
    again = pl.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[AnchorUpdate()],
    )  # fmt: skip
    again.fit(resumed, DataLoader(batches(8), batch_size=None), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_validation_counts_every_labelled_pixel_once():
    model = module().eval()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    data = batches(3)
    data[0]["mask"][:, :7] = 255
    trainer.validate(model, DataLoader(data, batch_size=None), verbose=False)
    assert int(model.last_scores.confusion.sum()) == 3 * 2 * 40 * 50 - 2 * 7 * 50
    with torch.no_grad():
        right = sum(
            int(((model.predict(batch["image"]).argmax(1) == batch["mask"]) & (batch["mask"] != 255)).sum())
            for batch in data
        )
    assert int(model.last_scores.confusion.trace()) == right


def with_auxiliary(**options):
    net = network()
    return SegmentationModule(
        net, CrossEntropyLoss(3), LABELS, partial(SGD, lr=0.02, momentum=0.9, weight_decay=5e-4), auxiliary_stage=4,
        **options,
    )  # fmt: skip


def test_the_auxiliary_cross_entropy_is_a_part_of_the_loss_with_its_weight():
    model = with_auxiliary(auxiliary_weight=0.3)
    logged = fit(model, 1).callback_metrics
    assert float(logged["train/auxiliary"]) > 0
    assert float(logged["train/loss"]) == pytest.approx(
        float(logged["train/cross_entropy"]) + 0.3 * float(logged["train/auxiliary"]), rel=1e-5
    )


def test_the_auxiliary_cross_entropy_is_that_of_upsampled_logits():
    model = with_auxiliary().eval()
    terms = model.loss(torch.zeros(2, 3, 8, 8), target := torch.randint(0, 3, (2, 8, 8)))
    coarse = torch.randn(2, 3, 2, 2)
    both = model._with_auxiliary(terms, coarse, target)
    upsampled = F.interpolate(coarse, size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(both["auxiliary"], F.cross_entropy(upsampled, target))
    torch.testing.assert_close(both.total, terms.total + 0.4 * both["auxiliary"])


def test_the_auxiliary_head_is_optimised_and_is_no_part_of_the_network():
    model = with_auxiliary()
    before = model.auxiliary.layers[0].weight.clone()
    trainer = fit(model, 1)
    named = {group["name"]: group for group in trainer.optimizers[0].param_groups}
    assert {"auxiliary", "auxiliary/no_decay"} <= set(named)
    grouped = [parameter for group in named.values() for parameter in group["params"]]
    assert len(grouped) == len(set(map(id, grouped))) == sum(p.requires_grad for p in model.parameters())
    assert not torch.equal(model.auxiliary.layers[0].weight, before)
    assert model.network.state_dict().keys() == module().network.state_dict().keys()


def test_an_auxiliary_loss_that_is_not_finite_is_named(tmp_path):
    model = with_auxiliary()
    with torch.no_grad():
        model.auxiliary.layers[4].bias.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"step 0: auxiliary = nan|total = nan, auxiliary = nan"):
        fit(model, 1, default_root_dir=tmp_path)
