"""Keep decoded model inputs on disk: float16, one .npy file for a set of files, memory-mapped.

A hundred thousand slices of 192 x 192 pixels take 7 GB on disk and next to nothing in memory. Half
precision keeps eleven bits, more than most files have after windowing.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from preprocessing import ImageError, InputSpec, read_frames, to_input
from training.errors import ChangedWhileRead
from training.writing import aside

HalfArray = NDArray[np.float16]
Progress = Callable[[int, int], None]
_A = TypeVar("_A")
_B = TypeVar("_B")

# Raise it whenever preprocessing changes what it makes of a file.
_FORMAT = 1
# Numpy releases the interpreter lock for parts of the decoding only: more threads gain nothing.
_THREADS = 4
_AHEAD = 16  # files decoded ahead, at most
UNREADABLE = "unreadable_file"
COPY = -1


@dataclass(frozen=True)
class Entry:
    """The outcome of decoding one file.

    Args:
        frames: numbers of the frames that became inputs, from 1.
        rows: of the frames in the array; COPY where the pixels equal those of an earlier row.
        code: why the file or one of its frames was refused; empty if none was.
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
    files: Sequence[Path],
    spec: InputSpec,
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> Inputs:
    """Decode files, or find them in the cache by their content, not by their dates.

    Args:
        files: in the order of the rows to write.
        spec: how an image becomes the model's input.
        folder: of the cache.
        progress: called with (steps done, steps in all): each file is hashed, then decoded.

    Raises:
        ChangedWhileRead: a file changed while it was read.
    """
    total = 2 * len(files)
    with ThreadPoolExecutor(_THREADS) as pool:
        hashes = list[str]()
        for done, found in enumerate(in_order(pool, _hash_file, files), 1):
            hashes.append(found)
            progress(done, total)
        key = _key(hashes, spec)
        if (saved := _find(folder, key)) is not None:
            progress(total, total)
            return saved
        folder.mkdir(parents=True, exist_ok=True)
        with aside(folder / f"{key}.npy") as part, part.open("w+b") as file:
            entries = list[Entry]()
            writer = _Rows(file, spec.size)
            jobs = list(zip(files, hashes, strict=True))
            for done, (images, code) in enumerate(
                in_order(pool, lambda job: _decode(*job, spec), jobs), 1
            ):
                frames = tuple(number for number, _ in images)
                entries.append(Entry(frames, tuple(writer.add(x) for _, x in images), code))
                progress(len(files) + done, total)
            writer.finish()
    return _save(folder, key, entries)


def in_order(pool: ThreadPoolExecutor, work: Callable[[_A], _B], of: Iterable[_A]) -> Iterator[_B]:
    """Process items in the pool, a few ahead of the caller; yields the results in order."""
    waiting = deque[Future[_B]]()
    for item in of:
        waiting.append(pool.submit(work, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Rows:
    """An .npy file that grows by one image at a time, without copies."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._shape, self._n = file, (1, size, size), 0
        self._rows: dict[bytes, int] = {}
        self._write_header()

    def add(self, x: HalfArray) -> int:
        """Append an image and return its row; COPY if the file has it already."""
        content = x.tobytes()
        digest = hashlib.sha256(content).digest()
        if digest in self._rows:
            return COPY
        self._rows[digest] = self._n
        self._file.write(content)
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
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return UNREADABLE


def _decode(path: Path, expected: str, spec: InputSpec) -> tuple[list[tuple[int, HalfArray]], str]:
    """Read a file: numbers and inputs of its frames, and a code if one could not be read."""
    images: list[tuple[int, HalfArray]] = []
    try:
        content = path.read_bytes()
        if expected not in (UNREADABLE, hashlib.sha256(content).hexdigest()):
            raise ChangedWhileRead(f"{path} changed while it was read; run again")
        for image in read_frames(content):
            x = to_input(image, spec).astype(np.float16)
            images.append((image.frame, x))
    except ImageError as error:
        return images, error.code
    except OSError:
        return images, UNREADABLE
    return images, ""


def _key(hashes: Sequence[str], spec: InputSpec) -> str:
    content = json.dumps([_FORMAT, asdict(spec), list(hashes)])
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
