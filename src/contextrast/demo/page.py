"""The page of ``contextrast-demo``: Gradio's, with everything switched off that would leave this machine."""

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from PIL import Image

from contextrast.data.decoding import Picture
from contextrast.data.depth import Range
from contextrast.data.labels import LabelTable
from contextrast.demo import views
from contextrast.demo.uploads import Uploads
from contextrast.demo.views import Found
from contextrast.errors import ContextrastError, DataError, check_number
from contextrast.extras import from_extra

_FONTS = ["system-ui", "sans-serif"]  # of the visitor's machine; Gradio's own come from a server
_LARGEST_UPLOAD = "50mb"
_AT_ONCE = 4  # requests of a kind that are worked on
_TEMPLATES: Final = Path(__file__).parent / "templates"
_VIEWS: Final = ("classes", "confidence")
_NARROWEST: Final = 260  # pixels; columns that had less stand below each other

State = tuple[Picture, list[Found]]
"""An image and what each network finds in it."""


@dataclass(frozen=True)
class Shown:
    """A network on the page.

    Attributes:
        title: Its name.
        labels: Its classes.
        segment: RGB image uint8 ``[H, W, 3]`` -> what is found in it.
        about: What else there is to say of it, in a line.
    """

    title: str
    labels: LabelTable
    segment: Callable[[Picture], Found]
    about: str = ""


class Drawing:
    """What the page's events do: decode, segment and draw, without a line about how the page looks.

    Args:
        networks: One or two.
        uploads: The files of its visitors.
    """

    def __init__(self, networks: Sequence[Shown], uploads: Uploads) -> None:
        self._networks, self._uploads = networks, uploads
        self._labels = [network.labels for network in networks]
        self._segmenting = threading.Lock()  # decoding takes place beside it; two images take twice the memory

    def segmented(self, path: str | None, session: str) -> State | None:
        """An uploaded image and what each network finds in it; None of none.

        Raises:
            DataError: If the file cannot be shown, or a network does not take the image.
        """
        if path is None:
            return None
        try:
            image = self._uploads.decode(path, session)
            with self._segmenting:
                return image, [network.segment(image) for network in self._networks]
        except ContextrastError as error:  # which names the path that the upload has here
            raise DataError(str(error).replace(path, "The file")) from error

    def drawn(self, state: State | None, view: str, opacity: float, session: str) -> list[str | None]:
        """Files of the networks' pictures in a session's folder."""
        if state is None:
            return [None] * len(self._networks)
        image, found = state
        return [
            self._written(
                views.confidence(image, one) if view == "confidence" else views.classes(image, one, labels, opacity),
                session,
            )
            for one, labels in zip(found, self._labels, strict=True)
        ]

    def compared(self, state: State | None, session: str) -> tuple[str | None, str]:
        """File of the map of differences, where there are two networks, and the table of areas."""
        if state is None:
            return None, ""
        image, found = state
        table = views.areas(found, self._labels)
        if len(found) == 1:
            return None, table
        picture, share = views.differences(image, found, self._labels)
        return self._written(picture, session), f"{table}<p>They differ on {100 * share:.1f} % of the pixels.</p>"

    def _written(self, picture: Picture, session: str) -> str:
        """A file under a new name each time, as browsers keep what they have; the library would keep it for ever."""
        folder = self._uploads.of_session(session)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".png", delete=False) as file:
            Image.fromarray(picture).save(file, "PNG")
        return file.name


