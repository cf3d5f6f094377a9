from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from preprocessing import InputSpec, read_image, to_input
from tests.dicom_files import make_dicom
from training.data.collection import (
    Collection,
    Skipped,
    count_codes,
    count_reasons,
    iterate_slices,
    load_images,
)
from training.data.files import read_exclusions
from training.data.split import split_groups
from training.errors import NoImages, TooFewImages

SPEC = InputSpec(size=32)


def copy_as(source: Path, target: Path, **changes: str | None) -> None:
    """Copy a DICOM file with some attributes set, or removed where None."""
    ds = pydicom.dcmread(source)
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    # Other pixels: copies of the same image count once.
    ds.PixelData = np.roll(ds.pixel_array, len(target.name), axis=0).tobytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(target)


def test_unreadable_files_are_listed_with_a_code_and_skipped(
    phantom_folder: Path, tmp_path: Path
) -> None:
    shutil.copy(phantom_folder / "phantom_00000.dcm", tmp_path / "good.dcm")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "empty.dcm").touch()
    (tmp_path / "sub" / "notes.txt").write_text("no image")
    images = load_images([tmp_path], SPEC)
    assert [source.path for source in images.sources] == ["good.dcm"]
    assert images.skipped == (
        Skipped("sub/empty.dcm", "empty_file"),
        Skipped("sub/notes.txt", "not_dicom"),
    )
    assert count_codes(images.skipped) == {"empty_file": 1, "not_dicom": 1}


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(NoImages, match=r"no readable MR image in 2 files .*: 2 not_dicom"):
        load_images([tmp_path], SPEC)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoImages, match="no files under"):
        load_images([tmp_path], SPEC)


def test_the_order_does_not_depend_on_how_often_it_is_read(phantom_folder: Path) -> None:
    first, second = (load_images([phantom_folder], SPEC) for _ in range(2))
    assert first.sources == second.sources
    assert first.digest() == second.digest()


def test_a_copy_under_another_patient_is_left_out(phantom_folder: Path, tmp_path: Path) -> None:
    ds = pydicom.dcmread(phantom_folder / "phantom_00000.dcm")
    ds.save_as(tmp_path / "a.dcm")
    ds.PatientID = "SOMEONE-ELSE"
    ds.save_as(tmp_path / "b.dcm")
    images = load_images([tmp_path], SPEC)
    assert [source.path for source in images.sources] == ["a.dcm"]
    assert images.duplicates == ("b.dcm",)


def test_a_copy_that_lost_its_spacing_is_left_out(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (40, 40), dtype=np.uint16)
    (tmp_path / "a.dcm").write_bytes(make_dicom(pixels, PixelSpacing=[1.0, 0.5]))
    (tmp_path / "b.dcm").write_bytes(make_dicom(pixels, PixelSpacing=None, PatientID="P2"))
    images = load_images([tmp_path], SPEC)
    assert [source.path for source in images.sources] == ["a.dcm"]
    assert images.duplicates == ("b.dcm",)


