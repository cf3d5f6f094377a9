"""Read the facts of a slice from its header."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from preprocessing.dicom import tags, values
from preprocessing.dicom.header import Header
from preprocessing.dicom.kind import echo_time, other_kind
from preprocessing.dicom.orientation import read_cosines
from preprocessing.dicom.values import Item

_SNOMED = ("SCT", "SRT", "SNM3", "99SDM")


@dataclass(frozen=True)
class SliceFacts:
    """What the header states; None where missing or unreadable. Identifiers stay out of `repr`."""

    patient_id: str | None = field(repr=False)
    study_instance_uid: str | None = field(repr=False)
    series_instance_uid: str | None = field(repr=False)
    sop_instance_uid: str | None = field(repr=False)
    modality: str | None
    sop_class_uid: str | None
    transfer_syntax_uid: str | None
    photometric_interpretation: str | None
    series_description: str | None = field(repr=False)  # free text: names have been found in it
    repetition_time: float | None
    echo_time: float | None
    manufacturer: str | None
    # The kind of a slice follows from these (model/calibration/strata.py). In `repr` no free text.
    body_part_examined: str | None = field(default=None, repr=False)
    # A code of SNOMED, and the keyword of the sequence it is from.
    anatomic_region: tuple[str, str] | None = field(default=None, repr=False)
    mr_acquisition_type: str | None = field(default=None, repr=False)
    # Six cosines, row then column, as in the file; from PatientOrientation where it is missing.
    image_orientation_patient: tuple[float, ...] | None = None
    inversion_time: float | None = None
    is_fat_suppressed: bool = False  # as far as the header states it
    is_synthetic: bool = False  # Synthetic Data (PS3.3 C.12.1): made by a program, not acquired
    is_quality_control: bool = False  # Quality Control Image (PS3.3 C.7.6.1): of a phantom
    # Why it is a scout, a map, a gradient echo or another kind than plain slices: see kind.py.
    other_kind: str | None = None


def read_facts(header: Header, ds: Item) -> SliceFacts:
    """Read the facts of one frame.

    Args:
        header: of its object.
        ds: its values; see `frame_values`.
    """
    return SliceFacts(
        patient_id=values.text(ds, tags.PATIENT_ID),
        study_instance_uid=values.text(ds, tags.STUDY_INSTANCE_UID),
        series_instance_uid=values.text(ds, tags.SERIES_INSTANCE_UID),
        sop_instance_uid=values.text(ds, tags.SOP_INSTANCE_UID),
        modality=values.code(ds, tags.MODALITY),
        sop_class_uid=values.text(ds, tags.SOP_CLASS_UID) or header.media_class,
        transfer_syntax_uid=header.transfer_syntax,
        photometric_interpretation=values.code(ds, tags.PHOTOMETRIC_INTERPRETATION),
        series_description=values.text(ds, tags.SERIES_DESCRIPTION),
        repetition_time=_time(values.decimal(ds, tags.REPETITION_TIME)),
        echo_time=echo_time(header, ds),
        manufacturer=values.text(ds, tags.MANUFACTURER),
        body_part_examined=values.code(ds, tags.BODY_PART_EXAMINED),
        anatomic_region=_anatomic_region(ds),
        mr_acquisition_type=values.code(ds, tags.MR_ACQUISITION_TYPE),
        image_orientation_patient=read_cosines(ds),
        inversion_time=_time(values.decimal(ds, tags.INVERSION_TIME))
        or values.double(ds, tags.INVERSION_TIMES, header.big_endian),
        is_fat_suppressed=_is_fat_suppressed(ds),
        is_synthetic=values.code(ds, tags.SYNTHETIC_DATA) == "YES",
        is_quality_control=values.code(ds, tags.QUALITY_CONTROL_IMAGE) == "YES",
        other_kind=other_kind(header, ds),
    )


def _anatomic_region(ds: Item) -> tuple[str, str] | None:
    """Return the first code of AnatomicRegionSequence that is of SNOMED (PS3.16 8.2)."""
    by_frame = any(
        tags.ANATOMIC_REGION_SEQUENCE in item
        for item in values.items(ds, tags.FRAME_ANATOMY_SEQUENCE)[:1]
    )
    for item in values.items(ds, tags.ANATOMIC_REGION_SEQUENCE)[:4]:
        code = values.code(item, tags.CODE_VALUE)
        if code and values.code(item, tags.CODING_SCHEME_DESIGNATOR) in _SNOMED:
            return code, "FrameAnatomySequence" if by_frame else "AnatomicRegionSequence"
    return None


def _is_fat_suppressed(ds: Item) -> bool:
    """Return whether ScanOptions (PS3.3 C.8.3.1) hold FS, or an enhanced object suppresses fat."""
    suppressed = values.code(ds, tags.SPECTRALLY_SELECTED_SUPPRESSION) or ""
    return "FS" in values.codes(ds, tags.SCAN_OPTIONS) or suppressed.startswith("FAT")


def _time(milliseconds: float | None) -> float | None:
    return milliseconds if milliseconds is not None and math.isfinite(milliseconds) else None
