"""Trained networks for use elsewhere: one file per format, what is written beside the weights, the check of both."""

from contextrast.export.deployed import Deployed
from contextrast.export.exported import Exported, is_export, load_export
from contextrast.export.format import Format, Metadata
from contextrast.export.metadata import describe, model_card
from contextrast.export.onnx_file import Onnx
from contextrast.export.safetensors_file import Safetensors
from contextrast.export.smp_folder import SmpFolder
from contextrast.export.torch_export_file import TorchExport
from contextrast.export.verification import photograph, verify

__all__ = [
    "Deployed",
    "Exported",
    "Format",
    "Metadata",
    "Onnx",
    "Safetensors",
    "SmpFolder",
    "TorchExport",
    "describe",
    "is_export",
    "load_export",
    "model_card",
    "photograph",
    "verify",
]
