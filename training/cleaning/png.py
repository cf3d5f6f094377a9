"""Small PNG files in memory: a slice in grey, a map of errors in the colours of heat."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]

_GREY, _PALETTE = 0, 3  # colour types of PNG (ISO/IEC 15948, 11.2.2)


def encode_png(pixels: ByteArray, palette: ByteArray | None = None) -> bytes:
    """Encode 8-bit pixels, [H, W], in grey or through a palette, [256, 3]."""
    height, width = pixels.shape
    kind = _GREY if palette is None else _PALETTE
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    # Each row begins with its filter; 0 leaves the bytes as they are.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def data_uri(png: bytes) -> str:
    """Put a PNG into the page itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def heat_palette() -> ByteArray:
    """Black, red, yellow, white: brighter throughout, so that it also reads in grey; [256, 3]."""
    level = np.linspace(0, 3, 256)[:, None]
    return (255 * np.clip(level - np.arange(3), 0, 1)).astype(np.uint8)


def to_bytes(values: NDArray[np.floating], highest: float = 1.0) -> ByteArray:
    """Map 0 to `highest` to 0 to 255; what lies outside is clipped."""
    scaled = np.nan_to_num(np.asarray(values, np.float64) / (highest or 1.0))
    return (255 * np.clip(scaled, 0, 1) + 0.5).astype(np.uint8)


def shrink(pixels: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """Average blocks of pixels until a square [S, S] is at most `side` wide."""
    factor = -(-pixels.shape[0] // side)
    n = pixels.shape[0] // factor
    blocks = np.asarray(pixels, np.float32)[: n * factor, : n * factor]
    return np.asarray(blocks.reshape(n, factor, n, factor).mean(axis=(1, 3)))


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check
