"""pydicom's own test files: as they are, and those of other modalities made MR."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_files
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from tests.security.files.corpus import DAMAGE, OK, REFUSALS, Case
from tests.security.files.corpus_files import DEFLATED, deflate

_NO_IMAGE = frozenset({"wrong_modality", "not_an_image", "no_pixels"})
_ANY = frozenset({OK}) | REFUSALS
# Whose pixels are cut or zero bytes long.
_DAMAGED = {"MR_truncated.dcm", "rtplan_truncated.dcm", "DICOMDIR-nooffset"}
# A bare data set after a stray byte; pydicom reads none of its elements rightly either.
_SHIFTED = {"no_meta.dcm"}
# Grayscale of other modalities, of which a copy is made MR.
MR_CLASS = b"1.2.840.10008.5.1.4.1.1.4"
MADE_MR = (
    "CT_small.dcm",
    "693_J2KI.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "image_dfl.dcm",
    "rtdose.dcm",
    "rtdose_1frame.dcm",
    "rtdose_expb.dcm",
    "rtdose_expb_1frame.dcm",
    "rtdose_rle.dcm",
    "rtdose_rle_1frame.dcm",
    "6154",
    "17106",
    "2062",
)


@cache
def files() -> list[Path]:
    """All of them, in a fixed order."""
    return sorted(path for path in map(Path, get_testdata_files()) if path.is_file())


def cases() -> Iterator[Case]:
    """List them."""
    seen: dict[str, int] = {}
    for path in files():
        seen[path.name] = number = seen.get(path.name, 0) + 1
        yield _as_it_is(path, f"pydicom {path.name} {number}")
        if path.name in MADE_MR and number == 1:
            frames = 15 if path.name in ("rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm") else 1
            yield Case("tolerated", f"{path.name} made MR", partial(made_mr, path), frames=frames)


def _as_it_is(path: Path, name: str) -> Case:
    """Return the codes for a file by what pydicom finds in it."""
    if path.name in _DAMAGED:
        return Case("malformed", name, path.read_bytes, DAMAGE | _NO_IMAGE)
    if path.name in _SHIFTED:
        return Case("malformed", name, path.read_bytes, REFUSALS)
    try:
        ds = read(path)
    except InvalidDicomError:
        return Case("refused", name, path.read_bytes, frozenset({"not_dicom"}) | _NO_IMAGE)
    modality, samples = ds.get("Modality"), ds.get("SamplesPerPixel", 1)
    if modality == "MR" or (modality is None and samples == 1 and "Rows" in ds):
        if "PixelData" not in ds:
            return Case("refused", name, path.read_bytes, frozenset({"no_pixels"}))
        return Case("valid", name, path.read_bytes)
    if modality is None and samples == 3:
        return Case("refused", name, path.read_bytes, frozenset({"not_grayscale"}))
    return Case("refused", name, path.read_bytes, _NO_IMAGE | {"geometry_mismatch"})


def read(path: Path) -> FileDataset:
    """Read a file as pydicom does, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path)


def made_mr(path: Path) -> bytes:
    """Write the Modality and the SOP class of MR into a file, leave all other bytes as they are."""
    data, ds = path.read_bytes(), read(path)
    old = str(ds.SOPClassUID).encode(), str(ds.Modality).encode()
    if ds.file_meta.TransferSyntaxUID == DEFLATED:
        start = ds.file_meta.FileMetaInformationGroupLength + 144
        return data[:start] + deflate(_renamed(zlib.decompress(data[start:], wbits=-15), *old))
    return _renamed(data, *old)


def _renamed(data: bytes, sop_class: bytes, modality: bytes) -> bytes:
    data = data.replace(sop_class, MR_CLASS.ljust(len(sop_class), b"\0")[: len(sop_class)])
    # The tag, explicit or not, in either order; then the value.
    pattern = rb"(\x08\0\x60\0|\0\x08\0\x60)(.{4}|UN\0\0.{4})" + re.escape(modality)
    return re.sub(pattern, lambda found: found[1] + found[2] + b"MR".ljust(len(modality)), data)
