"""Files of the page's visitors: which of them a request may name, and when they go."""

import hashlib
import shutil
import threading
from collections import defaultdict
from pathlib import Path
from typing import Final

from contextrast.data.decoding import Picture, decode_image
from contextrast.data.depth import Range
from contextrast.data.formats import image_size
from contextrast.errors import DataError

_SESSIONS: Final = "sessions"


class Uploads:
    """A folder of one server alone, with the uploads of all sessions and what was made for each.

    A request names a file by its path, and whoever writes requests by hand can name any. The web library has put what
    it took from visitors into this folder, under a hash of its content; nothing else is opened.

    Args:
        folder: An empty folder that nobody else can read.
        pixels: The largest image that is decoded.
        image_range: The values of images that become black and white; None: those of 8 bits a channel.
    """

    def __init__(self, folder: Path, pixels: int, image_range: Range | None = None) -> None:
        self.folder = folder.resolve()
        self.pixels = pixels
        self.image_range = image_range
        self._lock = threading.Lock()
        self._of_session: dict[str, set[Path]] = defaultdict(set)
        self._examples: frozenset[Path] = frozenset()

    def keep_examples(self) -> None:
        """Keep what lies in the folder now, before the first visit: pictures that the page offers to everybody."""
        self._examples = frozenset(path.resolve() for path in self.folder.rglob("*") if path.is_file())

    def decode(self, path: str, session: str) -> Picture:
        """Decode what a session has uploaded.

        Returns:
            RGB uint8 ``[H, W, 3]``.

        Raises:
            DataError: If the path is not that of an upload, or the file is no image or too large.
        """
        file = Path(path)
        try:
            inside = file.resolve(strict=True).relative_to(self.folder).parts
        except (OSError, ValueError):
            inside = ()
        if len(inside) < 2 or inside[0] == _SESSIONS or file.is_symlink():
            raise DataError("This is no file that was uploaded here. Drop an image onto the page.")
        with self._lock:
            self._of_session[session].add(file.resolve())
        width, height = image_size(file)
        if width * height > self.pixels:
            raise DataError(
                f"The image has {width} x {height} pixels, and this page takes {self.pixels / 1e6:g} million. Make it "
                "smaller, or use contextrast-predict."
            )
        return decode_image(file, image_range=self.image_range)

    def of_session(self, session: str) -> Path:
        """The folder for what is made for a session."""
        name = hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()
        folder = self.folder / _SESSIONS / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget(self, session: str) -> None:
        """Remove what a session has uploaded, where no other one has it too, and what was made for it."""
        with self._lock:
            own = self._of_session.pop(session, set())
            kept = self._examples.union(*self._of_session.values())
        for file in own - kept:
            shutil.rmtree(file.parent, ignore_errors=True)
        shutil.rmtree(self.of_session(session), ignore_errors=True)
