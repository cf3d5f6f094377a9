"""Make the files that the benchmarks send: phantoms of real matrix sizes in three encodings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

_SEED = 71  # of the phantoms; no training and no evaluation uses it
SYNTAXES = {
    "uncompressed": "1.2.840.10008.1.2.1",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "deflated": "1.2.840.10008.1.2.1.99",
}
_NAMES = {uid: name for name, uid in SYNTAXES.items()} | {
    "1.2.840.10008.1.2": "uncompressed",
    "1.2.840.10008.1.2.2": "uncompressed",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}
# Archives mostly send uncompressed; JPEG 2000 takes 20 to 40 ms to decode, in any server, and more
# of it would measure OpenJPEG.
_COMPRESSED = {1: "RLE", 4: "RLE", 7: "RLE", 9: "JPEG 2000", 11: "RLE", 14: "RLE"}
_SIZES = (256, 320, 384, 432, 448, 512, 576, 256, 320, 432, 448, 384, 384, 512, 576, 432)
MIX = tuple((size, _COMPRESSED.get(n, "uncompressed")) for n, size in enumerate(_SIZES))
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
    """Make images that differ, all uncompressed and of 374 kB."""
    files = [encoded(100 + index, ALIKE_SIZE) for index in range(N_ALIKE)]
    return FileSet("370 kB", files, f"phantoms, {describe(files)}")


def of_folder(folder: Path) -> FileSet:
    """Read DICOM files under a folder, evenly chosen where there are many."""
    paths = sorted(folder.rglob("*.dcm"))
    chosen = [paths[index * len(paths) // MOST_FILES] for index in range(MOST_FILES)]
    files = [path.read_bytes() for path in (chosen if len(paths) > MOST_FILES else paths)]
    return FileSet("mix", files, f"real slices, {describe(files)}" if files else "no files")


def write(files: Sequence[bytes], folder: Path) -> list[Path]:
    """Write files into a folder; return their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.dcm" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    return paths


def encoded(index: int, size: int, syntax: str = "uncompressed") -> bytes:
    """Make the DICOM file of a phantom; the same arguments give the same bytes.

    The phantom has the noise of a scanner, or compression would be flattered.

    Args:
        index: of the phantom.
        size: pixels a side.
        syntax: one of SYNTAXES.
    """
    from pydicom.uid import UID

    from training.phantoms.phantom import make_phantom, to_dicom

    ds, buffer = to_dicom(make_phantom(_SEED, index, size=size), _SEED, index), BytesIO()
    if syntax == "deflated":
        ds.file_meta.TransferSyntaxUID = UID(SYNTAXES[syntax])
    elif syntax not in ("uncompressed", "JPEG lossless"):
        ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
    ds.save_as(buffer, enforce_file_format=True)
    return _to_jpeg_lossless(buffer.getvalue()) if syntax == "JPEG lossless" else buffer.getvalue()


def _to_jpeg_lossless(native: bytes) -> bytes:
    """Compress a file with GDCM, which reads and writes on disk only."""
    import gdcm

    reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
    change = gdcm.ImageChangeTransferSyntax()
    with TemporaryDirectory() as folder:
        before, after = Path(folder, "before.dcm"), Path(folder, "after.dcm")
        before.write_bytes(native)
        reader.SetFileName(str(before))
        reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        change.Change()
        writer.SetFileName(str(after))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise RuntimeError("GDCM cannot write JPEG lossless")
        return after.read_bytes()


def describe(files: list[bytes]) -> str:
    """Describe how many files there are of each encoding, and their sizes."""
    from pydicom import dcmread

    found: Counter[str] = Counter()
    for file in files:
        meta = dcmread(BytesIO(file), stop_before_pixels=True).file_meta
        found[_NAMES.get(meta.TransferSyntaxUID, "others")] += 1
    shares = ", ".join(f"{count} {name}" for name, count in found.most_common())
    sizes = sorted(len(file) // 1000 for file in files)
    return f"{len(files)} files ({shares}) of {sizes[0]} to {sizes[-1]} kB"
