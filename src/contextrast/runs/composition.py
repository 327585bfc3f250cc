"""Composing ``conf/``: the resolvers that it uses, the folders that it is looked for in, and what is no choice."""

from collections.abc import Sequence
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from contextrast.config import OwnConfigurations
from contextrast.folders import config_directory
from contextrast.runs.names import job_folder, sweep_folder, sweep_overrides
from contextrast.runs.wandb_names import run_group, run_name, run_tags


def register() -> None:
    """Prepare Hydra for ``conf/``, in every process that composes; a second time changes nothing."""
    for resolver in (fastest_precision, several_gpus, job_folder, run_tags, run_group, run_name):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    # Cached, so that jobs get what their sweep got and not their own overrides': Hydra hands its cache on to them.
    for cached in (sweep_folder, sweep_overrides):
        OmegaConf.register_new_resolver(cached.__name__, cached, use_cache=True, replace=True)
    Plugins.instance().register(OwnConfigurations)
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource  # `register` would keep Hydra's


def compose(config_name: str, overrides: Sequence[str] = (), **options: Any) -> DictConfig:
    """Compose a file of ``conf/`` as its command does, also inside of a command.

    Args:
        config_name: ``train``, ``evaluate``, ...
        overrides: As typed.
        **options: Of ``hydra.compose``.

    Raises:
        HydraException: If it cannot be composed.
    """
    register()
    if GlobalHydra.instance().is_initialized():  # inside of a command, whose Hydra looks in the same folders
        return hydra.compose(config_name, list(overrides), **options)
    with initialize_config_dir(str(config_directory().resolve()), version_base="1.3"):
        return hydra.compose(config_name, list(overrides), **options)


Choices = list[str]


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's folders of files, called as Hydra's; messages, help and completion offer no ``_shared.yaml``."""

    @override
    def list(self, config_path: str, results_filter: ObjectType | None) -> Choices:
        """Choices of a group, without the files that others have in common."""
        return [name for name in super().list(config_path, results_filter) if not name.startswith("_")]


def fastest_precision() -> str:
    """Lightning's name of bfloat16 autocast where this machine computes in bfloat16, else of float32."""
    import torch  # noqa: PLC0415  (composing does without, so that commands answer at once)

    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def several_gpus() -> bool:
    """Whether this machine has more than one GPU."""
    import torch  # noqa: PLC0415  (as above)

    return torch.cuda.device_count() > 1
