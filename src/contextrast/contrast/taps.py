"""Feature maps from inside a network: outputs of its modules by name, their channels and strides."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves

from contextrast.contrast.feature_maps import (
    BLANK,
    blank,
    check_names,
    check_order,
    evaluating,
    is_map,
    maps_of,
    numbered_map,
    split_name,
    stride_of,
)
from contextrast.errors import ConfigError, first_line

_SEVERAL = ("encoder", "backbone", "")  # modules that may give several maps at once; the last is the network itself
_NAMED = 8  # modules that an error names


class Taps:
    """Takes the outputs of some of a network's modules while it is open, by forward hooks that else do nothing.

    The hooks stay, since a compiled forward pass would be compiled anew for every hook that comes or goes. A copy of
    network and taps together is independent of the originals, and holds no outputs.

    Args:
        network: The network.
        names: Dotted names of the modules, which exist; ``encoder.2`` is map number 2 of what ``encoder`` gives, see
            :func:`numbered_map`.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._taken: dict[str, Any] | None = None
        self._hooks = []
        for name in self.names:
            module, number = split_name(network, name)
            self._hooks.append(network.get_submodule(module).register_forward_hook(_Tap(self, name, number)))

    def __getstate__(self) -> dict[str, Any]:
        """All but the outputs, as tensors with a history are neither copied nor pickled."""
        return {**self.__dict__, "_taken": None if self._taken is None else {}}

    @contextmanager
    def open(self) -> Iterator[dict[str, Any]]:
        """What the modules give from here on, by name; the last output of one that runs more than once."""
        taken: dict[str, Any] = {}
        before, self._taken = self._taken, taken
        try:
            yield taken
        finally:
            self._taken = before

    def remove(self) -> None:
        """Take the hooks off the network, and let go of what was kept."""
        for hook in self._hooks:
            hook.remove()
        self._taken = None

    @property
    def is_open(self) -> bool:
        """Whether outputs are kept."""
        return self._taken is not None

    def keep(self, name: str, output: Any) -> None:
        """Keep an output, if open."""
        if self._taken is not None:
            self._taken[name] = output


class FeatureTaps(Taps):
    """The feature maps that a network makes in a forward pass, for a loss in a training loop of one's own.

    Any ``nn.Module`` will do, also one that is wrapped by DDP or :func:`torch.compile`. Where no modules are named, the
    maps are what its ``encoder`` (segmentation_models_pytorch) or its ``backbone`` gives, or its own answer (timm's
    ``features_only``).

    Channels and strides are found by a pass over one image in evaluation mode. The tensors are real, since a network
    that keeps what it computes, as Swin keeps masks, would keep fake ones.

    Args:
        model: The network; if it is compiled, before its first pass.
        at: Names of modules whose outputs are taken, as ``model.named_modules()`` has them, shallowest first. One that
            gives several maps gives those of stride 4 and more, or with a number behind it one of them:
            ``encoder.2``, see :func:`numbered_map`.
        image: Float ``[B, C, H, W]`` that the network takes; a blank one of 256×256 with three channels if not given.

    Attributes:
        channels: Channels of each map, the ``in_channels`` of a loss.
        strides: Stride of each map in pixels.

    Raises:
        ConfigError: If a module does not exist, does not run or gives no feature map, a shallower map comes behind a
            deeper one, the network does not take the image, or it is an ``nn.DataParallel``.
    """

    def __init__(self, model: nn.Module, at: Sequence[str] | None = None, image: Tensor | None = None) -> None:
        network = _unwrapped(model)
        image = blank(network, BLANK) if image is None else image
        names = _giving_several(network, image) if at is None else at
        check_names(network, names, "at")
        outputs = _outputs(network, names, image)
        self._chosen: list[tuple[str, int]] = []  # a module, and which of the tensors that it gives
        maps: list[Tensor] = []
        for name in names:
            if name not in outputs:
                raise ConfigError(f"at has {name}, which a forward pass of {type(network).__name__} does not run")
            of_module = maps_of(outputs[name], image)
            if not of_module:
                raise no_map(network, name, image, "at")
            self._chosen += [(name, index) for index in of_module]
            maps += of_module.values()
        self.channels = tuple(one.shape[1] for one in maps)
        self.strides = tuple(stride_of(one, image) for one in maps)
        check_order([name for name, _ in self._chosen], self.strides, "at")
        super().__init__(network, names)
        self._taken = {}
        self._hooks.append(network.register_forward_pre_hook(_Anew(self)))

    def take(self) -> list[Tensor]:
        """The maps ``[B, C_i, H_i, W_i]`` of the last forward pass, shallowest first, which are then forgotten here.

        Raises:
            ConfigError: If the modules have not run since the last call.
        """
        taken = self._taken or {}
        self.forget()
        if missing := [name for name in self.names if name not in taken]:
            raise ConfigError(
                f"take() must follow a forward pass of the model that runs {missing[0] or 'it'}: each pass is taken "
                "once, hooks that were removed take nothing, and a compiled model must not have run before its taps "
                "were made"
            )
        return [tree_leaves(taken[name])[index] for name, index in self._chosen]

    def forget(self) -> None:
        """Let go of what was kept, as a new forward pass does."""
        self._taken = {}


