"""Keep decoded model inputs on disk: float16, one .npy file for a set of files, memory-mapped.

A hundred thousand slices of 192 x 192 pixels take 7 GB on disk and next to nothing in memory. Half
precision keeps eleven bits, more than most files have after windowing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from preprocessing import ImageError, InputSpec, open_image, to_input
from training.data.in_order import THREADS, in_order
from training.errors import ChangedWhileRead
from training.writing import aside

HalfArray = NDArray[np.float16]
Progress = Callable[[int, int], None]

# Raise it whenever preprocessing changes what it makes of a file.
_FORMAT = 2
COPY = -1


@dataclass(frozen=True)
class Encoded:
    """A file to decode.

    Args:
        path: of the file.
        sha256: of its content, when its header was read.
        frames: the numbers of the frames that are wanted, from 1.
    """

    path: Path
    sha256: str
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """The outcome of decoding one file.

    Args:
        frames: numbers of the frames that became inputs, from 1.
        rows: of the frames in the array; COPY where the pixels equal those of an earlier row, as
            they are stored or as the model sees them.
        code: why one of the wanted frames was refused; empty if none was.
    """

    frames: tuple[int, ...]
    rows: tuple[int, ...]
    code: str


@dataclass(frozen=True)
class Inputs:
    """Decoded files: an array on disk, and the outcome for each file.

    Args:
        path: the .npy file, float16 [N, 1, S, S] in [0, 1]; its name is a hash of the files.
        sha256: of its content.
        entries: one for each file.
    """

    path: Path
    sha256: str
    entries: tuple[Entry, ...]

    def open(self) -> HalfArray:
        """Map the array into memory, read-only."""
        x: HalfArray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return x


def decode(
    files: Sequence[Encoded],
    spec: InputSpec,
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> Inputs:
    """Decode files, or find them in the cache by their content, not by their dates.

    Args:
        files: in the order of the rows to write.
        spec: how an image becomes the model's input.
        folder: of the cache.
        progress: called with (files decoded, files in all).

    Raises:
        ChangedWhileRead: a file is not what it was when its header was read.
    """
    key = _key(files, spec)
    if (saved := _find(folder, key)) is not None:
        progress(len(files), len(files))
        return saved
    folder.mkdir(parents=True, exist_ok=True)
    with (
        ThreadPoolExecutor(THREADS) as pool,
        aside(folder / f"{key}.npy") as part,
        part.open("w+b") as written,
    ):
        entries = list[Entry]()
        writer = _Rows(written, spec.size)
        decoded = in_order(pool, lambda file: _decode(file, spec), files)
        for done, (images, code) in enumerate(decoded, 1):
            frames = tuple(image.frame for image in images)
            entries.append(Entry(frames, tuple(map(writer.add, images)), code))
            progress(done, len(files))
        writer.finish()
    return _save(folder, key, entries)


@dataclass(frozen=True)
class _Image:
    """A frame as it goes into the array, and the hashes by which a copy is known.

    A copy may have lost its spacing, or be stored the other way round with a header that says so:
    neither hash alone finds both.
    """

    frame: int
    content: bytes
    digests: frozenset[bytes]


class _Rows:
    """An .npy file that grows by one image at a time, without copies."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._shape, self._n = file, (1, size, size), 0
        self._seen: set[bytes] = set()
        self._write_header()

    def add(self, image: _Image) -> int:
        """Append an image and return its row; COPY if the file has it already."""
        if not self._seen.isdisjoint(image.digests):
            return COPY
        self._seen |= image.digests
        self._file.write(image.content)
        self._n += 1
        return self._n - 1

    def finish(self) -> None:
        """Write the number of images into the header; numpy leaves room for it to grow."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        header: dict[str, Any] = {
            "descr": "<f2",
            "fortran_order": False,
            "shape": (self._n, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode(file: Encoded, spec: InputSpec) -> tuple[list[_Image], str]:
    """Read a file: its frames, and a code if one could not be read."""
    images: list[_Image] = []
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise _changed(file) from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _changed(file)
    try:
        for image in open_image(content).slices(file.frames):
            x = to_input(image, spec).astype(np.float16).tobytes()
            stored = repr(image.pixels.shape).encode() + image.pixels.tobytes()
            digests = frozenset(hashlib.sha256(each).digest() for each in (x, stored))
            images.append(_Image(image.frame, x, digests))
    except ImageError as error:
        return images, error.code
    return images, ""


def _changed(file: Encoded) -> ChangedWhileRead:
    return ChangedWhileRead(f"{file.path} changed while it was read; run again")


def _key(files: Sequence[Encoded], spec: InputSpec) -> str:
    wanted = [(file.sha256, file.frames) for file in files]
    content = json.dumps([_FORMAT, asdict(spec), wanted])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _find(folder: Path, key: str) -> Inputs | None:
    """Return what was decoded before, if it is intact; otherwise it is decoded again."""
    path = folder / f"{key}.npy"
    try:
        index = json.loads((folder / f"{key}.json").read_text("utf-8"))
        entries = tuple(Entry(tuple(f), tuple(r), c) for f, r, c in index["entries"])
        if _hash_file(path) != index["sha256"]:
            return None
        return Inputs(path, index["sha256"], entries)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(folder: Path, key: str, entries: Sequence[Entry]) -> Inputs:
    """Write the index of an array, which is complete by now."""
    path = folder / f"{key}.npy"
    sha256 = _hash_file(path)
    rows = [[entry.frames, entry.rows, entry.code] for entry in entries]
    with aside(folder / f"{key}.json") as part:
        part.write_text(json.dumps({"sha256": sha256, "entries": rows}), "utf-8")
    return Inputs(path, sha256, tuple(entries))
