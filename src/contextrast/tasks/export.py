"""``contextrast-export``: write a checkpoint's deployed network for use elsewhere, once it is shown to be the same."""

import tempfile
from pathlib import Path

from omegaconf import DictConfig

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.config import instantiate
from contextrast.data.decoding import decode_image
from contextrast.data.images import find_images
from contextrast.data.pairing import given_path
from contextrast.errors import ConfigError, check_number
from contextrast.export import Format, Metadata, describe, model_card, photograph, verify
from contextrast.models.channels import RGB
from contextrast.predicting import trained_range
from contextrast.runs.files import write_json
from contextrast.tasks.chosen import with_checkpoint
from contextrast.terminal import say


def export(config: DictConfig) -> None:
    """Export as configured: the network, ``metadata.json`` and ``README.md`` in the run folder, or nothing at all.

    Raises:
        ContextrastError: If checkpoint or format cannot be used, or the export does not compute what the network does.
    """
    config = with_checkpoint(config)
    run_dir = Path(config.paths.run_dir)
    check_number("tolerance", config.tolerance)
    form: Format = instantiate(config.format)
    target = run_dir / form.name
    if target.exists():
        raise ConfigError(f"{target} exists. Nothing was changed: choose another hydra.run.dir, or remove it.")
    checkpoint = load_checkpoint(config.checkpoint)
    given = [] if config.images is None else find_images("images", str(given_path("images", config.images)))
    network = checkpoint.network()
    seen = trained_range(checkpoint.data, network.channels)
    pictures = [decode_image(path, image_range=seen, channels=network.channels) for path, _ in given]
    if network.channels == RGB:
        pictures.append(photograph())
    metadata: Metadata = describe(checkpoint, network, form.takes)
    run_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run_dir, prefix=".export_") as folder:
        unverified = Path(folder) / form.name
        metadata = form.write(network, metadata, unverified)
        smallest = metadata["input"].get("smallest_image", 1)
        verified = verify(form.read(unverified), network, pictures, config.tolerance, smallest)
        for path in (unverified, *unverified.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)  # some libraries write files for their owner alone
        unverified.replace(target)
    write_json(run_dir / "metadata.json", {**metadata, "verified": verified})
    (run_dir / "README.md").write_text(model_card(metadata, form.name, form.recipe), encoding="utf-8")
    say(
        f"{target}: differs from the network by at most {verified['largest_difference']:.1e} of the largest logit on "
        f"{len(verified['shapes'])} batches of different sizes, {len(pictures)} of them photographs."
    )
    say(f"Input: {metadata['input']['takes']}. Licence: {metadata['licence']}")
