"""A network of 19 classes as it begins, measured on batches made by hand."""

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from contextrast.data import LabelTable
from contextrast.evaluation import EvaluationModule
from contextrast.models import InferenceProtocol, Segmenter


class Predictions(pl.Callback):
    """Keeps what callbacks are given."""

    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen.append(outputs["prediction"])


def measured(batches, measures=None, **protocol):
    """Returns the module after the test, and the predictions that callbacks got."""
    torch.manual_seed(0)
    network = Segmenter(
        num_classes=19, mean=[0.5] * 3, std=[0.5] * 3, architecture="FPN", encoder="resnet18", encoder_weights=None,
        decoder_pyramid_channels=8, decoder_segmentation_channels=32,
    )  # fmt: skip
    module = EvaluationModule(network.eval(), LabelTable.load("cityscapes"), InferenceProtocol(**protocol), measures)
    predictions = Predictions()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False, callbacks=[predictions]
    )
    trainer.test(module, DataLoader(batches, batch_size=None), verbose=False)
    return module, predictions.seen


def batch(number, mask, **more):
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(256, (2, 3, 40, 50), generator=generator, dtype=torch.uint8)
    return {"image": image, "mask": mask, "name": [f"{number}a", f"{number}b"], **more}


def masks(count):
    """Train ids of things, ``[2, 40, 50]`` each."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(11, 19, (2, 40, 50), generator=generator) for _ in range(count)]
