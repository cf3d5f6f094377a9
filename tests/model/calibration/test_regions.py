"""The region that a header states, in codes and in terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from model.calibration.regions import PHANTOM, stated_region
from preprocessing import SliceFacts, open_image
from tests.dicom_files import make_dicom

PIXELS = np.zeros((3, 3), np.uint16)
# Any vertebrae may be in them.
OPEN = {"Spine", "ThoracoLumbarSpine"}
SNOMED: dict[str, Any] = concepts["SCT"]
LUMBAR = {"LumbarSpine", "LumboSacralSpine"}


def facts(**changes: Any) -> SliceFacts:
    return open_image(make_dicom(PIXELS, **changes)).facts(1)


def coded(value: str, scheme: str = "SCT") -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    return Sequence([item])


def region(**changes: Any) -> str | None:
    stated = stated_region(facts(**changes))
    return stated[0] if stated else None


@pytest.mark.parametrize("concept", cid_concepts[4031]["SCT"])
def test_each_common_anatomic_region_is_understood(concept: str) -> None:
    for code in SNOMED[concept]:
        found = region(AnatomicRegionSequence=coded(code))
        assert (found == "lumbar") == (concept in LUMBAR)
        assert (found is None) == (concept in OPEN)
        older = mapping["SCT"].get(code)
        if older:
            assert region(AnatomicRegionSequence=coded(older, "SRT")) == found


LEVELS = ["L1L2", "L2L3", "L3L4", "L4L5", "L5S1"]
LUMBAR_CONCEPTS = [
    *(f"L{number}Vertebra" for number in range(1, 6)),
    *(f"{level}Disc" for level in LEVELS),
    *(f"LevelOf{level}IntervertebralDisc" for level in LEVELS),
]


@pytest.mark.parametrize("concept", LUMBAR_CONCEPTS)
def test_each_lumbar_vertebra_and_disc_is_lumbar(concept: str) -> None:
    for code in SNOMED[concept]:
        assert region(AnatomicRegionSequence=coded(code)) == "lumbar"
        assert region(AnatomicRegionSequence=coded(mapping["SCT"][code], "SRT")) == "lumbar"


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        *(("LSSPINE", "lumbar"), ("L SPINE", "lumbar"), ("LUMBAR SPINE", "lumbar")),
        *(("TSPINE", "thoracic"), ("CSPINE", "cervical"), ("CTSPINE", "cervical")),
        *(("SSPINE", "other"), ("COCCYX", "other"), ("HEADNECK", "other"), ("IAC", "other")),
        *(("NECKCHESTABDPELV", "other"), ("CHESTABDPELVIS", "other"), ("PAROTID", "other")),
        *(("SPINE", None), ("TLSPINE", None), ("SCHMIDT", None), ("", None)),
        ("PHANTOM", PHANTOM),
    ],
)
def test_terms_of_body_part_examined(term: str, expected: str | None) -> None:
    assert region(BodyPartExamined=term) == expected


def test_a_code_counts_before_the_term_unless_it_leaves_the_region_open() -> None:
    knee, spine = coded("72696002"), coded("421060004")
    assert stated_region(facts(AnatomicRegionSequence=knee, BodyPartExamined="LSPINE")) == (
        "other",
        "AnatomicRegionSequence",
    )
    assert stated_region(facts(AnatomicRegionSequence=spine, BodyPartExamined="LSPINE")) == (
        "lumbar",
        "BodyPartExamined",
    )


def test_codes_of_other_schemes_tell_nothing() -> None:
    assert region(AnatomicRegionSequence=coded("72696002", "99LOCAL")) is None
    assert region(AnatomicRegionSequence=coded("72696002", "FMA")) is None


def test_each_frame_has_its_own_anatomy() -> None:
    def group(code: str) -> Dataset:
        anatomy, whole = Dataset(), Dataset()
        anatomy.AnatomicRegionSequence = coded(code)
        whole.FrameAnatomySequence = Sequence([anatomy])
        return whole

    image = open_image(
        make_dicom(
            np.stack([PIXELS] * 3),
            AnatomicRegionSequence=coded("122496007"),
            PerFrameFunctionalGroupsSequence=Sequence(
                [group("122494005"), group("122495006"), Dataset()]
            ),
        )
    )
    assert [stated_region(image.facts(number)) for number in (1, 2, 3)] == [
        ("cervical", "FrameAnatomySequence"),
        ("thoracic", "FrameAnatomySequence"),
        ("lumbar", "AnatomicRegionSequence"),
    ]
