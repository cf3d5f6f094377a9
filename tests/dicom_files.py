"""Make small DICOM files for tests, in every transfer syntax."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

NATIVE = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": "1.2.840.10008.1.2.1.99",
}


def noise(shape: tuple[int, ...], seed: int = 1) -> npt.NDArray[np.uint16]:
    """Draw pixels of every value from 0 to 1000."""
    return np.random.default_rng(seed).integers(0, 1001, shape, dtype=np.uint16)


def mr_dataset(pixels: npt.NDArray[Any], **changes: Any) -> Dataset:
    """Describe an MR slice [H, W] or object [N, H, W]; None removes an element."""
    ds = Dataset()
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = "1.2.3.4"
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.1"
    ds.Modality = "MR"
    ds.PatientID = "P1"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        ds.NumberOfFrames = pixels.shape[0]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelSpacing = [0.5, 0.5]
    if pixels.dtype.kind in "iu":
        ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
        ds.HighBit = ds.BitsStored - 1
        ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def write(ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Write a data set with preamble and file meta information."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", MRImageStorage)
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    meta.TransferSyntaxUID = UID(transfer_syntax)
    file = FileDataset(io.BytesIO(), ds, file_meta=meta, preamble=b"\0" * 128)
    buffer = io.BytesIO()
    dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def make_dicom(
    pixels: npt.NDArray[Any], transfer_syntax: str = ExplicitVRLittleEndian, **changes: Any
) -> bytes:
    """Make an uncompressed file."""
    ds = mr_dataset(pixels, **changes)
    is_big = transfer_syntax == ExplicitVRBigEndian
    raw = pixels.astype(pixels.dtype.newbyteorder(">" if is_big else "<")).tobytes()
    if pixels.dtype == np.float32:
        ds.add_new(0x7FE00008, "OF", raw)
    elif pixels.dtype == np.float64:
        ds.add_new(0x7FE00009, "OD", raw)
    else:
        ds.add_new(
            0x7FE00010, "OW" if pixels.dtype.itemsize > 1 else "OB", raw + b"\0" * (len(raw) % 2)
        )
    return write(ds, transfer_syntax)


def encapsulated(
    pixels: npt.NDArray[Any], transfer_syntax: str, frames: list[bytes], **changes: Any
) -> bytes:
    """Make a compressed file from frames that are encoded already."""
    ds = mr_dataset(pixels, **changes)
    ds.add_new(0x7FE00010, "OB", encapsulate(frames))
    ds["PixelData"].is_undefined_length = True
    return write(ds, transfer_syntax)
