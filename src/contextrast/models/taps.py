"""Outputs of modules inside a network, by name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn


class Taps:
    """Takes the outputs of some of a network's modules while it is open, by forward hooks that else do nothing.

    The hooks stay, since a compiled forward pass would be compiled anew for every hook that comes or goes. A copy of
    network and taps together is independent of the originals.

    Args:
        network: The network.
        names: Dotted names of the modules, which exist.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._taken: dict[str, Any] | None = None
        self._hooks = [network.get_submodule(name).register_forward_hook(_Tap(self, name)) for name in self.names]

    @contextmanager
    def open(self) -> Iterator[dict[str, Any]]:
        """What the modules give from here on, by name; the last output of one that runs more than once."""
        taken: dict[str, Any] = {}
        self._taken = taken
        try:
            yield taken
        finally:
            self._taken = None

    def remove(self) -> None:
        """Take the hooks off the network."""
        for hook in self._hooks:
            hook.remove()

    def take(self, name: str, output: Any) -> None:
        """Keep an output, if open."""
        if self._taken is not None:
            self._taken[name] = output


class _Tap:
    """A hook: an object, so that it is copied along with what it belongs to."""

    def __init__(self, taps: Taps, name: str) -> None:
        self.taps = taps
        self.name = name

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002  (torch's signature)
        self.taps.take(self.name, output)
