"""``contextrast-predict``: segment image files."""

from pathlib import Path

from omegaconf import DictConfig
from rich import get_console
from rich.progress import track

from contextrast.cli.app import command
from contextrast.config import plain
from contextrast.data.images import find_images
from contextrast.models import InferenceProtocol
from contextrast.models.devices import chosen_device
from contextrast.predicting import load_predictor, result_names, write_predictions


def predict(config: DictConfig) -> None:
    """Segment a file, a folder's images (subfolders too) or a pattern's matches, at their original sizes.

    Raises:
        ContextrastError: If the checkpoint or an image cannot be used, or two results would have one name.
    """
    run_dir = Path(config.paths.run_dir)
    device = chosen_device("device=", config.device)
    path = Path(config.checkpoint).expanduser()
    predictor = load_predictor(path, InferenceProtocol.of(plain(config)), device, config.trusted)
    images = find_images("input", config.input)
    results = [(path, name) for (path, _), name in zip(images, result_names(images), strict=True)]
    write_predictions(predictor, track(results, "Predicting"), run_dir, config.overlay_alpha)
    get_console().print(f"{len(images)} image(s): {run_dir / 'masks'}", soft_wrap=True)


main = command("predict")(predict)

if __name__ == "__main__":
    main()
