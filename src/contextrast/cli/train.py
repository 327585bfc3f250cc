"""``contextrast-train``: train a network and leave a run folder behind."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig, OmegaConf

from contextrast.assembly import build_datamodule, build_module
from contextrast.cli.app import command
from contextrast.config import instantiate


def train(config: DictConfig) -> float:
    run_dir = Path(config.paths.run_dir)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule.labels)
    trainer = instantiate({**config.trainer, "_partial_": True})(logger=[], callbacks=[instantiate(c) for c in config.callbacks.values()])
    trainer.fit(module, datamodule)
    trainer.validate(module, datamodule, verbose=False)
    print({k: float(v) for k, v in trainer.callback_metrics.items()})
    return float(trainer.callback_metrics["val/miou"])


main = command("train")(train)

if __name__ == "__main__":
    main()
