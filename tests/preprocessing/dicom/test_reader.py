"""Pixel values, spacing and facts of files made here."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from preprocessing import InputSpec, read_frames, read_image, to_input
from preprocessing.errors import FrameNotFound, GeometryMismatch, NotFinite
from tests.dicom_files import NATIVE, make_dicom

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100


def test_rescale_gives_modality_units() -> None:
    # 1100 * 2.5 - 50 = 2700
    image = read_image(make_dicom(RAMP, RescaleSlope="2.5", RescaleIntercept="-50"))
    assert image.pixels.dtype == np.float32
    assert image.pixels[2, 3] == 2700
    assert image.pixels[0, 0] == -50


def test_monochrome1_is_inverted_within_its_own_range() -> None:
    image = read_image(make_dicom(RAMP, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(image.pixels, 1100 - RAMP)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_every_integer_width_and_order_keeps_its_values(syntax: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -30000), min(limits.max, 30000)
    pixels: npt.NDArray[Any] = np.linspace(low, high, 15).astype(dtype).reshape(3, 5)
    np.testing.assert_array_equal(read_image(make_dicom(pixels, syntax)).pixels, pixels)


def test_overlay_bits_above_bits_stored_are_removed() -> None:
    # 12 bits stored: 0xF123 is 0x123 with overlays in the upper four bits.
    image = read_image(make_dicom(np.full((2, 2), 0xF123, np.uint16), BitsStored=12, HighBit=11))
    assert image.pixels[0, 0] == 0x123


def test_the_sign_is_that_of_the_highest_stored_bit() -> None:
    # 0x0FFF with 12 signed bits is -1.
    pixels = np.array([[0x0FFF, 0x07FF]], np.uint16)
    image = read_image(make_dicom(pixels, BitsStored=12, HighBit=11, PixelRepresentation=1))
    assert image.pixels.tolist() == [[-1, 2047]]


def test_eight_bit_words_in_big_endian_order_are_swapped_back() -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    data = make_dicom(pixels, NATIVE["big endian"])
    swapped = pixels.tobytes()
    in_words = bytes(swapped[at ^ 1] for at in range(18))
    data = data[: -len(swapped) - 12] + b"\x7f\xe0\x00\x10OW\0\0\0\0\0\x12" + in_words
    np.testing.assert_array_equal([image.pixels for image in read_frames(data)], pixels)


def test_an_odd_number_of_bytes_in_big_endian_words_keeps_the_last_one() -> None:
    # 1 2 3 and a byte of padding, in words of the other order: 2 1 0 3.
    data = make_dicom(np.array([[1, 2, 3]], np.uint8), NATIVE["big endian"])
    data = data[:-16] + b"\x7f\xe0\x00\x10OW\0\0\0\0\0\4" + b"\2\1\0\3"
    assert read_image(data).pixels.tolist() == [[1, 2, 3]]


def test_padding_becomes_the_lowest_of_the_rest() -> None:
    pixels = np.array([[-2000, 5], [7, 9]], np.int16)
    image = read_image(make_dicom(pixels, PixelPaddingValue=-2000))
    assert image.pixels.tolist() == [[5, 5], [7, 9]]


def test_padding_of_a_monochrome1_image_is_dark_too() -> None:
    # Inverted within 0..9: 9, 2, 0; the padding takes the lowest of the rest, 0.
    pixels = np.array([[0, 7, 9]], np.uint16)
    changes: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}
    assert read_image(make_dicom(pixels, **changes)).pixels.tolist() == [[0, 2, 0]]


def test_an_image_of_padding_alone_stays_constant() -> None:
    image = read_image(make_dicom(np.full((4, 4), 3, np.uint16), PixelPaddingValue=3))
    assert not to_input(image, InputSpec(size=8)).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_float_pixel_data_is_read(syntax: str, dtype: type) -> None:
    pixels: npt.NDArray[Any] = np.array([[0.5, -1.25], [3e4, 0]], dtype)
    np.testing.assert_array_equal(read_image(make_dicom(pixels, syntax)).pixels, pixels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(NotFinite):
        read_image(make_dicom(np.array([[0, 0, 0], [0, bad, 0], [0, 0, 0]], np.float32)))


@pytest.mark.parametrize(("slope", "intercept"), [("1e300", "0"), ("nan", "0"), ("1", "inf")])
def test_a_rescale_that_is_not_finite_is_refused(slope: str, intercept: str) -> None:
    data = make_dicom(RAMP, RescaleSlope="1.0", RescaleIntercept="0")
    # Written into the bytes, as pydicom refuses such numbers: same length, padded.
    for keyword, value in ((b"\x53\x10", slope), (b"\x52\x10", intercept)):
        at = data.index(b"\x28\x00" + keyword + b"DS")
        old = int.from_bytes(data[at + 6 : at + 8], "little")
        text = value.encode().ljust(len(value) + len(value) % 2)
        header = data[at : at + 6] + len(text).to_bytes(2, "little")
        data = data[:at] + header + text + data[at + 8 + old :]
    with pytest.raises(NotFinite):
        read_image(data)


def test_pixel_spacing_is_row_then_column() -> None:
    assert read_image(make_dicom(RAMP, PixelSpacing=[2, 0.5])).spacing_mm == (2.0, 0.5)


def test_functional_groups_of_a_frame_win_over_shared_ones() -> None:
    def transformation(slope: str, intercept: str) -> Dataset:
        inner = Dataset()
        inner.RescaleSlope, inner.RescaleIntercept = slope, intercept
        group = Dataset()
        group.PixelValueTransformationSequence = Sequence([inner])
        return group

    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [0.7, 0.8]
    shared.PixelMeasuresSequence = Sequence([measures])
    image = make_dicom(
        np.stack([RAMP, RAMP]),
        PixelSpacing=None,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(
            [transformation("2", "1"), transformation("3", "0")]
        ),
    )
    first, second = read_frames(image)
    np.testing.assert_array_equal(first.pixels, RAMP * 2 + 1)
    np.testing.assert_array_equal(second.pixels, RAMP * 3.0)
    assert first.spacing_mm == second.spacing_mm == (0.7, 0.8)
    assert (second.frame, second.frames) == (2, 2)


def test_frames_are_decoded_only_when_asked_for() -> None:
    pixels = np.stack([np.full((2, 2), 1.0), np.full((2, 2), np.nan)]).astype(np.float32)
    data = make_dicom(pixels)
    assert next(islice(read_frames(data), 1)).pixels[0, 0] == 1
    assert read_image(data, frame=1).frames == 2
    with pytest.raises(NotFinite):
        read_image(data, frame=2)


@pytest.mark.parametrize("frame", [0, -1, 3])
def test_a_frame_that_does_not_exist_is_named(frame: int) -> None:
    with pytest.raises(FrameNotFound):
        read_image(make_dicom(np.stack([RAMP, RAMP])), frame=frame)


def test_identifiers_do_not_show_in_the_text_of_a_slice() -> None:
    image = read_image(make_dicom(RAMP, PatientID="SECRET1", SeriesDescription="SECRET2"))
    assert image.facts.patient_id == "SECRET1"
    assert "SECRET" not in repr(image)


def test_facts_are_none_where_missing_or_unreadable() -> None:
    facts = read_image(make_dicom(RAMP, PatientID=None, RepetitionTime="600.5")).facts
    assert facts.patient_id is None
    assert facts.echo_time is None
    assert facts.repetition_time == 600.5


def test_zeros_behind_the_pixels_are_padding_and_other_bytes_a_wrong_size() -> None:
    data = make_dicom(RAMP)
    start = len(data) - RAMP.nbytes
    longer = data[: start - 4] + (RAMP.nbytes + 8).to_bytes(4, "little") + data[start:]
    np.testing.assert_array_equal(read_image(longer + b"\0" * 8).pixels, RAMP)
    with pytest.raises(GeometryMismatch):
        read_image(longer + b"\1" * 8)


def test_the_facts_of_a_stratum_are_read_from_the_header() -> None:
    facts = read_image(
        make_dicom(
            RAMP,
            BodyPartExamined="LSPINE",
            MRAcquisitionType="2D",
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
            InversionTime="160",
            ScanOptions=["PFP", "FS"],
            SyntheticData="YES",
            QualityControlImage="YES",
        )
    ).facts
    assert (facts.body_part_examined, facts.mr_acquisition_type) == ("LSPINE", "2D")
    assert list(facts.image_orientation_patient or ()) == [0, 1, 0, 0, 0, -1]
    assert (facts.inversion_time, facts.is_fat_suppressed) == (160, True)
    assert (facts.is_synthetic, facts.is_quality_control) == (True, True)
    bare = read_image(make_dicom(RAMP)).facts
    assert bare.image_orientation_patient is None
    assert (bare.inversion_time, bare.is_fat_suppressed) == (None, False)
    assert (bare.is_synthetic, bare.is_quality_control) == (False, False)
    clinical = read_image(make_dicom(RAMP, SyntheticData="NO", QualityControlImage="NO")).facts
    assert (clinical.is_synthetic, clinical.is_quality_control) == (False, False)


@pytest.mark.parametrize(
    "cosines",
    [
        *([1, 0, 0, 0, 1], [1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 9, 0]),
        *([0.5, 0, 0, 0, 1, 0], []),
    ],
    ids=str,
)
def test_an_orientation_that_is_no_orientation_counts_as_missing(cosines: list[float]) -> None:
    facts = read_image(make_dicom(RAMP, ImageOrientationPatient=cosines)).facts
    assert facts.image_orientation_patient is None


def test_each_frame_of_an_enhanced_object_has_the_facts_of_its_own_group() -> None:
    def group(cosines: list[float], times: list[float]) -> Dataset:
        plane, modifier, whole = Dataset(), Dataset(), Dataset()
        plane.ImageOrientationPatient = cosines
        modifier.InversionTimes = times
        whole.PlaneOrientationSequence = Sequence([plane])
        whole.MRModifierSequence = Sequence([modifier])
        return whole

    shared, modifier = Dataset(), Dataset()
    modifier.SpectrallySelectedSuppression = "FAT"
    shared.MRModifierSequence = Sequence([modifier])
    image = make_dicom(
        np.stack([RAMP, RAMP]),
        ImageOrientationPatient=[0, 0, 1, 0, 1, 0],
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(
            [group([1, 0, 0, 0, 1, 0], [150.0]), group([0, 1, 0, 0, 0, -1], [])]
        ),
    )
    first, second = (frame.facts for frame in read_frames(image))
    assert list(first.image_orientation_patient or ()) == [1, 0, 0, 0, 1, 0]
    assert list(second.image_orientation_patient or ()) == [0, 1, 0, 0, 0, -1]
    assert (first.inversion_time, second.inversion_time) == (150, None)
    assert first.is_fat_suppressed
    assert second.is_fat_suppressed
