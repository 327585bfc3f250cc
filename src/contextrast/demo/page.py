"""The page of ``contextrast-demo``: Gradio's, with everything switched off that would leave this machine."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextrast.analysis.extras import from_extra
from contextrast.data.decoding import Picture, decode_image
from contextrast.data.labels import LabelTable
from contextrast.errors import DataError
from contextrast.reporting.figures import overlay

Ids = NDArray[np.uint8]
"""Train ids ``[H, W]``."""

_FONTS = ["system-ui", "sans-serif"]  # of the visitor's machine; Gradio's own come from a server
_LARGEST_UPLOAD = "50mb"


@dataclass(frozen=True)
class Shown:
    """A network on the page.

    Attributes:
        title: What stands above its picture.
        labels: Its classes.
        segment: RGB image uint8 ``[H, W, 3]`` -> train ids ``[H, W]``.
    """

    title: str
    labels: LabelTable
    segment: Callable[[Picture], Ids]


def build(networks: Sequence[Shown], alpha: float = 0.5) -> Any:
    """The page, as Gradio's ``Blocks``.

    Args:
        networks: What is shown side by side.
        alpha: Opacity of the classes to begin with, 0..1.

    Raises:
        ConfigError: If the extra ``demo`` is not installed.
    """
    gradio = _gradio()

    def segmented(path: str | None, opacity: float) -> list[Any]:
        if path is None:
            return [None, *[None, ""] * len(networks)]
        try:
            image = decode_image(Path(path))
            found = [network.segment(image) for network in networks]
        except DataError as error:  # which names the path that the upload has here
            raise gradio.Error(escape(str(error).replace(path, "The file")), print_exception=False) from error
        views = zip(networks, found, drawn((image, found), opacity), strict=True)
        return [(image, found), *(part for shown, ids, view in views for part in (view, legend(shown.labels, ids)))]

    def drawn(state: tuple[Picture, list[Ids]] | None, opacity: float) -> list[Picture | None]:
        if state is None:
            return [None] * len(networks)
        image, found = state
        return [overlay(image, ids, shown.labels, opacity) for shown, ids in zip(networks, found, strict=True)]

    with gradio.Blocks(title="contextrast", analytics_enabled=False) as page:
        state = gradio.State(None)
        # As a path and in any mode, so that it is our decoder that reads the file: it takes raster formats alone.
        image = gradio.Image(label="Image", type="filepath", image_mode=None, sources=["upload", "clipboard"])
        opacity = gradio.Slider(0.0, 1.0, alpha, step=0.05, label="Opacity")
        pictures, legends = [], []
        with gradio.Row():
            for shown in networks:
                with gradio.Column():
                    gradio.HTML(f'<b style="overflow-wrap:anywhere">{escape(shown.title)}</b>')
                    # Without Gradio's button `share`, which would send the picture to a server.
                    plain = {"show_label": False, "interactive": False, "buttons": ["download", "fullscreen"]}
                    pictures.append(gradio.Image(format="png", **plain))
                    legends.append(gradio.HTML())
        both = [part for pair in zip(pictures, legends, strict=True) for part in pair]
        image.change(segmented, [image, opacity], [state, *both], api_visibility="private")
        # `change` and not `release`, which the keyboard does not cause; of many changes the last one is drawn
        opacity.change(drawn, [state, opacity], pictures, api_visibility="private", trigger_mode="always_last")
    return page


def legend(labels: LabelTable, ids: Ids) -> str:
    """HTML: the classes in an image with their colours and shares of its pixels, the largest first."""
    shares = np.bincount(ids.ravel(), minlength=256)[: labels.num_classes] / ids.size
    rows = [
        f'<li><span style="display:inline-block;width:1em;height:1em;background:rgb{labels.palette[train_id]}"></span> '
        f"{escape(labels.classes[train_id])} {shares[train_id]:.1%}</li>"
        for train_id in np.argsort(-shares, kind="stable")
        if shares[train_id] > 0
    ]
    return f'<ul style="list-style:none;padding:0">{"".join(rows)}</ul>'


def launch(page: Any, host: str, port: int | None, *, block: bool = True) -> str:
    """Serve a page until it is interrupted; nobody is told, and no tunnel is opened.

    Args:
        page: What `build` made.
        host: Address to listen at.
        port: Port to listen at; None takes a free one.
        block: Whether to wait until the server is stopped.

    Returns:
        The page's address.
    """
    theme = _gradio().themes.Base(font=_FONTS, font_mono=["monospace"])
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        theme=theme,
        footer_links=[],
        max_file_size=_LARGEST_UPLOAD,
        prevent_thread_lock=not block,
        quiet=not block,
    )
    return str(address)


def _gradio() -> Any:
    # Both are read when Gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return from_extra("gradio", "demo", "contextrast-demo")
