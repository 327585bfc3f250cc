"""Files for the benchmark's server, written while Lightning tests a module on a tiny copy of Cityscapes."""

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

from contextrast.callbacks.submission import Submission
from contextrast.data import Cityscapes, SegmentationDataModule

NAMES = {
    "val": ["frankfurt_000000_000294"],
    "test": ["berlin_000000_000019", "bonn_000031_000019", "mainz_000000_000021"],
}
# Label ids of the 19 classes, as the server wants them.
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


class Predictor(pl.LightningModule):
    """Predicts for pixel p of image i the class (p + i) % 19."""

    def test_step(self, batch):
        height, width = batch["image"].shape[-2:]
        pixels = torch.arange(height * width).reshape(height, width)
        return {"prediction": (pixels + batch["image"][:, :1, :1, 0].long()) % 19}


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    for split, names in NAMES.items():
        for index, name in enumerate(names):
            place = Path(split) / name.split("_")[0]
            write(tmp_path / "leftImg8bit" / place / f"{name}_leftImg8bit.png", np.full((5, 8, 3), index, np.uint8))
            write(tmp_path / "gtFine" / place / f"{name}_gtFine_labelIds.png", np.full((5, 8), 7, np.uint8))
    return tmp_path


def evaluate(root, split):
    """What is in the folder after an evaluation: pixels by file name."""
    module = SegmentationDataModule(Cityscapes, [8, 8], 1, root=root, num_workers=0, eval_batch_size=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        callbacks=[Submission(root / "submission")],
    )
    loader = {"val": module.val_dataloader, "test": module.test_dataloader}[split]()
    trainer.test(Predictor(), loader, verbose=False)
    return {path.name: Image.open(path) for path in (root / "submission").glob("*")}


def test_label_ids_at_the_original_size_under_the_servers_names(root):
    written = evaluate(root, "test")
    assert sorted(written) == [f"{name}_pred_labelIds.png" for name in NAMES["test"]]
    for index, name in enumerate(NAMES["test"]):
        image = written[f"{name}_pred_labelIds.png"]
        assert (image.mode, image.size) == ("L", (8, 5))
        expected = [LABEL_IDS[(pixel + index) % 19] for pixel in range(40)]
        assert np.asarray(image).ravel().tolist() == expected


def test_nothing_is_written_where_labels_are_public(root):
    assert evaluate(root, "val") == {}
