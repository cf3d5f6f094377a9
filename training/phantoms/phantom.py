"""Write synthetic sagittal spine images as MR DICOM files with a table of what is planted."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from preprocessing import Slice, read_image
from training.data.files import TRUTH_FILE
from training.phantoms.kinds import FAULTS, FINDINGS, KINDS
from training.phantoms.masks import render_labels
from training.phantoms.painting import render, render_axial
from training.phantoms.scanner import acquire
from training.phantoms.spine import draw_finding, draw_spine

SIZE = 256
TRUTH_COLUMNS = ("path", "anomaly", "contrast", "left", "top", "right", "bottom", "seed", "index")

# Median of real turbo-spin-echo lumbar protocols, in ms.
_TIMING_MS = {"T1": (600.0, 11.0), "T2": (3600.0, 120.0)}
_VISIBLE = 0.06  # the smallest change a reader could see, as a share of the brightest signal


@dataclass(frozen=True)
class Phantom:
    """One synthetic image and what is wrong with it.

    `pixels` are magnitudes, [S, S]; `mask` [S, S] is true where the anomaly changed the image.
    """

    pixels: NDArray[np.floating]
    mask: NDArray[np.bool_]
    anomaly: str
    contrast: str
    spacing_mm: float


def make_phantom(seed: int, index: int, anomaly: str = "none", size: int = SIZE) -> Phantom:
    """Draw one phantom; the same arguments give the same pixels.

    The anatomy depends on seed and index alone, so an anomalous phantom has a normal twin.
    """
    if anomaly != "none" and anomaly not in KINDS:
        raise ValueError(f"anomaly {anomaly!r} is none of none, {', '.join(KINDS)}")
    anatomy_rng, finding_rng, fault_rng, scanner_rng = _streams(seed, index)
    scanner_seed = int(scanner_rng.integers(1 << 31))
    spine = draw_spine(anatomy_rng)
    normal = render(spine, size)
    fault = anomaly if anomaly in FAULTS else None
    ideal = normal
    if anomaly in FINDINGS:
        ideal = render(spine, size, draw_finding(spine, anomaly, finding_rng))
    elif anomaly == "axial":
        ideal = render_axial(finding_rng, size)
    pixels = acquire(ideal, np.random.default_rng(scanner_seed), fault, fault_rng)
    if fault:
        twin = acquire(normal, np.random.default_rng(scanner_seed), None, fault_rng)
        mask = np.abs(pixels - twin) > _VISIBLE * np.percentile(twin, 99.5)
    else:
        mask = np.abs(ideal - normal) > _VISIBLE
    # Centre spacing 31-41 mm at 0.27-0.33 half fields of view: a field of view of 230-270 mm.
    field_mm = float(scanner_rng.uniform(230, 270))
    contrast = "T2" if anomaly == "axial" else spine.contrast
    return Phantom(pixels, mask, anomaly, contrast, round(field_mm / size, 4))


def phantom_labels(
    seed: int, index: int, anomaly: str = "none", size: int = SIZE
) -> NDArray[np.uint8]:
    """Label the tissues of a phantom: 1 vertebral body, 2 canal, 3 disc, 0 anything else; [S, S].

    An axial phantom has no labels: in that plane nobody outlined anything.
    """
    anatomy_rng, finding_rng, *_ = _streams(seed, index)
    if anomaly == "axial":
        return np.zeros((size, size), np.uint8)
    spine = draw_spine(anatomy_rng)
    finding = draw_finding(spine, anomaly, finding_rng) if anomaly in FINDINGS else None
    return render_labels(spine, size, finding)


def _streams(seed: int, index: int) -> list[np.random.Generator]:
    """Make independent generators of anatomy, finding, fault and scanner."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(4)]


