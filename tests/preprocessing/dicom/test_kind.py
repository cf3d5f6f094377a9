"""What the header tells of an image that is not a plain slice of spin echoes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from preprocessing import open_image
from preprocessing.dicom.image_type import kind_of_type
from tests.dicom_files import NATIVE, make_dicom, mr_dataset, write

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def kind(**changes: Any) -> str | None:
    return open_image(make_dicom(PIXELS, **changes)).facts(1).other_kind


def item(**changes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def group(**macros: dict[str, Any]) -> Dataset:
    """Make one item of functional groups; a macro is its sequence's keyword and its values."""
    return item(**{name: Sequence([item(**changes)]) for name, changes in macros.items()})


PLAIN: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "Siemens TSE": {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D", "FM", "FIL"],
        "ScanningSequence": "SE",
        "SequenceVariant": ["SK", "SP", "OSP"],
        "FlipAngle": "150",
        "EchoTime": "98",
    },
    "Siemens STIR": {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "ScanningSequence": ["SE", "IR"],
        "SequenceVariant": ["SK", "SP", "MP"],
        "InversionTime": "160",
    },
    "Siemens SPACE reformatted": {
        "ImageType": ["DERIVED", "SECONDARY", "MPR", "CSA MPR", "", "CSAPARALLEL", "M", "NORM"],
        "ScanningSequence": "SE",
    },
    "Philips TSE with the b-value of all its images": {
        "ImageType": ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"],
        "ScanningSequence": "SE",
        "FlipAngle": "90",
        "DiffusionBValue": 0.0,
    },
    "Philips STIR": {
        "ImageType": ["ORIGINAL", "PRIMARY", "M_IR", "M", "IR"],
        "ScanningSequence": "IR",
        "FlipAngle": "90",
    },
    "GE with fat saturation": {
        "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "ScanningSequence": "SE",
        "AngioFlag": "N",
        "ScanOptions": ["FAST_GEMS", "FS"],
    },
    "variable flip angles": {"ScanningSequence": "SE", "FlipAngle": "35"},
    "derived alone": {"ImageType": ["DERIVED", "PRIMARY"]},
    "fat saturation in the type": {"ImageType": ["ORIGINAL", "PRIMARY", "FAT_SAT"]},
    "enhanced, T2": {
        "ImageType": ["ORIGINAL", "PRIMARY", "T2", "NONE"],
        "AcquisitionContrast": "T2",
        "ComplexImageComponent": "MAGNITUDE",
        "VolumeBasedCalculationTechnique": "NONE",
        "EchoPulseSequence": "SPIN",
        "EchoPlanarPulseSequence": "NO",
        "PixelPresentation": "MONOCHROME",
    },
    "floats": {
        "SOPClassUID": PARAMETRIC_MAP,
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    },
    "no agent": {"ContrastBolusAgent": "none", "ContrastBolusVolume": "0"},
    "no contrast": {"ContrastBolusAgent": "No contrast given"},
    "non-contrast": {"ContrastBolusAgent": "Non-Contrast"},
    "without": {"ContrastBolusAgent": "without contrast"},
    "unknown": {"ContrastBolusAgent": "UNKNOWN"},
    "an empty item for the agent": {"ContrastBolusAgentSequence": Sequence([Dataset()])},
    "a slice that an archive wrote": {
        "ImageType": ["DERIVED", "SECONDARY"],
        "ConversionType": "WSD",
        "EchoTime": "100",
        "BurnedInAnnotation": "NO",
    },
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "parametric map": (
        "SOPClassUID",
        {"SOPClassUID": PARAMETRIC_MAP, "ImageType": ["DERIVED", "PRIMARY", "VOLUME", "NONE"]},
    ),
    "fluid-attenuated": ("AcquisitionContrast", {"AcquisitionContrast": "FLUID_ATTENUATED"}),
    "curved": (
        "VolumeBasedCalculationTechnique",
        {"VolumeBasedCalculationTechnique": "CURVED_MPR"},
    ),
    "phase": ("ComplexImageComponent", {"ComplexImageComponent": "PHASE"}),
    "T2* by contrast": ("AcquisitionContrast", {"AcquisitionContrast": "T2_STAR"}),
    "projection": (
        "VolumeBasedCalculationTechnique",
        {"VolumeBasedCalculationTechnique": "MAX_IP"},
    ),
    "text in the picture": ("BurnedInAnnotation", {"BurnedInAnnotation": "YES"}),
    "scanned page": ("ConversionType", {"ConversionType": "SD"}),
    "report page": (
        "ConversionType",
        {"ConversionType": "WSD", "ImageType": ["DERIVED", "SECONDARY"]},
    ),
    "gradient echo": ("ScanningSequence", {"ScanningSequence": ["GR", "IR"]}),
    "echo planar": ("ScanningSequence", {"ScanningSequence": ["EP", "SE"]}),
    "steady state": ("SequenceVariant", {"SequenceVariant": ["SS", "SK"]}),
    "small flip": ("FlipAngle", {"FlipAngle": "20", "EchoTime": "18"}),
    "small flip in research mode": ("FlipAngle", {"ScanningSequence": "RM", "FlipAngle": "8"}),
    "short echo": ("EchoTime", {"FlipAngle": "70", "EchoTime": "1.9"}),
    "enhanced gradient echo": ("EchoPulseSequence", {"EchoPulseSequence": "GRADIENT"}),
    "flow": ("PhaseContrast", {"PhaseContrast": "YES"}),
    "angiogram": ("AngioFlag", {"AngioFlag": "Y"}),
    "b-value": ("DiffusionBValue", {"DiffusionBValue": 800.0}),
    "agent": ("ContrastBolusAgent", {"ContrastBolusAgent": "Gadovist"}),
    "a dose": ("ContrastBolusAgent", {"ContrastBolusAgent": "0.1 mmol/kg"}),
    "non-ionic": ("ContrastBolusAgent", {"ContrastBolusAgent": "non-ionic"}),
    "nonionic": ("ContrastBolusAgent", {"ContrastBolusAgent": "NONIONIC GD"}),
    "coded agent": (
        "ContrastBolusAgentSequence",
        {"ContrastBolusAgentSequence": Sequence([item(CodeValue="C-B03DA")])},
    ),
    "ingredient": ("ContrastBolusIngredient", {"ContrastBolusIngredient": "GADOLINIUM"}),
    "dose": ("ContrastBolusVolume", {"ContrastBolusVolume": "7.5"}),
    "animal": ("AnatomicalOrientationType", {"AnatomicalOrientationType": "QUADRUPED"}),
}


