"""Make DICOM files that hold a marker wherever a patient's data, or garbage, can stand."""

from __future__ import annotations

import warnings
import zlib
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.dicom_files import NATIVE, encapsulated, make_dicom, noise
from tests.preprocessing.decoding.codestreams import JPEG, RLE, encode_jpeg_ls, encode_rle

# Of eight letters each, so that one can take the place of the other in a file.
HOLDER = "ABCDEFGH"
MARK = "Zqmarker"
# A UID has digits only.
MARKED_UID = "1.2.826.0.1.99887766554433"
NUMBER = "1.234567"
PIXELS = noise((24, 24))

# Whose value is a text that somebody wrote.
TEXTS = (
    *("PatientName", "PatientID", "PatientComments", "PatientAddress", "OtherPatientNames"),
    *("ReferringPhysicianName", "OperatorsName", "InstitutionName", "StationName"),
    *("StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "StudyID"),
    *("AccessionNumber", "DeviceSerialNumber", "AdditionalPatientHistory", "EthnicGroup"),
    *("Manufacturer", "SequenceName", "BodyPartExamined", "DerivationDescription", "Occupation"),
)
# Whose value is read or could be, so that a bad one is stumbled over.
VALUES = (
    *("Modality", "PhotometricInterpretation", "SpecificCharacterSet", "ImageType"),
    *("PresentationLUTShape", "VOILUTFunction", "RescaleType", "BurnedInAnnotation"),
)
NUMBERS = (
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing"),
    *("ImagerPixelSpacing", "SliceThickness", "ImagePositionPatient", "PixelAspectRatio"),
)
DATES = ("StudyDate", "SeriesDate", "PatientBirthDate", "AcquisitionDateTime")


def _everywhere() -> dict[str, Any]:
    """Elements of every kind with a marker, private and nested ones too."""
    inner = Dataset()
    inner.CodeMeaning = MARK
    inner.CodeValue = MARK
    outer = Dataset()
    outer.PatientName = MARK
    outer.ProcedureCodeSequence = Sequence([inner])
    return {**dict.fromkeys(TEXTS, MARK), "RequestAttributesSequence": Sequence([outer])}


def _with_private(data: bytes) -> bytes:
    """Put private elements in front of the pixel data."""
    creator = b"\x11\x00\x10\x00LO" + len(MARK).to_bytes(2, "little") + MARK.encode()
    value = b"\x11\x00\x01\x10UT\0\0" + (800).to_bytes(4, "little") + MARK.encode() * 100
    at = data.index(b"\x28\x00\x02\x00US")
    return data[:at] + creator + value + data[at:]


def _replaced(keyword: str, holder: str, mark: str = MARK) -> bytes:
    """A file in which one element has a value that it must not have."""
    data = make_dicom(PIXELS, **{keyword: holder})
    assert holder.encode() in data
    return data.replace(holder.encode(), mark.encode())


def _broken() -> dict[str, bytes]:
    """Files that end early, lie about lengths, or are something else."""
    whole = make_dicom(PIXELS, **_everywhere())
    name = whole.index(b"\x10\x00\x10\x00PN")
    deflated = make_dicom(PIXELS, NATIVE["deflated"], **_everywhere())
    return {
        **{f"cut at {share} %": whole[: len(whole) * share // 100] for share in (20, 40, 60, 99)},
        "a bad VR": whole[: name + 4] + b"ZQ" + whole[name + 6 :],
        "a length above the file": whole[: name + 6] + b"\xff\xff" + whole[name + 8 :],
        "an odd length": whole[: name + 6] + b"\x07\0" + whole[name + 8 :],
        "a program in the preamble": b"MZ" + MARK.encode() + whole[10:],
        "a marker in the preamble": MARK.encode() * 16 + whole[128:],
        "a deflated file that is damaged": deflated[:500] + MARK.encode() * 20 + deflated[660:],
        "a deflated text": deflated[:400] + zlib.compress(MARK.encode() * 99),
        "a text": MARK.encode() * 100,
        "a PDF": b"%PDF-1.7\n" + MARK.encode() * 100,
        "a prefix and a text": bytes(128) + b"DICM" + MARK.encode() * 100,
    }


def _compressed() -> dict[str, bytes]:
    """Compressed frames, sound and damaged, with a marker in the stream and around it."""
    mark = MARK.encode()
    jpeg_ls, rle = encode_jpeg_ls(PIXELS), encode_rle(PIXELS)
    comment = jpeg_ls[:2] + b"\xff\xfe\0\x2a" + mark * 5 + jpeg_ls[2:]
    frames = {
        "a comment": (JPEG + "80", comment),
        "a damaged scan": (JPEG + "80", jpeg_ls[:60] + mark * 9 + jpeg_ls[132:]),
        "a damaged RLE frame": (RLE, rle[:64] + mark * 9 + rle[136:]),
        "JPEG that is text": (JPEG + "70", mark * 99),
        "JPEG 2000 that is text": (JPEG + "90", b"\xff\x4f\xff\x51" + mark * 99),
    }
    return {
        name: encapsulated(PIXELS, syntax, [frame], PatientName=MARK, PatientID=MARK)
        for name, (syntax, frame) in frames.items()
    }


def _sound() -> dict[str, bytes]:
    """Files with texts that the service does not need."""
    everywhere = make_dicom(PIXELS, **_everywhere())
    uids = ("SOPInstanceUID", "StudyInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
    return {
        "a marker in all texts": everywhere,
        "a marker in private elements": _with_private(everywhere),
        "a marker in implicit VR": make_dicom(PIXELS, NATIVE["implicit"], **_everywhere()),
        "a marker in a deflated file": make_dicom(PIXELS, NATIVE["deflated"], **_everywhere()),
        "a CT": make_dicom(PIXELS, **_everywhere() | {"Modality": "CT"}),
        "not finite": make_dicom(np.full((9, 9), np.nan, np.float32), **_everywhere()),
        **{f"{uid}": make_dicom(PIXELS, **{uid: MARKED_UID}) for uid in uids},
        "a transfer syntax": everywhere.replace(b"1.2.840.10008.1.2.1\0", MARKED_UID[:20].encode()),
    }


def _valued() -> dict[str, bytes]:
    """Files with one value that is not valid for its kind."""
    return {
        **{keyword: _replaced(keyword, HOLDER) for keyword in VALUES},
        **{keyword: _replaced(keyword, NUMBER) for keyword in NUMBERS},
        **{keyword: _replaced(keyword, "20261124") for keyword in DATES},
    }


def marked_files() -> dict[str, bytes]:
    """Make every file, under what is odd about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that it would not write
        return {**_sound(), **_valued(), **_broken(), **_compressed()}
