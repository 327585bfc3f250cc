"""``format=onnx``: a graph for ONNX Runtime and whatever else reads ONNX."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contextrast.errors import ConfigError
from contextrast.export.format import CPU, PIXELS, Format, Metadata, Predict
from contextrast.export.graph import INPUT, OUTPUT, not_traceable, of_graph, traced
from contextrast.export.metadata import as_text, from_text
from contextrast.extras import from_extra
from contextrast.models import Segmenter

_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
_OLDEST_OPSET = 18  # torch's exporter translates to this one and newer


class Onnx(Format):
    """One ``.onnx`` file with dynamic batch, height and width; metadata are its properties, each a JSON text.

    Args:
        opset: Version of ONNX's operators, 18 or newer.
        argmax: Whether the graph answers with the most probable classes, uint8 ``[B, H, W]``, in place of logits.

    Raises:
        ConfigError: If the opset is older, or the extra ``export`` is not installed.
    """

    name = "model.onnx"
    takes = PIXELS
    recipe = """
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
answer = session.run(None, {"image": image})[0]  # of uint8 [B, C, H, W]
"""

    def __init__(self, opset: int = 18, argmax: bool = False) -> None:
        if opset < _OLDEST_OPSET:
            raise ConfigError(f"format.opset={opset} is too old; torch exports {_OLDEST_OPSET} and newer.")
        for library in _LIBRARIES:
            from_extra(library, "export", "format=onnx")
        self.opset = opset
        self.argmax = argmax

    def write(self, network: Segmenter, metadata: Metadata, path: Path) -> Metadata:
        """Trace the network and translate the graph; see `Format.write`."""
        program, smallest = traced(network, self.argmax)
        metadata = of_graph(metadata, smallest, self.argmax)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the exporter's own use of torch
                exported = torch.onnx.export(
                    program,
                    (),
                    dynamo=True,
                    opset_version=self.opset,
                    input_names=[INPUT],
                    output_names=[OUTPUT[self.argmax]],
                    external_data=False,
                    verbose=False,
                )
                assert exported is not None
                exported.model.metadata_props.update(as_text(metadata))
                exported.save(path)
        except Exception as error:  # an operator without translation, a file above 2 GB, ...
            raise not_traceable(network, error) from error
        return metadata

    @classmethod
    def read(cls, path: Path, device: torch.device = CPU) -> Predict:
        """A session of ONNX Runtime, on a GPU where that is asked for and the installed Runtime can."""
        session = _session(path, device)

        def predict(image: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {INPUT: image.cpu().numpy()})[0]).to(device)

        return predict

    @classmethod
    def metadata(cls, path: Path) -> Metadata:
        """The properties of the model."""
        return from_text(_session(path, CPU).get_modelmeta().custom_metadata_map)


def _session(path: Path, device: torch.device) -> Any:
    runtime: Any = from_extra("onnxruntime", "export", "format=onnx")
    options = runtime.SessionOptions()  # whose constructor takes nothing
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device.type == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in runtime.get_available_providers()]
    # The bytes instead of the path: so there is no folder from which the file could have other files read.
    return runtime.InferenceSession(path.read_bytes(), options, providers=providers)
