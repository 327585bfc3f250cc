from functools import partial

import lightning
import pytest
import torch

from contextrast.data import CamVid, LabelTable, SegmentationDataModule, Streets
from contextrast.errors import ConfigError, DataError

from .conftest import Stripes

JITTER = {"brightness": 0.3, "hue": 0.1}


def stripes(batch_size=4, num_workers=0, **arguments):
    own = {key: arguments.pop(key) for key in ("length", "sizes") if key in arguments}
    return SegmentationDataModule(partial(Stripes, **own), [8, 12], batch_size, num_workers=num_workers, **arguments)


class Recorder(lightning.LightningModule):
    """A module that trains nothing and notes which batches it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches = []

    def training_step(self, batch):
        self.batches.append((batch["name"], int(batch["image"].sum()), int(batch["mask"].sum())))
        return self.weight**2

    def validation_step(self, batch):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(steps, folder, num_workers=0, resume=None, save_every=0, augment="cpu", **trainer_arguments):
    callbacks = []
    if save_every:
        callbacks = [
            lightning.pytorch.callbacks.ModelCheckpoint(
                folder, "step={step}", auto_insert_metric_name=False, every_n_train_steps=save_every, save_top_k=-1
            )
        ]
    module = Recorder()
    trainer = lightning.Trainer(
        max_steps=steps,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=bool(save_every),
        enable_progress_bar=False,
        enable_model_summary=False,
        **trainer_arguments,
    )
    data = stripes(num_workers=num_workers, color_jitter=JITTER, augment=augment)
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module.batches


def test_labels_are_known_before_setup():
    assert stripes().labels == Stripes.labels
    assert SegmentationDataModule(CamVid, [8, 8], 2, root="nowhere").labels.num_classes == 11
    assert SegmentationDataModule(partial(Streets, seed=1), [8, 8], 2).labels.name == "streets"


def test_labels_may_depend_on_the_datasets_arguments():
    class Choice(Stripes):
        @classmethod
        def labels_for(cls, **arguments):
            return LabelTable(str(sorted(arguments.items())), (), ())

    module = SegmentationDataModule(partial(Choice, length=3), [8, 8], 2, root="folder")
    assert module.labels.name == "[('length', 3), ('root', 'folder')]"


def test_train_batches_are_crops_and_eval_images_are_whole():
    module = SegmentationDataModule(partial(Stripes, length=6), [5, 7], 3, num_workers=0, eval_batch_size=2)
    train = next(iter(module.train_dataloader()))
    assert train["image"].shape == (3, 3, 5, 7)
    assert train["mask"].shape == (3, 5, 7)
    for split, loader in (("val", module.val_dataloader()), ("test", module.test_dataloader())):
        batches = list(loader)
        assert [batch["image"].shape for batch in batches] == [(2, 3, 8, 12)] * 3
        assert [name for batch in batches for name in batch["name"]] == [f"{split}{index}" for index in range(6)]
        assert torch.equal(batches[0]["image"][1], Stripes()[1]["image"])


@pytest.mark.parametrize(
    ("stage", "made"), [("fit", {"train", "val"}), ("validate", {"val"}), ("test", {"test"}), ("predict", set())]
)
def test_a_stage_makes_only_the_splits_it_needs(stage, made):
    splits = []

    def record(split, transform):
        splits.append(split)
        return Stripes(split=split, transform=transform)

    module = SegmentationDataModule(record, [8, 12], 4, num_workers=0)
    module.setup(stage)
    module.setup(stage)
    assert sorted(splits) == sorted(made)


def test_root_reaches_the_dataset(segnet_root):
    module = SegmentationDataModule(partial(CamVid, merge="segnet_measured"), [8, 8], 2, root=segnet_root)
    assert len(module.dataset("val")) == 1


def test_bad_data_shows_in_setup(segnet_root):
    module = SegmentationDataModule(CamVid, [8, 8], 2, root=segnet_root)
    (segnet_root / "valannot" / "val_0.png").unlink()
    with pytest.raises(DataError, match="val_0"):
        module.setup("fit")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"batch_size": 0}, "data.batch_size .*got 0"),
        ({"eval_batch_size": 0}, "data.eval_batch_size .*got 0"),
        ({"num_workers": -1}, "data.num_workers .*got -1"),
        ({"augment": "tpu"}, "data.augment=tpu is unknown; choose one of cpu, gpu"),
        ({"seed": -1}, "data.seed .*got -1"),
        ({"flip": 2}, "data.flip"),
    ],
)
def test_wrong_arguments_are_named(arguments, part):
    with pytest.raises(ConfigError, match=part):
        stripes(**arguments)


def test_root_for_a_dataset_without_files():
    with pytest.raises(ConfigError, match=r"data\.root=/data is of no use"):
        SegmentationDataModule(Streets, [8, 8], 2, root="/data")


def test_a_batch_larger_than_the_dataset():
    with pytest.raises(ConfigError, match=r"data\.batch_size=11 .* 10 training image"):
        stripes(batch_size=11).train_dataloader()
    assert len(stripes(batch_size=10).train_dataloader()) == 1


def test_unequal_sizes_in_evaluation():
    module = SegmentationDataModule(partial(Stripes, sizes=((8, 12), (6, 12))), [8, 8], 2, num_workers=0)
    assert len(list(module.val_dataloader())) == 10
    module.eval_batch_size = 2
    with pytest.raises(ConfigError, match=r"data\.eval_batch_size=1"):
        list(module.val_dataloader())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Seven steps over ten images in batches of four, with a checkpoint at every step."""
    folder = tmp_path_factory.mktemp("run")
    return folder, fit(7, folder, save_every=1)


