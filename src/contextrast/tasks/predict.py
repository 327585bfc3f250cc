"""``contextrast-predict``: segment image files."""

from pathlib import Path

from omegaconf import DictConfig

from contextrast.config import plain
from contextrast.data.formats import images_up_to
from contextrast.data.images import find_images
from contextrast.data.pairing import given_path
from contextrast.errors import DataError
from contextrast.models import InferenceProtocol
from contextrast.models.devices import chosen_device
from contextrast.predicting import Results, earlier_results, load_predictor, result_names, write_predictions
from contextrast.tasks.chosen import with_checkpoint
from contextrast.terminal import progress, say


def predict(config: DictConfig) -> None:
    """Segment a file, a folder's images (subfolders too) or a pattern's matches, at their original sizes.

    Raises:
        ContextrastError: If the checkpoint or a setting cannot be used, or two results would have one name; and at the
            end, if some of the images could not be predicted.
    """
    config = with_checkpoint(config)
    run_dir, settings = Path(config.paths.run_dir), plain(config)
    device = chosen_device("device=", config.device)
    protocol, reading = InferenceProtocol.of(settings), (settings["image_range"], settings["rgb"])
    predictor = load_predictor(config.checkpoint, protocol, device, config.trusted, *reading)
    results = Results(run_dir, predictor.labels, *(settings[key] for key in ("outputs", "values", "overlay_alpha")))
    path = given_path("input", config.input)
    images = find_images("input", str(path), earlier_results(path))
    results.write_record()
    named = [(path, name) for (path, _), name in zip(images, result_names(images), strict=True)]
    with images_up_to(config.max_megapixels):
        failures = write_predictions(predictor, progress(named, "Predicting"), results)
    say(f"{len(images) - len(failures)} image(s): {run_dir}, masks with {results.meaning}")
    if failures:
        listed = "\n".join(failures)
        raise DataError(f"{len(failures)} of {len(images)} image(s) were not predicted:\n{listed}")