def test_a_copy_that_is_mirrored_and_says_so_is_left_out(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (40, 40), dtype=np.uint16)
    upright = make_dicom(pixels, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    mirrored = make_dicom(pixels[:, ::-1], ImageOrientationPatient=[0, -1, 0, 0, 0, -1])
    (tmp_path / "a.dcm").write_bytes(upright)
    (tmp_path / "b.dcm").write_bytes(mirrored)
    assert load_images([tmp_path], SPEC).duplicates == ("b.dcm",)


def test_a_file_named_twice_is_read_once(phantom_folder: Path) -> None:
    file = phantom_folder / "phantom_00000.dcm"
    images = load_images([file, phantom_folder], SPEC)
    assert len(images.sources) == 30
    assert images.duplicates == ()


def test_excluded_paths_match_whole_folders_names(phantom_folder: Path) -> None:
    inside = f"{phantom_folder.name}/phantom_00001.dcm"
    images = load_images([phantom_folder], SPEC, exclude=["phantom_00000.dcm", inside, "2.dcm"])
    assert images.n_excluded == 2
    assert images.sources[0].path == "phantom_00002.dcm"


def test_exclusions_come_as_text_or_as_a_csv_with_a_path_column(tmp_path: Path) -> None:
    text, table, wrong = tmp_path / "a.txt", tmp_path / "a.csv", tmp_path / "b.csv"
    text.write_text("x/1.dcm\n\n2.dcm\n")
    table.write_text("label,path\nbad,x/1.dcm\nbad,2.dcm\n")
    wrong.write_text("file\n1.dcm\n")
    assert read_exclusions(text) == read_exclusions(table) == ["x/1.dcm", "2.dcm"]
    with pytest.raises(ValueError, match="no column 'path'"):
        read_exclusions(wrong)


def test_slices_are_found_again_by_their_source(phantom_folder: Path, phantoms: Collection) -> None:
    wanted = phantoms.sources[3:5]
    slices = [image for _, image in iterate_slices([phantom_folder], wanted)]
    assert [f"patient:{s.facts.patient_id}" for s in slices] == [s.group for s in wanted]


def test_the_sets_never_share_a_patient() -> None:
    groups = [f"patient:{number % 50}" for number in range(400)]
    for seed in range(20):
        split = split_groups(groups, seed=seed, holdout_fraction=0.2)
        parts = [split.train, split.holdout]
        assert sorted(np.concatenate(parts).tolist()) == list(range(400))
        patients = [{groups[index] for index in part} for part in parts]
        assert all(patients)
        assert sum(map(len, patients)) == 50


def test_a_patient_keeps_its_set_when_others_come() -> None:
    few = [f"patient:{number}" for number in range(60)]
    many = [f"patient:{number}" for number in range(200)]
    chosen = [
        {names[i] for i in split_groups(names, seed=1, holdout_fraction=0.2).holdout}
        for names in (few, many)
    ]
    assert chosen[0] == chosen[1] & set(few)


def test_two_patients_are_the_fewest_to_split() -> None:
    with pytest.raises(TooFewImages, match="1 patients"):
        split_groups(["a"] * 18, seed=0, holdout_fraction=0.2)
    split = split_groups(["a"] * 9 + ["b"] * 9, seed=0, holdout_fraction=0.2)
    assert [len(part) for part in (split.train, split.holdout)] == [9, 9]


def written(folder: Path, headers: dict[str, dict[str, str]]) -> list[Path]:
    """Write a slice of other pixels for each path and header."""
    rng = np.random.default_rng(0)
    for name, header in headers.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 900, (40, 40), dtype=np.uint16)
        (folder / name).write_bytes(make_dicom(pixels, **header))
    return [folder]


def test_five_patients_with_a_study_and_series_for_every_file_are_five(tmp_path: Path) -> None:
    data = written(
        tmp_path,
        {
            f"{n}.dcm": {
                "PatientID": f" p{n % 5}" if n % 2 else f"P{n % 5} ",
                "StudyInstanceUID": f"1.2.{n}",
                "SeriesInstanceUID": f"1.3.{n}",
            }
            for n in range(20)
        },
    )
    images = load_images(data, SPEC)
    assert images.groups == tuple(f"patient:P{n}" for n in range(5))
    assert images.doubt == ""


def test_forty_patients_under_one_study_and_series_are_forty(tmp_path: Path) -> None:
    data = written(tmp_path, {f"{n}.dcm": {"PatientID": f"P{n}"} for n in range(40)})
    images = load_images(data, SPEC)
    assert len(images.groups) == len({source.series for source in images.sources}) == 40
    assert images.doubt == ""


@pytest.mark.parametrize(
    "name", ["ANONYMOUS", "anon", "0", "000000", "NONE", "N/A", "XXX", "-", ""]
)
def test_a_folder_of_placeholders_is_one_patient_and_named_as_such(
    tmp_path: Path, name: str
) -> None:
    header = {"PatientID": name}
    data = written(
        tmp_path,
        {f"p{n}/{n}.dcm": header | {"StudyInstanceUID": f"1.2.{n}"} for n in range(6)},
    )
    images = load_images(data, SPEC)
    assert images.groups == ("nobody",)
    what = f"the PatientID {name.upper()}" if name else "no PatientID"
    assert images.doubt == (
        f"6 of 6 files have {what}, which names nobody: they count as one patient, in 6 studies and"
        " 6 folders; --group-by folder, study or a CSV file tells them apart"
    )
    for by in ("folder", "study"):
        images = load_images(data, SPEC, group_by=by)
        assert (len(images.groups), images.doubt) == (6, "")
    table = tmp_path.with_name(f"{tmp_path.name}.csv")
    table.write_text("path,patient\n" + "".join(f"p{n},{n // 2}\n" for n in range(6)))
    assert load_images(data, SPEC, group_by=str(table)).groups == (
        *("patient:0", "patient:1", "patient:2"),
    )