@pytest.mark.parametrize("changes", PLAIN.values(), ids=PLAIN)
def test_usual_slices_are_of_no_other_kind(changes: dict[str, Any]) -> None:
    assert kind(**changes) is None


@pytest.mark.parametrize(("keyword", "changes"), OTHERS.values(), ids=OTHERS)
def test_the_reason_names_the_element_that_tells_another_kind(
    keyword: str, changes: dict[str, Any]
) -> None:
    assert (kind(**changes) or "").startswith(f"{keyword} says that this is ")


@pytest.mark.parametrize(
    ("image_type", "expected"),
    [
        ("DERIVED PRIMARY DIFFUSION ADC ND NORM", "a map (ADC)"),
        ("DERIVED PRIMARY DIFFUSION TRACEW", "a diffusion image (TRACEW)"),
        ("ORIGINAL PRIMARY P ND", "a phase image (P)"),
        ("ORIGINAL PRIMARY P_FFE P FFE", "a phase image (P)"),
        ("ORIGINAL PRIMARY M_FFE M FFE", "a gradient echo (FFE)"),
        ("ORIGINAL PRIMARY R_IR R IR", "a part of a complex image (R)"),
        ("ORIGINAL PRIMARY LOCALIZER", "a scout (LOCALIZER)"),
        ("DERIVED PRIMARY T1~MAP", "a map (MAP)"),
        ("DERIVED PRIMARY T2MAP", "a map (MAP)"),
        ("DERIVED PRIMARY R2*", "a map (R2STAR)"),
        ("DERIVED PRIMARY FAT_FRACTION", "a map (FRACTION)"),
        ("DERIVED PRIMARY T2_STAR", "a T2* image (T2STAR)"),
        ("DERIVED PRIMARY PROJECTION~IMAGE", "a projection (PROJECTION)"),
        ("DERIVED PRIMARY MAX_IP", "a projection (MAXIP)"),
        ("DERIVED SECONDARY M SUB", "a computed image (SUB)"),
        ("DERIVED PRIMARY SUBTRACTION", "a computed image (SUBTRACTION)"),
        ("DERIVED PRIMARY DIXON WATER", "a Dixon part (WATER)"),
        ("ORIGINAL PRIMARY M IN_PHASE", "a Dixon part (INPHASE)"),
        ("ORIGINAL PRIMARY M OPP_PHASE", "a Dixon part (OPPPHASE)"),
        ("ORIGINAL PRIMARY W_TSE W TSE", "a Dixon part (W)"),
        ("ORIGINAL PRIMARY F", "a Dixon part (F)"),
        ("ORIGINAL PRIMARY M ND MOSAIC", "a mosaic (MOSAIC)"),
        ("DERIVED SECONDARY SCREEN~SAVE", "a screenshot or a report (SCREENSAVE)"),
        ("ORIGINAL PRIMARY POST_CONTRAST NONE", "an image after contrast agent (POSTCONTRAST)"),
        ("ORIGINAL PRIMARY M ND", None),
        ("", None),
    ],
)
def test_the_words_of_vendors_are_understood(image_type: str, expected: str | None) -> None:
    values = tuple(value.replace("~", " ") for value in image_type.split(" "))
    assert kind_of_type(values) == expected


