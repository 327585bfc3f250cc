"""``contextrast-predict``: segment image files."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image
from rich import get_console
from rich.progress import track

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.cli.app import command
from contextrast.data.decoding import decode_image
from contextrast.data.images import find_images
from contextrast.data.labels import LabelTable
from contextrast.errors import ConfigError, DataError
from contextrast.export import Exported, is_export, load_export
from contextrast.models import Segmenter, multi_scale_probabilities, sliding_window_probabilities
from contextrast.models.devices import chosen_device
from contextrast.reporting.figures import overlay


def predict(config: DictConfig) -> None:
    """Segment a file, a folder's images (subfolders too) or a pattern's matches, at their original sizes.

    Raises:
        ContextrastError: If the checkpoint or an image cannot be used, or two results would have one name.
    """
    run_dir = Path(config.paths.run_dir)
    device = chosen_device("device=", config.device)
    network, labels = load_network(Path(config.checkpoint).expanduser(), device, config.trusted)
    images = find_images("input", config.input)
    names = result_names(images)
    for (path, _), name in track(list(zip(images, names, strict=True)), "Predicting"):
        image = decode_image(path)
        ids = segment(network, image, config, device)
        save_mask(ids, labels, run_dir / "masks" / name)
        if config.overlay_alpha is not None:
            target = run_dir / "overlays" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(overlay(image, ids, labels, config.overlay_alpha)).save(target)
    get_console().print(f"{len(images)} image(s): {run_dir / 'masks'}", soft_wrap=True)


def load_network(path: Path, device: torch.device, trusted: bool) -> tuple[Segmenter | Exported, LabelTable]:
    """The network of a checkpoint, or one that was exported, and its classes.

    Raises:
        ContextrastError: If there is none, or it cannot be used.
    """
    if is_export(path):
        exported = load_export(path, device, trusted)
        return exported, exported.labels
    checkpoint = load_checkpoint(path)
    return checkpoint.network().to(device), checkpoint.labels


def result_names(images: list[tuple[Path, Path]]) -> list[Path]:
    """Paths of the results below the output folder: names and subfolders kept, the suffix becomes ``.png``.

    Raises:
        DataError: If two images would share a result.
    """
    names = [relative.with_suffix(".png") for _, relative in images]
    first: dict[Path, Path] = {}
    for (path, _), name in zip(images, names, strict=True):
        if name in first:
            raise DataError(f"{first[name]} and {path} would both become {name}: rename one, or predict them apart.")
        first[name] = path
    return names


@torch.inference_mode()
def segment(
    network: Segmenter | Exported, image: NDArray[np.uint8], config: DictConfig, device: torch.device
) -> NDArray[np.uint8]:
    """Train ids ``[H, W]`` of an RGB image ``[H, W, 3]``, in sliding windows where it is larger than one."""
    pixels = network.normalize(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].to(device))
    window = config.window
    if window is not None and (pixels.shape[2] > window[0] or pixels.shape[3] > window[1]):
        if list(config.scales) != [1.0] or config.flip:
            raise ConfigError("Sliding windows go with scales=[1.0] and flip=false; window=null predicts whole images.")
        probabilities = sliding_window_probabilities(network, pixels, window, config.overlap, config.batch_size)
    else:
        probabilities = multi_scale_probabilities(network, pixels, list(config.scales), config.flip, config.batch_size)
    return probabilities.argmax(1)[0].byte().cpu().numpy()


def save_mask(ids: NDArray[np.uint8], labels: LabelTable, path: Path) -> None:
    """Write train ids ``[H, W]`` as an indexed PNG with the classes' colours as its palette."""
    mask = Image.fromarray(ids, mode="P")
    mask.putpalette([value for color in labels.palette for value in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path)


main = command("predict")(predict)

if __name__ == "__main__":
    main()
