"""Image files before they are decoded: what format they are of, and what a decoder would drop silently."""

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from contextrast.data.orientation import TAGS, Header
from contextrast.errors import DataError, UnreadableError, check_number

FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "JPEG2000")
"""What files are opened as. Pillow knows others, whatever the suffix: it has Ghostscript run an EPS file's program."""

_WITH_FRAMES: Final = ("GIF", "PNG", "WEBP", "TIFF")  # not JPEG: what cameras add to a photograph is no further page
_BITS, _NEW_SUBFILE, _SAMPLE_FORMAT, _WIDTH, _HEIGHT = 258, 254, 339, 256, 257  # tags of TIFF
_REDUCED_OR_MASK: Final = 0b101  # kinds of TIFF's pages: overviews of another page, and what is transparent in it
_TAIL: Final = 1 << 17  # bytes: tags have 64 KiB at most
_J2K_SIZE, _J2K_CODING = b"\xff\x4f\xff\x51", b"\xff\x52"


@contextmanager
def opened(path: Path) -> Iterator[ImageFile]:
    """Open an image file of one picture; what goes wrong inside the ``with`` is said with its path.

    Raises:
        UnreadableError: The file is truncated or no image.
        DataError: It is missing, has several pages or frames, or its header promises too
            many pixels.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device read without end
            raise DataError(f"{path} is no regular file. Leave it out, or write the image into a file.")
        # Not by its path: pillow would map a grey TIFF into memory, and mix up width and height where its tag turns it.
        with path.open("rb") as content, Image.open(content, formats=FORMATS) as file:
            refuse_bomb(file.width * file.height, path)
            _refuse_frames(file, path)
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path, or fetch the file.") from error
    except Image.DecompressionBombError as error:  # pillow's own, from twice the limit on
        raise _bomb(path, str(error)) from error
    except UnidentifiedImageError as error:
        raise UnreadableError(
            f"{path} cannot be decoded. It is truncated or no image of the formats that are read "
            f"({', '.join(FORMATS)}): fetch it again, or convert it; one of other than three channels is read by "
            "data=folder with data.channels=N."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        # pillow reports a damaged PNG as a SyntaxError
        text = f"{path} cannot be decoded ({error}). It is truncated or no image: fetch it again."
        raise UnreadableError(text) from error


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as a viewer shows it, from its header.

    Raises:
        DataError: The file is missing or no image.
    """
    with opened(path) as file:
        return header(file, path).shown


def header(file: ImageFile, path: Path) -> Header:
    """Size and orientation of an opened file; without decoding it, unless a PNG has its tag behind its pixels."""
    tag = _orientation(file, path)
    if isinstance(file, TiffImageFile):  # pillow gives the size in a viewer
        return Header((int(file.tag_v2[_WIDTH]), int(file.tag_v2[_HEIGHT])), tag)
    return Header(file.size, tag)


def bits(file: ImageFile, path: Path) -> int:
    """Bits that the file has for each channel, whatever the decoder makes of them.

    Args:
        file: Opened, and not decoded yet.
        path: Where it lies.
    """
    if isinstance(file, TiffImageFile):
        return int(max(file.tag_v2.get(_BITS, (1,))))
    if file.format == "PPM" and file.mode != "1":
        return 32 if file.mode == "F" else largest(file).bit_length()
    if file.format == "PNG":
        with path.open("rb") as start:
            return start.read(25)[24]
    if file.format == "JPEG2000":
        content, position = _jpeg_2000(path, _J2K_SIZE)
        channels = content[position + 42 :: 3][: int.from_bytes(content[position + 40 : position + 42], "big")]
        return max(int(depth & 0x7F) + 1 for depth in channels)
    return 8


def is_float(file: ImageFile) -> bool:
    """Whether its channels are floating-point numbers."""
    return file.mode == "F" or (isinstance(file, TiffImageFile) and 3 in file.tag_v2.get(_SAMPLE_FORMAT, (1,)))