def test_one_number_of_two_hospitals_is_two_patients(tmp_path: Path) -> None:
    header = {"PatientID": "001"}
    data = written(
        tmp_path, {f"{n}.dcm": header | {"IssuerOfPatientID": f"h{n % 2}"} for n in range(4)}
    )
    assert load_images(data, SPEC).groups == ("patient:001 of H0", "patient:001 of H1")


ADC = {"ImageType": "DERIVED\\PRIMARY\\DIFFUSION\\ADC"}
SCOUT = {"ScanningSequence": "GR", "SequenceVariant": "SS", "FlipAngle": "30"}
TEXT = {"BurnedInAnnotation": "YES"}


def test_what_the_header_calls_another_kind_is_left_out_and_counted(tmp_path: Path) -> None:
    others = {"adc1.dcm": ADC, "adc2.dcm": ADC, "child.dcm": {"PatientAge": "011Y"}}
    others |= {"scout.dcm": SCOUT, "text.dcm": TEXT}
    data = written(tmp_path, {"a.dcm": {}, **others, "z.dcm": {}})
    images = load_images(data, SPEC)
    assert [source.path for source in images.sources] == ["a.dcm", "z.dcm"]
    assert [frame.path for frame in images.left_out] == list(others)
    reasons = count_reasons(images.left_out)
    assert [n for _, n in reasons] == [2, 1, 1, 1]
    for keyword in ("ImageType", "PatientAge", "ScanningSequence", "BurnedInAnnotation"):
        assert any(reason.startswith(keyword) for reason, _ in reasons)
    assert len(load_images(data, SPEC, all_kinds=True).sources) == 7


def test_an_image_is_kept_whose_copy_is_left_out(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (40, 40), dtype=np.uint16)
    (tmp_path / "a_report.dcm").write_bytes(make_dicom(pixels, **TEXT))
    (tmp_path / "b.dcm").write_bytes(make_dicom(pixels))
    images = load_images([tmp_path], SPEC)
    assert [source.path for source in images.sources] == ["b.dcm"]
    assert images.duplicates == ()


def test_frames_of_other_kinds_are_left_out_of_an_object(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (4, 40, 40), dtype=np.uint16)
    frames = []
    for n in range(4):
        kind, frame = Dataset(), Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "ADC" if n % 2 else "NONE"]
        kind.ComplexImageComponent = "PHASE" if n == 2 else "MAGNITUDE"
        frame.MRImageFrameTypeSequence = [kind]
        frames.append(frame)
    frames[0].MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    ds = make_dicom(
        pixels,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        PerFrameFunctionalGroupsSequence=frames,
    )
    (tmp_path / "mixed.dcm").write_bytes(ds)
    images = load_images([tmp_path], SPEC)
    assert [source.frame for source in images.sources] == [1]
    assert [frame.frame for frame in images.left_out] == [2, 3, 4]
    served = to_input(read_image(ds, 1), SPEC)
    np.testing.assert_array_equal(images.x[0], served.astype(np.float16))


def test_where_everything_is_left_out_the_reasons_are_named(tmp_path: Path) -> None:
    data = written(tmp_path, {"a.dcm": ADC, "b.dcm": ADC, "c.dcm": TEXT})
    message = r"in 3 files under .*: left out 2: ImageType says .*, left out 1: BurnedIn"
    with pytest.raises(NoImages, match=message):
        load_images(data, SPEC)


def test_slices_of_one_series_without_a_name_are_of_one_patient_beyond_doubt(
    tmp_path: Path,
) -> None:
    data = written(tmp_path, {f"{n}.dcm": {"PatientID": "ANON"} for n in range(9)})
    images = load_images(data, SPEC)
    assert (images.groups, images.doubt) == (("nobody",), "")
    with pytest.raises(TooFewImages, match="1 patients"):
        split_groups([source.group for source in images.sources], seed=0, holdout_fraction=0.2)
