"""Refuse objects that are not MR images, by SOP class (PS3.4 B.5) and Modality."""

from __future__ import annotations

from preprocessing.dicom import tags, values
from preprocessing.dicom.header import Header
from preprocessing.errors import NotAnImage, WrongModality

_STANDARD = "1.2.840.10008.5.1."
_STORAGE = _STANDARD + "4.1.1."
_MR = {
    _STORAGE + "4",  # MR Image Storage
    _STORAGE + "4.1",  # Enhanced MR
    _STORAGE + "4.3",  # Enhanced MR Color, which is refused for its colour
    _STORAGE + "4.4",  # Legacy Converted Enhanced MR
    _STORAGE + "30",  # Parametric Map, the one class of float pixel data; Modality decides
}
# Secondary Capture, single-frame and multi-frame grayscale: MR slices come in them from archives.
_SECONDARY_CAPTURE = {_STORAGE + "7" + end for end in ("", ".1", ".2", ".3", ".4")}
_DIRECTORY = "1.2.840.10008.1.3.10"
_NOT_IMAGES = {
    _STORAGE + "4.2": "MR spectroscopy",
    _STORAGE + "9": "a waveform",
    _STORAGE + "11": "a presentation state",
    _STORAGE + "66": "a registration or segmentation",
    _STORAGE + "67": "a mapping",
    _STORAGE + "68": "a surface",
    _STORAGE + "88": "a structured report",
    _STORAGE + "104": "an encapsulated document",
    "1.2.840.10008.5.1.4.34": "a procedure step",
}
_ADVICE = "send an MR image"


def check_modality(header: Header) -> None:
    """Let MR images pass, with a missing Modality or a Secondary Capture class too.

    Raises:
        NotAnImage: a report, document, presentation state, segmentation or directory.
        WrongModality: an image of another modality.
    """
    sop_class = values.text(header.values, tags.SOP_CLASS_UID) or header.media_class or ""
    if sop_class == _DIRECTORY or header.media_class == _DIRECTORY:
        raise NotAnImage(f"This is a DICOMDIR, a directory of files; {_ADVICE}.")
    for prefix, name in _NOT_IMAGES.items():
        if sop_class == prefix or sop_class.startswith(prefix + "."):
            raise NotAnImage(f"The SOP class is that of {name}; {_ADVICE}.")
    # Private classes pass: some vendors use them for MR.
    if sop_class.startswith(_STANDARD) and sop_class not in _MR | _SECONDARY_CAPTURE:
        raise WrongModality(f"The SOP class is that of another modality than MR; {_ADVICE}.")
    modality = values.code(header.values, tags.MODALITY)
    if modality not in (None, "MR"):
        raise WrongModality(f"The Modality is not MR; {_ADVICE}.")