def write_phantoms(
    out: Path,
    count: int,
    seed: int,
    anomaly: str = "none",
    size: int = SIZE,
    masks: Path | None = None,
) -> Iterator[Path]:
    """Write phantoms and truth.csv, yielding each path so that a caller can show progress.

    Args:
        out: folder to create or fill.
        count: number of images; each is a patient of its own.
        seed: the same seed writes the same bytes.
        anomaly: one of KINDS, 'none', or 'mixed': every second image normal, the others going
            through KINDS.
        size: pixels on a side.
        masks: folder for a PNG of labels of each image, with the image's name.
    """
    out.mkdir(parents=True, exist_ok=True)
    if masks:
        masks.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        kind = anomaly
        if anomaly == "mixed":
            kind = "none" if index % 2 == 0 else KINDS[index // 2 % len(KINDS)]
        phantom = make_phantom(seed, index, kind, size)
        path = out / f"phantom_{index:05d}.dcm"
        path.write_bytes(phantom_bytes(phantom, seed, index))
        box = _bounding_box(phantom.mask)
        if masks:
            labels = phantom_labels(seed, index, kind, size)
            Image.fromarray(labels).save(masks / f"{path.stem}.png")
        rows.append((path.name, kind, phantom.contrast, *box, seed, index))
        yield path
    with (out / TRUTH_FILE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(TRUTH_COLUMNS)
        writer.writerows(rows)


def phantom_bytes(phantom: Phantom, seed: int = 0, index: int = 0) -> bytes:
    """Make the bytes of a DICOM file of a phantom."""
    buffer = BytesIO()
    to_dicom(phantom, seed, index).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def phantom_slice(seed: int, index: int, anomaly: str = "none") -> Slice:
    """Make a phantom and read it back from its file, as serving would."""
    return read_image(phantom_bytes(make_phantom(seed, index, anomaly), seed, index))


def to_dicom(phantom: Phantom, seed: int, index: int) -> FileDataset:
    """Make an MR Image object (PS3.3 A.4): 12 bits stored, Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = _uid("instance", seed, index, phantom.anomaly)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _describe_patient(ds, phantom, seed, index)
    _describe_scan(ds, phantom)
    _describe_plane(ds, phantom)
    n_rows, n_columns = phantom.pixels.shape
    # The brightest tissue near 1500, as 12-bit scanners store it; what exceeds 4095 would not fit.
    scale = 1500 / np.percentile(phantom.pixels, 99.5)
    stored = np.clip(np.round(phantom.pixels * scale), 0, 4095).astype("<u2")
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = n_rows, n_columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.WindowCenter, ds.WindowWidth = "750", "1500"
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _describe_patient(ds: FileDataset, phantom: Phantom, seed: int, index: int) -> None:
    """Fill patient, study and series: one of each for an image."""
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    # A phantom and its twin are one patient: a split by patient must not separate them.
    ds.PatientID = f"PHANTOM-{seed}-{index:05d}"
    ds.PatientName = f"Phantom^{index:05d}"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.StudyInstanceUID = _uid("study", seed, index, phantom.anomaly)
    ds.StudyDate = ""
    ds.StudyTime = ""
    ds.StudyID = ""
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.Modality = "MR"
    ds.SeriesInstanceUID = _uid("series", seed, index, phantom.anomaly)
    ds.SeriesNumber = 1
    ds.SeriesDescription = f"SYNTHETIC {phantom.contrast}"
    ds.BodyPartExamined = "LSPINE"
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = _uid("frame", seed, index, phantom.anomaly)
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = "Synthetic"
    ds.InstanceNumber = 1


def _describe_scan(ds: FileDataset, phantom: Phantom) -> None:
    """Fill the MR Image module (PS3.3 C.8.3.1)."""
    repetition_ms, echo_ms = _TIMING_MS[phantom.contrast]
    ds.ImageType = ["DERIVED", "PRIMARY", "M"]
    ds.SyntheticData = "YES"
    ds.QualityControlImage = "YES"
    ds.DerivationDescription = "Synthetic sagittal spine phantom; no patient"
    ds.ScanningSequence = "SE"
    ds.SequenceVariant = "SK"
    ds.ScanOptions = ""
    ds.MRAcquisitionType = "2D"
    ds.RepetitionTime = str(repetition_ms)
    ds.EchoTime = str(echo_ms)
    ds.EchoTrainLength = 15 if phantom.contrast == "T2" else 3
    ds.MagneticFieldStrength = "1.5"


def _describe_plane(ds: FileDataset, phantom: Phantom) -> None:
    """Fill the Image Plane module (PS3.3 C.7.6.2); of an axial phantom an axial plane."""
    spacing_mm = phantom.spacing_mm
    half = round(spacing_mm * phantom.pixels.shape[0] / 2, 4)
    axial = phantom.anomaly == "axial"
    ds.PixelSpacing = [spacing_mm, spacing_mm]
    ds.SliceThickness = "4.0"
    ds.SpacingBetweenSlices = "4.4"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if axial else [0, 1, 0, 0, 0, -1]
    ds.ImagePositionPatient = [-half, -half, 0] if axial else [0, -half, half]


def _uid(*parts: object) -> UID:
    """Derive a UID from its parts, under the UUID root (PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16])}")


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[object, ...]:
    """Return left, top, right, bottom (exclusive) in pixels, or four empty cells."""
    if not mask.any():
        return ("", "", "", "")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
