"""What a call asks of the device: its operations, and those whose result the host has to wait for."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

HOST_READS = frozenset(
    {
        "_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "bincount", "equal", "is_nonzero",
        "repeat_interleave", "boolean indexing",
    }
)  # fmt: skip
"""Operations whose result, or whose result's size, the host reads: on a GPU it waits for the device."""


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's stub
    """Collects the names of all operations that reach torch's dispatcher, in ``names``; a context manager."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.names: list[str] = []

    def host_reads(self) -> list[str]:
        """Names of those that the host waits for."""
        return [name for name in self.names if name in HOST_READS]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note an operation, and do it."""
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        if any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices):
            name = "boolean indexing"
        self.names.append(name)
        function: Callable[..., Any] = func
        return function(*args, **(kwargs or {}))
