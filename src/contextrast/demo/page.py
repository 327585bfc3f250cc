"""The page of ``contextrast-demo``: Gradio's, with everything switched off that would leave this machine."""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextrast.data.decoding import Picture
from contextrast.data.depth import Range
from contextrast.data.labels import LabelTable
from contextrast.demo.uploads import Uploads
from contextrast.errors import DataError, check_number
from contextrast.extras import from_extra
from contextrast.reporting.figures import overlay

Ids = NDArray[np.uint8]
"""Train ids ``[H, W]``."""

_FONTS = ["system-ui", "sans-serif"]  # of the visitor's machine; Gradio's own come from a server
_LARGEST_UPLOAD = "50mb"
_AT_ONCE = 4  # requests of a kind that are worked on


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


def build(
    networks: Sequence[Shown],
    folder: Path,
    alpha: float = 0.5,
    megapixels: float = 25.0,
    image_range: Range | None = None,
) -> Any:
    """The page, as Gradio's ``Blocks``.

    Args:
        networks: What is shown side by side.
        folder: An empty folder of this server's alone, for uploads and what is made of them; a session's are removed
            when it ends.
        alpha: Opacity of the classes to begin with, 0..1.
        megapixels: The largest image, in millions of pixels.
        image_range: The values of images that become black and white; None: those of 8 bits a channel.

    Raises:
        ConfigError: If the extra ``demo`` is not installed, or a number is out of range.
    """
    check_number("alpha", alpha, 0, 1)
    check_number("max_megapixels", megapixels, above=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # the only way to tell Gradio, which asks for it now and at the launch
    gradio = _gradio()
    uploads = Uploads(folder, int(megapixels * 1e6), image_range)
    segmenting = threading.Lock()  # decoding takes place beside it; two images in a network take twice the memory

    def segmented(
        path: str | None,
        opacity: float,
        request: gradio.Request,  # type: ignore[name-defined]  # the library looks for this type
    ) -> list[Any]:
        if path is None:
            return [None, *[None, ""] * len(networks)]
        try:
            image = uploads.decode(path, str(request.session_hash))
            with segmenting:
                found = [network.segment(image) for network in networks]
        except DataError as error:  # which names the path that the upload has here
            raise gradio.Error(escape(str(error).replace(path, "The file")), print_exception=False) from error
        views = zip(networks, found, drawn((image, found), opacity, request), strict=True)
        return [(image, found), *(part for shown, ids, view in views for part in (view, legend(shown.labels, ids)))]

    def drawn(
        state: tuple[Picture, list[Ids]] | None,
        opacity: float,
        request: gradio.Request,  # type: ignore[name-defined]
    ) -> list[str | None]:
        if state is None:
            return [None] * len(networks)
        image, found = state
        folder = uploads.of_session(str(request.session_hash))
        views: list[str | None] = []
        for shown, ids in zip(networks, found, strict=True):
            # Under a new name each time, as browsers keep what they have; the library would keep it beyond the session.
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".png", delete=False) as file:
                Image.fromarray(overlay(image, ids, shown.labels, opacity)).save(file, "PNG")
            views.append(file.name)
        return views

    def ended(request: gradio.Request) -> None:  # type: ignore[name-defined]
        uploads.forget(str(request.session_hash))

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
        private = {"api_visibility": "private", "concurrency_limit": _AT_ONCE}
        image.change(segmented, [image, opacity], [state, *both], **private)
        # `change` and not `release`, which the keyboard does not cause; of many changes the last one is drawn
        opacity.change(drawn, [state, opacity], pictures, trigger_mode="always_last", **private)
        page.unload(ended)
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