def test_training_goes_through_the_epochs(whole_run):
    _, batches = whole_run
    names = [name for batch in batches for name in batch[0]]
    assert sorted(names[:10]) == sorted(names[10:20]) == [f"train{index}" for index in range(10)]
    assert len({batch[1:] for batch in batches}) == 7


def test_workers_make_no_difference(whole_run):
    folder, batches = whole_run
    assert fit(7, folder, num_workers=2) == batches


@pytest.fixture(scope="module")
def whole_run_on_the_device(tmp_path_factory):
    """The same with augmentation on the device."""
    folder = tmp_path_factory.mktemp("run")
    return folder, fit(7, folder, save_every=1, augment="gpu")


def test_both_ways_to_augment_see_the_same_stream(whole_run, whole_run_on_the_device):
    for cpu, device in zip(whole_run[1], whole_run_on_the_device[1], strict=True):
        assert cpu[0] == device[0]
        assert cpu[2] == pytest.approx(device[2], rel=0.01)  # masks, up to pixels between two labels


@pytest.mark.parametrize(("num_workers", "step"), [(2, None), (0, 1), (0, 4), (2, 6)])
def test_neither_workers_nor_resuming_change_the_devices_draws(whole_run_on_the_device, num_workers, step):
    folder, batches = whole_run_on_the_device
    resume = None if step is None else folder / f"step={step}.ckpt"
    assert fit(7, folder, num_workers, resume, augment="gpu") == batches[step or 0 :]


def test_augmentation_on_the_device_takes_images_of_any_sizes():
    data = stripes(augment="gpu", sizes=((8, 12), (30, 7), (5, 5)), color_jitter=JITTER)
    loader = data.train_dataloader()
    batch = data.on_after_batch_transfer(next(iter(loader)), 0)
    assert batch["image"].shape == (4, 3, 8, 12)
    assert batch["image"].dtype == torch.uint8
    assert batch["mask"].shape == (4, 8, 12)
    assert batch["mask"].dtype == torch.int64
    assert set(batch) == {"image", "mask", "name"}
    assert data.dataset("train")[0]["image"].shape == (3, 8, 12)


def test_evaluation_is_left_alone_by_augmentation_on_the_device():
    data = stripes(augment="gpu")
    batch = next(iter(data.val_dataloader()))
    assert data.on_after_batch_transfer(batch, 0) is batch


@pytest.mark.parametrize("step", range(1, 7))
def test_a_resumed_run_sees_what_the_whole_run_saw(whole_run, step):
    folder, batches = whole_run
    assert fit(7, folder, resume=folder / f"step={step}.ckpt") == batches[step:]


def test_limited_epochs_go_on_in_the_stream(whole_run):
    folder, batches = whole_run
    assert fit(7, folder, limit_train_batches=1) == batches


def test_lightnings_overfit_switch_works(tmp_path):
    names = [batch[0] for batch in fit(4, tmp_path, overfit_batches=1)]
    assert names == [names[0]] * 4


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_evaluation_counts_every_image_once(processes, monkeypatch):
    data = stripes()
    count = len(data.dataset("val"))
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(data, "_processes", lambda rank=rank: (processes, rank))
        loader = data.val_dataloader()
        shares.append([name for batch in loader for name in batch["name"]])
        assert len(loader.sampler) == len(shares[-1])
    every = [data.dataset("val").name(index) for index in range(count)]
    assert sorted(name for share in shares for name in share) == every
    assert all(share == sorted(share) for share in shares), "in order"