@pytest.mark.parametrize("block", [0x10, 0x1F])
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big endian"])
@pytest.mark.parametrize(
    ("address", "creator", "vr", "value"),
    [
        (0x0019000C, "SIEMENS MR HEADER", "IS", "800"),
        (0x00430039, "GEMS_PARM_01", "IS", ["1000000800", "8", "0", "0"]),
        (0x20010003, "Philips Imaging DD 001", "FL", 800.0),
    ],
)
def test_the_b_value_is_found_where_vendors_write_it(
    address: int, creator: str, vr: str, value: object, syntax: str, block: int
) -> None:
    ds = mr_dataset(PIXELS)
    ds.add_new(address & 0xFFFF0000 | block, "LO", creator)
    ds.add_new(address | block << 8, vr, value)
    ds.add_new(0x7FE00010, "OW", PIXELS.tobytes())
    found = open_image(write(ds, NATIVE[syntax])).facts(1).other_kind
    name = f"({address >> 16:04X},{block:02X}{address & 0xFF:02X})"
    assert found == f"the b-value in {name} says that this is a diffusion image (above 0)"
    ds[address | block << 8].value = "0" if vr == "IS" else 0.0
    assert open_image(write(ds, NATIVE[syntax])).facts(1).other_kind is None
    ds[address | block << 8].value = value
    ds[address & 0xFFFF0000 | block].value = "ANOTHER"
    assert open_image(write(ds, NATIVE[syntax])).facts(1).other_kind is None


def test_a_private_b_value_without_its_creator_counts() -> None:
    ds = mr_dataset(PIXELS)
    ds.add_new(0x20011003, "UN", struct.pack("<f", 600.0))
    ds.add_new(0x7FE00010, "OW", PIXELS.tobytes())
    assert "(2001,1003)" in (open_image(write(ds)).facts(1).other_kind or "")


def test_each_frame_of_an_enhanced_object_is_of_its_own_kind() -> None:
    frames = [
        group(MRImageFrameTypeSequence={"FrameType": ["ORIGINAL", "PRIMARY", "T2", "NONE"]}),
        group(MRImageFrameTypeSequence={"ComplexImageComponent": "PHASE"}),
        group(MRDiffusionSequence={"DiffusionBValue": 1000.0}),
        group(ContrastBolusUsageSequence={"ContrastBolusAgentAdministered": "YES"}),
        group(MRImageFrameTypeSequence={"FrameType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}),
        group(MRImageFrameTypeSequence={"PixelPresentation": "COLOR"}),
    ]
    usage = group(ContrastBolusUsageSequence={"ContrastBolusAgentAdministered": "NO"})
    image = open_image(
        make_dicom(
            np.stack([PIXELS] * 6),
            ContrastBolusAgentSequence=Sequence([item(CodeValue="C-B03DA")]),
            SharedFunctionalGroupsSequence=Sequence([usage]),
            PerFrameFunctionalGroupsSequence=Sequence(frames),
        )
    )
    found = [image.facts(number).other_kind for number in range(1, 7)]
    assert found[0] is None
    assert [text and text.split(" says ")[0] for text in found[1:]] == [
        "ComplexImageComponent",
        "DiffusionBValue",
        "ContrastBolusAgentAdministered",
        "FrameType",
        "PixelPresentation",
    ]


def test_no_word_of_the_file_is_in_the_reason() -> None:
    agent = kind(ContrastBolusAgent="MARKER")
    ingredient = kind(ContrastBolusIngredient="MARKER")
    image_type = kind(ImageType=["DERIVED", "PRIMARY", "MARKER ADC MAP"])
    for reason in (agent, ingredient, image_type):
        assert reason
        assert "MARKER" not in reason
