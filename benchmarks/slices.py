"""Make the files that the benchmarks send: phantoms of real matrix sizes in three encodings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

_SEED = 71  # of the phantoms; no training and no evaluation uses it
_NATIVE, _RLE, _J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
_NAMES = {
    "1.2.840.10008.1.2": "uncompressed",
    _NATIVE: "uncompressed",
    "1.2.840.10008.1.2.2": "uncompressed",
    "1.2.840.10008.1.2.1.99": "deflated",
    _RLE: "RLE",
    _J2K: "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
}
# Archives mostly send uncompressed; JPEG 2000 takes 20 to 40 ms to decode, in any server, and more
# of it would measure OpenJPEG.
MIX = (
    *((256, _NATIVE), (320, _RLE), (384, _NATIVE), (432, _NATIVE), (448, _RLE), (512, _NATIVE)),
    *((576, _NATIVE), (256, _RLE), (320, _NATIVE), (432, _J2K), (448, _NATIVE), (384, _RLE)),
    *((384, _NATIVE), (512, _NATIVE), (576, _RLE), (432, _NATIVE)),
)
ALIKE_SIZE, N_ALIKE = 432, 8  # 432 x 432 pixels of 16 bit and the header: 374 kB
MOST_FILES = 64  # of a user's folder: the generator holds them all in memory


@dataclass(frozen=True)
class FileSet:
    """Files that clients send in turn.

    Args:
        name: in tables.
        files: the whole content of each.
        description: how many of which encoding and size, without any name.
    """

    name: str
    files: list[bytes] = field(repr=False)
    description: str


def mix() -> FileSet:
    """Make files of all sizes and encodings."""
    files = [encoded(index, size, syntax) for index, (size, syntax) in enumerate(MIX)]
    return FileSet("mix", files, f"phantoms, {describe(files)}")


def alike() -> FileSet:
    """Make different images, all uncompressed and of 374 kB."""
    files = [encoded(100 + index, ALIKE_SIZE, _NATIVE) for index in range(N_ALIKE)]
    return FileSet("370 kB", files, f"phantoms, {describe(files)}")


def of_folder(folder: Path) -> FileSet:
    """Read DICOM files under a folder, evenly chosen where there are many."""
    paths = sorted(folder.rglob("*.dcm"))
    chosen = [paths[index * len(paths) // MOST_FILES] for index in range(MOST_FILES)]
    files = [path.read_bytes() for path in (chosen if len(paths) > MOST_FILES else paths)]
    return FileSet("mix", files, f"real slices, {describe(files)}" if files else "no files")


def encoded(index: int, size: int, syntax: str) -> bytes:
    """Make the DICOM file of a phantom; the same arguments give the same bytes.

    The phantom has the noise of a scanner, or compression would be flattered.
    """
    from training.phantoms.phantom import make_phantom, to_dicom

    ds = to_dicom(make_phantom(_SEED, index, size=size), _SEED, index)
    if syntax != _NATIVE:
        ds.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def describe(files: list[bytes]) -> str:
    """Say how many files there are of each encoding, and their sizes."""
    from pydicom import dcmread

    found: Counter[str] = Counter()
    for file in files:
        meta = dcmread(BytesIO(file), stop_before_pixels=True).file_meta
        found[_NAMES.get(meta.TransferSyntaxUID, "others")] += 1
    shares = ", ".join(f"{count} {name}" for name, count in found.most_common())
    sizes = sorted(len(file) // 1000 for file in files)
    return f"{len(files)} files ({shares}) of {sizes[0]} to {sizes[-1]} kB"
