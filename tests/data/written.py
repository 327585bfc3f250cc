"""Image files with what libraries here do not write by default: tags, and depths byte by byte."""

import struct
import zlib

import numpy as np
from PIL import ExifTags, Image

# What a viewer does with a stored picture of each EXIF orientation, written down as array operations.
SHOWN = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: np.rot90(stored, 2),
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.transpose(1, 0, 2), 2),
    8: lambda stored: np.rot90(stored, 1),
}


def save_turned(path, pixels, orientation):
    """Writes a picture with an EXIF orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def save_grey_png(path, rows, bits):
    """Writes a grey PNG of 2 or 4 bits a pixel by hand, as no library here writes it."""
    packed = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        packed += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def wide_png(path, pixels):
    """Writes 16 bits a channel by hand, as pillow writes them for grey alone: LA, RGB or RGBA by the last dimension."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                     + chunk(b"IEND", b""))  # fmt: skip
    return path


def wide_tiff(path, pixels, kind):
    """Writes an uncompressed TIFF of three channels by hand; ``kind`` is its SampleFormat."""
    height, width = pixels.shape[:2]
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2),
              (273, 4, 1, 220), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, pixels.nbytes), (284, 3, 1, 1),
              (339, 3, 3, 206)]  # fmt: skip
    start = b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    bits, kinds = struct.pack("<3H", *[8 * pixels.itemsize] * 3), struct.pack("<3H", *[kind] * 3)
    path.write_bytes(start.ljust(200, b"\0") + bits + kinds.ljust(14, b"\0") + pixels.tobytes())
    return path


def netpbm(path, magic, pixels, most):
    path.write_bytes(f"{magic}\n{pixels.shape[1]} {pixels.shape[0]}\n{most}\n".encode() + pixels.tobytes())
    return path


def tiff_of_channels(path, pixels, kind, planes=False, orientation=1):
    """Writes an uncompressed TIFF of C channels ``[H, W, C]`` by hand, side by side or one plane after the other."""
    height, width, channels = pixels.shape
    parts = [pixels[..., c].tobytes() for c in range(channels)] if planes else [pixels.tobytes()]
    fields = 13
    behind = 8 + 2 + 12 * fields + 4  # arrays that do not fit into a field
    bits, extra, kinds = ([8 * pixels.itemsize] * channels, [0] * (channels - 1), [kind] * channels)
    at, blocks = {}, b""
    for name, values in {"bits": bits, "extra": extra, "kinds": kinds}.items():
        at[name] = behind + len(blocks)
        blocks += struct.pack(f"<{len(values)}H", *values)
    blocks += b"\0" * (len(blocks) % 4)
    sizes, start = [len(part) for part in parts], behind + len(blocks) + (8 * len(parts) if planes else 0)
    offsets = [start + sum(sizes[:place]) for place in range(len(parts))]
    at["offsets"], at["sizes"] = (
        (behind + len(blocks), behind + len(blocks) + 4 * len(parts)) if planes else (start, sizes[0])
    )
    blocks += struct.pack(f"<{2 * len(parts)}I", *offsets, *sizes) if planes else b""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, at["bits"]), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, len(parts), at["offsets"]), (274, 3, 1, orientation), (277, 3, 1, channels), (278, 4, 1, height),
            (279, 4, len(parts), at["sizes"]), (284, 3, 1, 2 if planes else 1), (338, 3, channels - 1, at["extra"]),
            (339, 3, channels, at["kinds"])]  # fmt: skip
    assert len(tags) == fields
    directory = struct.pack("<H", fields) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + blocks + b"".join(parts))
    return path