def no_map(network: nn.Module, name: str, image: Tensor, argument: str) -> ConfigError:
    """The error for a module whose output is no feature map."""
    return ConfigError(
        f"{argument}: {name or 'it'} of {type(network).__name__} gives no feature map [B, C, H, W]; it is possible to "
        f"name {nameable(network, image)}"
    )


def nameable(network: nn.Module, image: Tensor) -> str:
    """Modules whose maps could be taken, one for each stride: the outermost, and of several the widest.

    Args:
        network: The plain network.
        image: Float ``[B, C, H, W]`` that it takes.
    """
    maps: dict[int, list[tuple[int, int, str]]] = {}
    for name, output in _outputs(network, [name for name, _ in network.named_modules() if name], image).items():
        if is_map(output, image) and 1 < output.shape[-1] < image.shape[-1]:
            maps.setdefault(stride_of(output, image), []).append((name.count("."), -output.shape[1], name))
    best = {stride: min(found) for stride, found in maps.items()}
    named = [f"{name} ({-channels} channels, stride {stride})" for stride, (_, channels, name) in sorted(best.items())]
    return ", ".join(named[:_NAMED]) or "none"


@torch.no_grad()
def _outputs(network: nn.Module, names: Sequence[str], image: Tensor) -> dict[str, Any]:
    """What modules give in a pass that leaves the network as it was, by name, as far as they run."""
    taps = Taps(network, names)
    try:
        with taps.open() as taken, evaluating(network), torch.compiler.set_stance("force_eager"):
            network(image)
    except ConfigError:  # a map that is not there
        raise
    except Exception as error:  # whatever the code of a network raises
        raise ConfigError(
            f"image must be one that {type(network).__name__} takes, such as torch.zeros(1, 3, 224, 224), got "
            f"{list(image.shape)} ({first_line(error)})"
        ) from error
    finally:
        taps.remove()
    return taken


def _giving_several(network: nn.Module, image: Tensor) -> tuple[str]:
    """The name of the module that gives several maps at once.

    Raises:
        ConfigError: If there is none, with names of others.
    """
    known = dict(network.named_modules())
    outputs = _outputs(network, [name for name in _SEVERAL if name in known], image)
    for name in _SEVERAL:
        if len(maps_of(outputs.get(name), image)) > 1:
            return (name,)
    raise ConfigError(
        f"at must name modules of {type(network).__name__}, shallowest first, as no encoder or backbone of it gives "
        f"several feature maps [B, C, H, W]; it is possible to name {nameable(network, image)}"
    )


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside DDP and ``torch.compile``."""
    if isinstance(model, nn.DataParallel):
        raise ConfigError("model must not be an nn.DataParallel, whose copies live for one pass: use DDP")
    inner = model.module if isinstance(model, DistributedDataParallel) else getattr(model, "_orig_mod", None)
    return _unwrapped(inner) if isinstance(inner, nn.Module) else model


class _Tap:
    """A hook: an object, so that it is copied along with what it belongs to."""

    def __init__(self, taps: Taps, name: str, number: int | None) -> None:
        self.taps = taps
        self.name = name
        self.number = number

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002  (torch's signature)
        if self.taps.is_open:
            if self.number is not None:
                output = numbered_map(output, self.number, inputs[0] if inputs else None, self.name)
            self.taps.keep(self.name, output)


class _Anew:
    """A hook before a network's pass: what an earlier one left, or a checkpointed one in its backward pass, goes."""

    def __init__(self, taps: FeatureTaps) -> None:
        self.taps = taps

    def __call__(self, module: nn.Module, inputs: Any) -> None:  # noqa: ARG002  (torch's signature)
        self.taps.forget()