def build(
    networks: Sequence[Shown],
    folder: Path,
    alpha: float = 0.5,
    megapixels: float = 25.0,
    image_range: Range | None = None,
    examples: Sequence[Path] = (),
) -> Any:
    """The page, as Gradio's ``Blocks``.

    Args:
        networks: What is shown: one network, or two side by side.
        folder: An empty folder of this server's alone, for uploads and what is made of them; a session's are removed
            when it ends.
        alpha: Opacity of the classes to begin with, 0..1.
        megapixels: The largest image, in millions of pixels.
        image_range: The values of images that become black and white; None: those of 8 bits a channel.
        examples: Images that the page offers.

    Raises:
        ConfigError: If the extra ``demo`` is not installed, or a number is out of range.
    """
    check_number("alpha", alpha, 0, 1)
    check_number("max_megapixels", megapixels, above=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # the only way to tell Gradio, which asks for it now and at the launch
    gradio = _gradio()
    uploads = Uploads(folder, int(megapixels * 1e6), image_range)
    drawing = Drawing(networks, uploads)

    def segmented(
        path: str | None,
        view: str,
        opacity: float,
        request: gradio.Request,  # type: ignore[name-defined]  # the library looks for this type
    ) -> list[Any]:
        session = str(request.session_hash)
        try:
            state = drawing.segmented(path, session)
        except DataError as error:  # stays until it is closed
            raise gradio.Error(escape(str(error)), None, print_exception=False) from error
        return [state, *drawing.drawn(state, view, opacity, session), *drawing.compared(state, session)]

    def redrawn(
        state: State | None,
        view: str,
        opacity: float,
        request: gradio.Request,  # type: ignore[name-defined]
    ) -> Any:
        drawn = drawing.drawn(state, view, opacity, str(request.session_hash))
        return drawn if len(drawn) > 1 else drawn[0]  # the library takes a list for the one output's value

    def ended(request: gradio.Request) -> None:  # type: ignore[name-defined]
        uploads.forget(str(request.session_hash))

    with gradio.Blocks(title="Contextrast", analytics_enabled=False) as page:
        gradio.HTML(_heading(len(networks)))
        state = gradio.State(None)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=_NARROWEST):
                image = _upload(gradio)
            with gradio.Column(scale=1, min_width=_NARROWEST):
                if examples:
                    offered = gradio.Dataset(
                        components=[image], samples=[[str(path)] for path in examples], type="index", label="Examples"
                    )
                view = gradio.Radio(
                    _VIEWS, value=_VIEWS[0], label="Show", info="Confidence: the more orange, the less sure."
                )
                opacity = gradio.Slider(0.0, 1.0, alpha, step=0.05, label="Opacity of the classes")
        pictures, differences, areas = _results(gradio, networks)
        private = {"api_visibility": "private", "concurrency_limit": _AT_ONCE}
        image.change(segmented, [image, view, opacity], [state, *pictures, differences, areas], **private)
        # `change` and not `release`, which the keyboard does not cause; of many changes the last one is drawn
        for control in (view, opacity):
            control.change(redrawn, [state, view, opacity], pictures, trigger_mode="always_last", **private)
        if examples:
            offered.click(lambda place: str(examples[place]), offered, image, **private)
            uploads.keep_examples()
        page.unload(ended)
    return page


def _upload(gradio: Any) -> Any:
    """The library's image as a path: it is our decoder alone that reads the file, and says what is wrong with it."""
    image = gradio.Image(label="Image", type="filepath", sources=["upload", "clipboard"], height=320)
    # Whose own method opens the file before; a class of ours would have the library write a .pyi file beside it.
    image.preprocess = lambda payload: None if payload is None else payload.path
    return image


def _heading(number: int) -> str:
    seen = "its classes" if number == 1 else "what two networks make of it"
    logo = (_TEMPLATES / "logo.svg").read_text("utf-8")
    says = f"Drop an image and see {seen}. It stays on the machine that serves this page."
    return f'<div class="heading">{logo}<div><h1>Contextrast</h1><p>{says}</p></div></div>'


def _results(gradio: Any, networks: Sequence[Shown]) -> tuple[list[Any], Any, Any]:
    """Each network's picture, the map of differences (hidden for one network), and the areas beside the last."""
    # Without Gradio's button `share`, which would send the picture to a server.
    plain = {"interactive": False, "buttons": ["download", "fullscreen"], "format": "png", "show_label": False}
    several = len(networks) > 1
    pictures = []
    with gradio.Row():
        for number, shown in enumerate(networks, start=1):
            with gradio.Column(scale=2, min_width=_NARROWEST):
                name = f"{number} · {shown.title}" if several else shown.title
                gradio.HTML(f'<div class="network"><b>{escape(name)}</b><p>{escape(shown.about)}</p></div>')
                pictures.append(gradio.Image(**plain))
        if not several:
            with gradio.Column(scale=1, min_width=_NARROWEST):
                areas = gradio.HTML(elem_classes="areas")
    with gradio.Row(visible=several):
        with gradio.Column(scale=1, min_width=_NARROWEST):
            gradio.HTML(
                '<div class="network"><b>Where they differ</b><p>cyan; pale where one of them is not sure</p></div>'
            )
            differences = gradio.Image(**plain)
        if several:
            with gradio.Column(scale=1, min_width=_NARROWEST):
                areas = gradio.HTML(elem_classes="areas")
    return pictures, differences, areas


def launch(page: Any, host: str, port: int | None) -> str:
    """Serve a page in threads of its own; nobody is told, and no tunnel is opened.

    Args:
        page: What `build` made.
        host: Address to listen at.
        port: Port to listen at; None takes a free one.

    Returns:
        The page's address.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is there
    theme = _gradio().themes.Base(font=_FONTS, font_mono=["monospace"])
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        theme=theme,
        css_paths=[_TEMPLATES / "page.css"],
        favicon_path=_TEMPLATES / "logo.svg",
        footer_links=[],
        max_file_size=_LARGEST_UPLOAD,
        prevent_thread_lock=True,
        quiet=True,  # it would recommend a tunnel
    )
    return str(address)


def _gradio() -> Any:
    # Both are read when Gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return from_extra("gradio", "demo", "contextrast-demo")
