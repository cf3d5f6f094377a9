from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from preprocessing import InputSpec, read_image, to_input
from training.phantoms.kinds import FINDINGS, KINDS
from training.phantoms.painting import render
from training.phantoms.phantom import make_phantom, phantom_labels, write_phantoms
from training.phantoms.spine import draw_spine, level_centres


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        list(write_phantoms(tmp_path / name, 4, seed=7, anomaly="mixed", size=96))
    first = {f.name: f.read_bytes() for f in (tmp_path / "a").iterdir()}
    assert len(first) == 5
    assert first == {f.name: f.read_bytes() for f in (tmp_path / "b").iterdir()}


def test_another_seed_draws_another_spine() -> None:
    assert not np.array_equal(
        make_phantom(1, 0, size=96).pixels, make_phantom(2, 0, size=96).pixels
    )


def test_a_phantom_is_a_valid_12_bit_mr_object(phantom_folder: Path) -> None:
    ds = pydicom.dcmread(phantom_folder / "phantom_00000.dcm")
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert ds.SOPClassUID == MRImageStorage
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)
    assert 1000 < int(ds.pixel_array.max()) <= 4095
    assert (ds.SyntheticData, ds.QualityControlImage) == ("YES", "YES")
    # Type 1 and 2 of the Patient, Study, Series, Plane and MR Image modules (PS3.3 A.4).
    keywords = (
        "PatientID PatientName PatientBirthDate PatientSex StudyInstanceUID StudyDate StudyTime"
        " StudyID AccessionNumber ReferringPhysicianName SeriesInstanceUID SeriesNumber Modality"
        " Manufacturer FrameOfReferenceUID PositionReferenceIndicator InstanceNumber PixelSpacing"
        " ImageOrientationPatient ImagePositionPatient SliceThickness ImageType ScanningSequence"
        " SequenceVariant ScanOptions MRAcquisitionType EchoTime RepetitionTime EchoTrainLength"
    )
    for keyword in keywords.split():
        assert keyword in ds, keyword


def test_preprocessing_reads_a_phantom(phantom_folder: Path) -> None:
    image = read_image((phantom_folder / "phantom_00001.dcm").read_bytes())
    x = to_input(image, InputSpec(size=64))
    assert x.shape == (1, 64, 64)
    assert 0 <= x.min() < 0.05
    assert 0.9 < x.max() <= 1
    assert image.facts.patient_id == "PHANTOM-3-00001"


@pytest.mark.parametrize("kind", KINDS)
def test_every_anomaly_changes_the_image_but_not_its_twins_anatomy(kind: str) -> None:
    normal, planted = make_phantom(4, 2, size=128), make_phantom(4, 2, kind, size=128)
    assert not np.array_equal(normal.pixels, planted.pixels)
    assert not normal.mask.any()
    assert planted.spacing_mm == normal.spacing_mm


@pytest.mark.parametrize("kind", FINDINGS)
def test_a_finding_stays_local(kind: str) -> None:
    changed = make_phantom(4, 2, kind, size=128).mask.mean()
    assert 0 < changed < 0.1


def test_twins_share_a_patient_but_no_uid(tmp_path: Path) -> None:
    for kind in ("none", "lesion"):
        list(write_phantoms(tmp_path / kind, 1, seed=1, anomaly=kind, size=96))
    twins = [pydicom.dcmread(tmp_path / kind / "phantom_00000.dcm") for kind in ("none", "lesion")]
    assert twins[0].PatientID == twins[1].PatientID
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert twins[0][keyword].value != twins[1][keyword].value


def test_truth_names_what_was_planted_and_where(tmp_path: Path) -> None:
    list(write_phantoms(tmp_path, 4, seed=1, anomaly="mixed", size=96))
    with (tmp_path / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["anomaly"] for row in rows] == ["none", "lesion", "none", "fracture"]
    assert rows[0]["left"] == ""
    assert 0 <= int(rows[1]["left"]) < int(rows[1]["right"]) <= 96


def test_level_spacing_grows_from_head_to_foot_by_the_taper() -> None:
    spine = draw_spine(np.random.default_rng(0))
    y = level_centres(spine)
    assert y[0] == pytest.approx(-1.45 + spine.offset * spine.spacing)
    assert y[1] - y[0] == pytest.approx(spine.spacing * (1 + spine.taper * y[0] / 2))


def test_both_contrasts_are_drawn() -> None:
    assert {make_phantom(0, index, size=96).contrast for index in range(12)} == {"T1", "T2"}


def test_rendering_covers_every_row_of_the_picture() -> None:
    image = render(draw_spine(np.random.default_rng(1)), 128)
    assert image.shape == (128, 128)
    assert np.isfinite(image).all()
    assert (image.max(axis=1) > 0.2).all()


def test_an_unknown_anomaly_is_refused() -> None:
    with pytest.raises(ValueError, match="wobble"):
        make_phantom(0, 0, "wobble")


def test_masks_label_bodies_canal_and_discs_where_they_are_painted(tmp_path: Path) -> None:
    list(write_phantoms(tmp_path / "in", 2, seed=7, size=128, masks=tmp_path / "masks"))
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        "phantom_00000.png",
        "phantom_00001.png",
    ]
    for index in range(6):
        labels, phantom = phantom_labels(7, index, size=128), make_phantom(7, index, size=128)
        assert np.unique(labels).tolist() == [0, 1, 2, 3]
        body, canal, disc = (phantom.pixels[labels == label].mean() for label in (1, 2, 3))
        assert (canal > body) == (phantom.contrast == "T2")
        assert disc < body


def test_a_fracture_lowers_the_outline_of_one_body() -> None:
    usual, fractured = (phantom_labels(3, 1, kind) for kind in ("none", "fracture"))
    assert 0.02 < 1 - (fractured == 1).sum() / (usual == 1).sum() < 0.2
    assert not phantom_labels(3, 1, "axial").any()
