"""Starting from a whole trained network: its weights from a local file, for the same classes or for others."""

from pathlib import Path

from torch import Tensor, nn

from contextrast.errors import WeightsError
from contextrast.models.weight_files import State, listed, mismatches, read_weights, without_wrappers

_OF_A_RUN = "network."  # a checkpoint's entries of the network; the rest is the loss and what else exists in training


def load_network_weights(
    network: nn.Module, source: str | Path, num_classes: int, *, allow_class_mismatch: bool = False
) -> None:
    """Load all of a network's weights from a local file, in place, or fail without having changed anything.

    Args:
        network: The plain network, without a wrapper.
        source: A checkpoint of ``contextrast-train``, a .pth, .pt or .safetensors file of the network's state dict, or
            a folder of the network's library, which a method ``read_folder`` of the network reads.
        num_classes: Number of classes N of the network.
        allow_class_mismatch: Leave the layers that have one channel per class as they are, where the file's have
            another number of classes.

    Raises:
        WeightsError: If the file is missing or unreadable, is of another network, or of other classes while that is
            not allowed.
    """
    path = Path(source).expanduser()
    expected = network.state_dict()
    state = _named_as(expected, _network_part(_read(network, path)))
    classes = [
        name for name in expected if name in state and _is_of_other_classes(expected[name], state[name], num_classes)
    ]
    kept = {name: value for name, value in state.items() if name not in classes}
    if problems := mismatches(
        {name: expected[name] for name in expected if name not in classes}, kept, "file", "network"
    ):
        raise WeightsError(
            f"{path} does not fit the network: {len(problems)} entries do not match.\n{listed(problems)}\n"
            "Choose the model that it was trained with, or set model.weights=null (a file of an encoder alone goes to "
            "model.encoder_weights)."
        )
    if classes and not allow_class_mismatch:
        raise WeightsError(
            f"{path} was trained on {len(state[classes[0]])} classes, this network has {num_classes} "
            f"({', '.join(classes)}). Set model.allow_class_mismatch=true to start these layers anew and keep all "
            "others, or choose data with the classes of the file."
        )
    nn.Module.load_state_dict(network, {**expected, **kept})


def _read(network: nn.Module, path: Path) -> State:
    """What a file holds, or a folder of the network's own library."""
    read_folder = getattr(network, "read_folder", None)
    if read_folder is not None and path.is_dir():
        state: State = read_folder(path)
        return state
    return read_weights(path, "model.weights to a checkpoint or null")


def _named_as(expected: State, state: State) -> State:
    """A file's entries by the network's names, which a class around another library's network begins by its own."""
    ours = {without_wrappers(name): name for name in expected}
    return {ours.get(name, name): value for name, value in state.items()}


def _network_part(state: State) -> State:
    """What belongs to the network: in a checkpoint the part of that name, else everything."""
    inside = {name: value for name, value in state.items() if name.startswith(_OF_A_RUN)}
    return {without_wrappers(name): value for name, value in (inside or state).items()}


def _is_of_other_classes(ours: Tensor, theirs: Tensor, num_classes: int) -> bool:
    """Whether an entry has one row per class in the network, and differs from the file's in their number only.

    Networks that classify masks have one more, for no object.
    """
    if not len(ours.shape) == len(theirs.shape) > 0:
        return False
    extra = len(ours) - num_classes
    return extra in (0, 1) and len(ours) != len(theirs) and ours.shape[1:] == theirs.shape[1:]
