"""The examples of others' loops, run in the real libraries: the very files that the how-to page shows."""

import importlib.util
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import lightning.pytorch as pl
import pytest
import segmentation_models_pytorch as smp
import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader

FOLDER = Path(__file__).parents[1] / "docs" / "how_to" / "frameworks"
CAMVID = os.environ.get("CONTEXTRAST_CAMVID")


def example(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scenes(number, channels=3, classes=3):
    """Images whose labels can be seen in them, and the labels."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(classes, (number, 4, 4), generator=generator)
    masks = masks.repeat_interleave(16, 1).repeat_interleave(16, 2)
    images = masks[:, None] / classes + 0.1 * torch.randn(number, channels, 64, 64, generator=generator)
    return images, masks


def trainer(steps, **options):
    return pl.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip


def moved(before, module):
    return any(not torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_fabric():
    torch.manual_seed(0)
    images, masks = scenes(2)
    model = smp.FPN("resnet18", encoder_weights=None, classes=3)
    losses = example("fabric").train(Fabric(accelerator="cpu", devices=1), model, 3, [(images, masks)] * 6)
    assert len(losses) == 6
    assert losses[-1] < losses[0]


def test_smps_example_trains_by_its_loss_and_the_contrast():
    torch.manual_seed(0)
    module = example("smp_lightning").SegmentationModel("FPN", "resnet18", 3, encoder_weights=None)
    assert isinstance(module.loss_fn.base.losses["dice_loss"], smp.losses.DiceLoss)
    loader = DataLoader(list(zip(*scenes(4), strict=True)), batch_size=2)
    run = trainer(2)
    run.fit(module, loader)
    assert torch.isfinite(run.callback_metrics["train_loss"])
    assert module.loss_fn.step == 2
    assert module.loss_fn.contrast.running_anchors.seen.any()


def test_plain_processes_by_torchrun():
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(FOLDER / "ddp.py")],
        capture_output=True, text=True, check=False, timeout=500, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("process"))
    assert lines == [f"process {rank}: the same weights everywhere: True" for rank in (0, 1)]


def test_hugging_face_trainer(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")
    module = example("hugging_face_trainer")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], decoder_hidden_size=16, num_labels=3
    )
    contrasted = module.Contrasted(transformers.SegformerForSemanticSegmentation(config))
    assert contrasted.taps.strides == (4, 8, 16, 32)
    before = {name: value.clone() for name, value in contrasted.criterion.heads.state_dict().items()}
    data = [{"pixel_values": image, "labels": mask} for image, mask in zip(*scenes(4), strict=True)]
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=3, per_device_train_batch_size=2, report_to=[], use_cpu=True, save_strategy="no",
        logging_steps=1, disable_tqdm=True, dataloader_pin_memory=False, remove_unused_columns=False,
    )  # fmt: skip
    run = module.ContrastTrainer(contrasted, arguments, train_dataset=data)
    result = run.train()
    assert result.global_step == contrasted.criterion.step == 3
    assert 0 < result.training_loss < float("inf")
    assert moved(before, contrasted.criterion.heads)


def test_torchgeos_task_on_thirteen_channels():
    pytest.importorskip("torchgeo", reason="torchgeo is not installed: it is large, and of no extra")
    torch.manual_seed(0)
    task = example("torchgeo_task").ContrastTask(
        model="unet", backbone="resnet18", weights=None, in_channels=13, num_classes=3, task="multiclass"
    )
    images, masks = scenes(4, channels=13)
    loader = DataLoader(
        [{"image": image, "mask": mask} for image, mask in zip(images, masks, strict=True)], batch_size=2
    )
    run = trainer(2)
    run.fit(task, loader, loader)
    assert torch.isfinite(run.callback_metrics["train_loss"])
    assert task.contrast.step == 2


def test_mmsegmentations_networks_by_a_config():
    reason = "onedl-mmsegmentation is not installed: its opencv-python replaces the headless one, so it is of no extra"
    pytest.importorskip("mmseg", reason=reason)
    from mmengine.structures import PixelData  # noqa: PLC0415  (of what may not be installed)
    from mmseg.registry import MODELS  # noqa: PLC0415
    from mmseg.structures import SegDataSample  # noqa: PLC0415

    module = example("mmseg_config")
    torch.manual_seed(0)
    norm = {"type": "BN"}
    model = MODELS.build(
        {
            **module.model, "stages": [64, 128, 256, 512],
            "backbone": {"type": "ResNet", "depth": 18, "norm_cfg": norm, "out_indices": (0, 1, 2, 3)},
            "decode_head": {
                "type": "FCNHead", "in_channels": 512, "channels": 16, "num_classes": 3, "norm_cfg": norm,
                "loss_decode": {"type": "CrossEntropyLoss"}, "in_index": 3,
            },
            "train_cfg": {}, "test_cfg": {"mode": "whole"},
        }
    )  # fmt: skip
    images, masks = scenes(2)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask[None])) for mask in masks]
    losses = model.loss(images, samples)
    assert set(losses) >= {"decode.loss_ce", "loss_contrast"}
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(parameter.grad is not None for parameter in model.criterion.heads.parameters())
    assert losses["loss_contrast"] > 0
    hook = module.HOOKS.build(module.custom_hooks[0])
    hook.after_train_iter(type("Runner", (), {"model": model}))
    assert model.criterion.step == 1


class TestMeanTeacher:
    def test_the_teacher_is_the_average_of_the_student(self):
        torch.manual_seed(0)
        images, masks = scenes(4)
        student = smp.FPN("resnet18", encoder_weights=None, classes=3)
        module = example("mean_teacher").MeanTeacher(student, 3, sure=0.0, momentum=0.5)
        states = [module.student.segmentation_head[0].weight.detach().clone()]

        class Steps(pl.Callback):
            def on_train_batch_end(self, *_):
                states.append(module.student.segmentation_head[0].weight.detach().clone())

        data = [
            {"image": image, "mask": mask, "labelled": torch.tensor(number < 1)}
            for number, (image, mask) in enumerate(zip(images, masks, strict=True))
        ]
        run = trainer(2, callbacks=[Steps()])
        run.fit(module, DataLoader(data, batch_size=2))
        expected = states[0]
        for _, state in pairwise(states):
            expected = 0.5 * expected + 0.5 * state
        torch.testing.assert_close(module.teacher.segmentation_head[0].weight, expected)
        assert run.callback_metrics["guessed"] == 1  # in the second step no image has labels
        assert module.loss.step == 2

    @pytest.mark.skipif(CAMVID is None, reason="CONTEXTRAST_CAMVID does not say where CamVid lies")
    def test_a_tenth_of_camvids_labels(self, composed):
        from contextrast.training.assembly import build_datamodule  # noqa: PLC0415  (only with the data)

        torch.manual_seed(0)
        data = build_datamodule(
            composed(
                *("train", "data=camvid", f"data.root={CAMVID}", "data.crop=[96,96]", "data.batch_size=4"),
                *("data.num_workers=0", "model.encoder_weights=null"),
            ).data
        )
        data.setup("fit")

        class Mixed:
            """Batches with their first image labelled in every tenth case."""

            def __iter__(self):
                for number, batch in enumerate(data.train_dataloader()):
                    labelled = torch.arange(len(batch["mask"])) + number * len(batch["mask"])
                    yield {
                        "image": batch["image"] / 255, "mask": batch["mask"].long(), "labelled": labelled % 10 == 0
                    }  # fmt: skip

        student = smp.FPN("resnet18", encoder_weights=None, classes=data.labels.num_classes)
        module = example("mean_teacher").MeanTeacher(student, data.labels.num_classes, sure=0.0)
        run = trainer(3)
        run.fit(module, Mixed())
        assert torch.isfinite(run.callback_metrics["loss"])
        assert 0 < run.callback_metrics["guessed"] < 1