def largest(file: ImageFile) -> int:
    """The largest value that a PPM or PGM file says it has; 255 for any other."""
    args: Any = file.tile[0].args if file.tile else ()
    if file.format != "PPM" or file.mode in ("1", "F"):
        return 255
    if isinstance(args, str):
        return 65535 if args == "I;16B" else 255
    return int(args[1])


def is_lossy(file: ImageFile, path: Path) -> bool:
    """Whether what was written into the file may differ from what comes out of it."""
    if file.format == "TIFF":
        return file.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")
    if file.format == "WEBP":
        return _lossy_webp(path.read_bytes())
    if file.format == "JPEG2000":
        content, position = _jpeg_2000(path, _J2K_CODING)
        return content[position + 13] == 0  # the transformation: 0 is the one of fractions
    return file.format in ("JPEG", "MPO")


def _jpeg_2000(path: Path, marker: bytes) -> tuple[bytes, int]:
    """Content of a JPEG 2000 file, and where a marker of its codestream stands in it."""
    content = path.read_bytes()
    position = content.find(marker, max(0, content.find(_J2K_SIZE)))
    if position < 0 or len(content) < position + 43:
        raise ValueError("no size or coding style in it")
    return content, position


def _lossy_webp(content: bytes) -> bool:
    position = 12
    while position + 8 <= len(content):
        kind, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8 "
        position += 8 + size + size % 2
    return True


@contextmanager
def images_up_to(megapixels: float | None) -> Iterator[None]:
    """Inside the ``with``, open images of up to so many millions of pixels; None leaves Pillow's limit, 89.

    Raises:
        ConfigError: If it is no number above 0.
    """
    if megapixels is not None:
        check_number("max_megapixels", megapixels, above=True)
    limit = Image.MAX_IMAGE_PIXELS
    # Pillow has no argument for it.
    Image.MAX_IMAGE_PIXELS = limit if megapixels is None else int(megapixels * 1e6)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit  # as others expect it


def refuse_bomb(pixels: int, path: Path) -> None:
    """Refuse what pillow only warns of: images between its limit and twice as much take seconds and a gigabyte.

    Raises:
        DataError: If an image has more pixels than are opened.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise _bomb(path, f"Its header promises {pixels} pixels, the limit is {limit}.")


def _bomb(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not opened, as it would fill the memory: {reason} If it is genuine, cut it into pieces; "
        "contextrast-predict takes it with max_megapixels=N."
    )


def _refuse_frames(file: ImageFile, path: Path) -> None:
    """Refuse files of several pictures, of which a decoder would give the first alone."""
    if file.format not in _WITH_FRAMES:
        return
    try:
        frames = getattr(file, "n_frames", 1)
        if frames > 1 and isinstance(file, TiffImageFile):
            frames = sum(_full_page(file, page) for page in range(frames))
            file.seek(0)
    except (EOFError, KeyError, TypeError, struct.error) as error:  # a damaged page behind the first
        raise ValueError(f"pages that cannot be read: {error!r}") from error
    if frames > 1:
        raise DataError(
            f"{path} has {frames} pages or frames, and one image is read from a file. Write the one that is meant into "
            f"a file of its own: magick '{path.name}[0]' first.png, or all of them: magick '{path.name}' page_%d.png"
        )


def _full_page(file: TiffImageFile, page: int) -> bool:
    file.seek(page)
    return not file.tag_v2.get(_NEW_SUBFILE, 0) & _REDUCED_OR_MASK


def _orientation(file: ImageFile, path: Path) -> int:
    told = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
    if file.format == "PNG" and not told & file.info.keys() and not _late_exif(path):
        return 1  # asking pillow would decode the pixels
    try:
        tag = file.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # viewers pass over damaged tags, whatever is wrong with them
        return 1
    return tag if tag in TAGS else 1


def _late_exif(path: Path) -> bool:
    """Whether a PNG seems to have EXIF tags behind its pixels; asked of its end alone, as files may be on a network."""
    with path.open("rb") as content:
        content.seek(max(0, path.stat().st_size - _TAIL))
        return b"eXIf" in content.read()
