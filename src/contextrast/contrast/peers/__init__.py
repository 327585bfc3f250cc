"""The losses that Contextrast is compared with, as their papers describe them."""

from contextrast.contrast.peers.groups import GroupSampler, Samples
from contextrast.contrast.peers.memory import PixelMemory
from contextrast.contrast.peers.multiscale import MultiscaleContrast, MultiscaleHead, MultiscaleLoss
from contextrast.contrast.peers.pairs import pair_contrast
from contextrast.contrast.peers.pixel_contrast import ConcatenatedHead, PixelContrast, PixelContrastLoss

__all__ = [
    "ConcatenatedHead",
    "GroupSampler",
    "MultiscaleContrast",
    "MultiscaleHead",
    "MultiscaleLoss",
    "PixelContrast",
    "PixelContrastLoss",
    "PixelMemory",
    "Samples",
    "pair_contrast",
]
