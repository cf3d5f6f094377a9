"""The kind of a slice: from the header, else from what the model saw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.calibration.strata import Measured, StratumKey, stratum_of, why_out_of_scope
from preprocessing import read_image
from tests.dicom_files import make_dicom

SILENT = read_image(make_dicom(np.zeros((2, 2), np.uint8))).facts
SPINE = Measured(canal_contrast=0.0, vertebra_share=0.08)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
LUMBAR_T2 = StratumKey("T2", "sagittal", "lumbar", "2D", "patient")


def key(measured: Measured = SPINE, **facts: Any) -> StratumKey:
    return stratum_of(replace(SILENT, **facts), measured)


@pytest.mark.parametrize(
    ("echo", "repetition", "contrast"),
    [
        (11.0, 600.0, "T1"),  # the medians of lumbar protocols
        (120.0, 3643.0, "T2"),
        (120.0, 1000.0, "T2"),  # T2 SPACE repeats as fast as a T1
        (120.0, None, "T2"),
        (20.0, 3000.0, "PD"),
        (45.0, 3000.0, "PD"),
        (45.0, 600.0, None),
        (11.0, None, None),
        (None, 600.0, None),
        (-5.0, 600.0, None),
    ],
)
def test_echo_and_repetition_time_tell_the_contrast(
    echo: float | None, repetition: float | None, contrast: str | None
) -> None:
    assert key(echo_time=echo, repetition_time=repetition).contrast == contrast


def test_an_inversion_that_nulls_fat_is_stir_and_a_longer_one_is_not() -> None:
    assert key(echo_time=60.0, repetition_time=4000.0, inversion_time=160.0).contrast == "STIR"
    assert key(echo_time=10.0, repetition_time=2000.0, inversion_time=860.0).contrast == "T1"
    assert key(echo_time=100.0, repetition_time=9000.0, inversion_time=2200.0).contrast == "T2"


def test_suppressed_fat_makes_a_contrast_of_its_own() -> None:
    assert key(echo_time=100.0, is_fat_suppressed=True).contrast == "T2 FS"


@pytest.mark.parametrize(
    ("cosines", "plane"),
    [
        (SAGITTAL, "sagittal"),
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "coronal"),
        ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "axial"),
        # Tilted by 40 degrees along the disc L5/S1: cos 40 = .766, sin 40 = .643.
        ((1.0, 0.0, 0.0, 0.0, 0.766, -0.643), "axial"),
    ],
)
def test_the_plane_is_the_one_that_the_normal_is_nearest_to(
    cosines: tuple[float, ...], plane: str
) -> None:
    assert key(image_orientation_patient=cosines).plane == plane


@pytest.mark.parametrize(
    ("body_part", "region"),
    [
        ("LSPINE", "lumbar"),
        ("L-SPINE", "lumbar"),
        ("LUMBAR SPINE", "lumbar"),
        ("CSPINE", "cervical"),
        ("TSPINE", "thoracic"),
        ("BRAIN", "other"),
        ("SPINE", None),
        ("DOE^JOHN", None),
        (None, None),
    ],
)
def test_the_region_is_the_body_part_that_was_examined(
    body_part: str | None, region: str | None
) -> None:
    assert key(body_part_examined=body_part).region == region


def test_2d_and_3d_are_told_apart_and_other_words_say_nothing() -> None:
    assert key(mr_acquisition_type="3D").acquisition == "3D"
    assert key(mr_acquisition_type="DOE").acquisition is None


def test_without_tags_the_canal_tells_the_contrast_and_the_vertebrae_the_plane() -> None:
    # ln(2) = .69: the canal is twice as bright as the vertebrae.
    assert key(Measured(0.69, 0.08)) == StratumKey("T2", "sagittal", subject="patient")
    assert key(Measured(-0.69, 0.08)) == StratumKey("T1", "sagittal", subject="patient")
    assert key(Measured(0.05, 0.08)) == StratumKey(plane="sagittal", subject="patient")
    assert key(Measured(0.0, 0.001)) == StratumKey(None, "other", "other", subject="patient")


def test_what_the_header_says_wins_over_what_was_seen() -> None:
    seen = Measured(canal_contrast=-0.69, vertebra_share=0.001)
    facts: dict[str, Any] = {"echo_time": 100.0, "image_orientation_patient": SAGITTAL}
    assert key(seen, **facts, body_part_examined="LSPINE", mr_acquisition_type="2D") == LUMBAR_T2


def test_the_header_names_phantoms_and_synthetic_ones() -> None:
    assert key().subject == "patient"
    assert key(is_quality_control=True).subject == "phantom"
    assert key(is_synthetic=True, is_quality_control=True).subject == "synthetic phantom"
    assert key(is_synthetic=True).subject == "synthetic phantom"


def test_only_what_is_no_patient_is_named_in_a_kind() -> None:
    assert str(LUMBAR_T2) == "T2 sagittal lumbar 2D"
    assert str(replace(LUMBAR_T2, subject="phantom")) == "T2 sagittal lumbar 2D phantom"


def test_a_word_outside_the_lists_names_no_kind() -> None:
    with pytest.raises(ValueError, match="not listed"):
        StratumKey(region="Doe^John")


def test_a_kind_fits_another_where_they_do_not_differ_in_what_both_know() -> None:
    assert LUMBAR_T2.fits(StratumKey(plane="sagittal"))
    assert StratumKey().fits(LUMBAR_T2)
    assert not LUMBAR_T2.fits(StratumKey("T1", "sagittal"))


def test_a_slice_of_a_kind_that_was_calibrated_is_in_scope() -> None:
    assert why_out_of_scope(LUMBAR_T2, [LUMBAR_T2]) is None
    assert why_out_of_scope(StratumKey("T2", "sagittal"), [LUMBAR_T2]) is None


def test_the_reason_names_what_the_calibration_lacks() -> None:
    calibrated = [LUMBAR_T2, StratumKey("T1", "sagittal", "lumbar", "3D", "patient")]
    axial = StratumKey("T2", "axial", "lumbar", "2D")
    assert why_out_of_scope(axial, calibrated) == (
        "the plane is axial; the calibration has only sagittal"
    )
    pd = StratumKey("PD", "sagittal", "lumbar", "2D")
    assert why_out_of_scope(pd, calibrated) == "the contrast is PD; the calibration has only T1, T2"
    assert why_out_of_scope(StratumKey("T1", "sagittal", "lumbar", "2D"), calibrated) == (
        "the calibration has no slices that are T1 sagittal lumbar 2D"
    )


def test_a_phantom_is_in_scope_where_phantoms_were_calibrated_and_a_patient_is_not() -> None:
    drawn = replace(LUMBAR_T2, subject="synthetic phantom")
    assert why_out_of_scope(drawn, [drawn]) is None
    assert why_out_of_scope(drawn, [LUMBAR_T2]) == (
        "the image is of a synthetic phantom; the calibration has only patients"
    )
    assert why_out_of_scope(LUMBAR_T2, [drawn]) == (
        "the image is of a patient; the calibration has only synthetic phantoms"
    )
