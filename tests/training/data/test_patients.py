from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from training.data.patients import Identity, group_files, read_patients, same_text, why_doubtful
from training.errors import WrongPatients


def file(
    patient_id: str = "",
    *,
    issuer: str = "",
    study: str = "1.2",
    path: str = "/data/site/p1/a.dcm",
) -> Identity:
    folder = "/".join(PurePosixPath(path).parts[2:4])
    return Identity(same_text(patient_id), issuer, study, folder, PurePosixPath(path))


def test_one_number_of_two_issuers_is_two_patients() -> None:
    files = [file("001", issuer="A"), file("001", issuer="B"), file("001", issuer="A", study="9")]
    assert group_files(files, "patient") == [
        *("patient:001 of A", "patient:001 of B", "patient:001 of A"),
    ]


def test_where_a_file_names_no_issuer_one_number_is_one_patient() -> None:
    files = [file("001", issuer="A"), file("001"), file("001", issuer="B")]
    assert set(group_files(files, "patient")) == {"patient:001"}


@pytest.mark.parametrize("other", [" 001 ", "\uff10\uff10\uff11"])
def test_spaces_and_wide_digits_make_no_other_patient(other: str) -> None:
    assert group_files([file("001"), file(other)], "patient") == ["patient:001"] * 2
    assert group_files([file("1"), file("01")], "patient") == ["patient:1", "patient:01"]


def test_a_file_without_a_name_belongs_to_the_only_patient_of_its_study() -> None:
    files = [file("P1", study="1"), file(study="1"), file("ANON", study="1"), file(study="2")]
    assert group_files(files, "patient") == ["patient:P1"] * 3 + ["nobody"]
    # Two patients are in this study: whose file it is, nobody knows.
    assert group_files([file("P1"), file("P2"), file()], "patient")[2] == "nobody"


@pytest.mark.parametrize(
    "name", ["Anonymous^Patient", "TEST PATIENT", "no-name", "Anon^Anon", "00-000", "_", "DE-ID"]
)
def test_placeholders_are_known_by_their_words(name: str) -> None:
    assert group_files([file(name)], "patient") == ["nobody"]


def test_pseudonyms_with_a_number_are_no_placeholders() -> None:
    files = [file(f"ANON{n}", study=str(n)) for n in range(6)]
    groups = group_files(files, "patient")
    assert len(set(groups)) == 6
    assert why_doubtful(files, groups, "patient") == ""


def test_a_placeholder_that_nobody_listed_is_suspected_and_not_repeated() -> None:
    files = [file("Spine^Project", study=str(n)) for n in range(6)] + [file("P1", study="7")]
    doubt = why_doubtful(files, group_files(files, "patient"), "patient")
    assert doubt.startswith("one PatientID has 6 of 7 studies; if it names nobody, --group-by")
    assert "SPINE" not in doubt.upper()


def test_folders_are_those_right_below_the_one_that_was_named() -> None:
    paths = ["p1/t1/a.dcm", "p1/t2/b.dcm", "p2/c.dcm", "d.dcm"]
    files = [file(path=f"/data/site/{path}") for path in paths]
    assert group_files(files, "folder")[:3] == [
        "folder:site/p1",
        "folder:site/p1",
        "folder:site/p2",
    ]
    together = [files[0], files[1]]
    assert "all files lie in one folder" in why_doubtful(
        together, group_files(together, "folder"), "folder"
    )


def table(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["path,patient", *lines]), "utf-8")
    return str(path)


def test_of_two_rows_the_one_that_says_more_about_the_place_counts(tmp_path: Path) -> None:
    by = table(tmp_path / "t.csv", "p1, a ", "p1/b.dcm,B", "site/p2,c", "/data/site/d.dcm,d")
    paths = ["p1/a.dcm", "p1/b.dcm", "p2/t1/b.dcm", "d.dcm"]
    files = [file(path=f"/data/site/{path}") for path in paths]
    assert group_files(files, by) == ["patient:A", "patient:B", "patient:C", "patient:D"]


def test_a_file_that_the_table_does_not_name_is_an_error_that_names_it(tmp_path: Path) -> None:
    by = table(tmp_path / "t.csv", "p1/a.dcm,A", "1/b.dcm,whole names only")
    files = [file(), file(path="/data/site/p1/b.dcm"), file(path="/data/site/p1/c.dcm")]
    message = r"t\.csv names no patient for 2 of 3 files, such as b\.dcm in p1"
    with pytest.raises(WrongPatients, match=message):
        group_files(files, by)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,patient\na,1\n", "no column path"),
        (b"", "no column path and no column patient"),
        (b"path,patient\na,\n", "line 2: the path or the patient is missing"),
        (b"path,patient\na\n", "line 2: the path or the patient is missing"),
        (b"path,patient\n,1\n", "line 2: the path or the patient is missing"),
        (b"path,patient\na,1\na,2\n", "line 3: a has two patients"),
        (b"path,patient\n\xff,1\n", "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(WrongPatients, match=message):
        read_patients(tmp_path / "t.csv")
    with pytest.raises(WrongPatients, match="cannot be read"):
        read_patients(tmp_path / "gone.csv")
