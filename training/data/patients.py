"""Distinguish patients: images of one patient are not independent of each other."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from training.errors import WrongPatients

BY_PATIENT, BY_STUDY, BY_FOLDER = "patient", "study", "folder"
GROUP_BY = (BY_PATIENT, BY_STUDY, BY_FOLDER)
# The group of all files that name nobody: nothing tells that they are of several patients.
NOBODY = "nobody"

# What de-identification and careless exports write into PatientID, without what separates words.
# So are zeros and the letter X alone, several of these words, and nothing.
_PLACEHOLDERS = frozenset(
    {
        *("ANON", "ANONYM", "ANONYMIZED", "ANONYMISED", "ANONYMOUS", "ANONYMOUSPATIENT"),
        *("ANONYMIZEDPATIENT", "ANONYMISEDPATIENT", "PATIENTANONYMOUS"),
        *("DEID", "DEIDENTIFIED", "DELETED", "HIDDEN", "MASKED", "REDACTED", "REMOVED"),
        *("CONFIDENTIAL", "PRIVATE", "PSEUDONYM", "PSEUDONYMIZED", "PSEUDONYMISED"),
        *("BLANK", "DEFAULT", "DUMMY", "EMPTY", "EXAMPLE", "SAMPLE", "TEST", "TESTPATIENT"),
        *("MISSING", "NA", "NAN", "NIL", "NO", "NOID", "NONAME", "NONE", "NOTAVAILABLE"),
        *("NOPATIENT", "NOPATIENTID", "NULL", "UNDEFINED", "UNKNOWN", "UNKNOWNPATIENT", "UNNAMED"),
        *("ID", "MRN", "PATIENT", "PATIENTID", "PATID", "PID", "SUBJECT", "JOHNDOE", "JANEDOE"),
    }
)
_FEWEST_STUDIES = 5  # of one PatientID, before it is taken for a placeholder that nobody listed


@dataclass(frozen=True)
class Identity:
    """What tells whose a file is; kept in memory only.

    Args:
        patient_id: its PatientID without what makes no difference; a placeholder, too; "" if none.
        issuer: of that ID (IssuerOfPatientID), "" if unknown.
        study: StudyInstanceUID, "" if none.
        folder: the folder that the user named and the one below it that holds the file.
        path: of the file, absolute.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    study: str = field(repr=False)
    folder: str
    path: PurePosixPath

    @property
    def is_named(self) -> bool:
        """Whether the PatientID is one patient's own."""
        words = re.findall(r"[^\W_]+", self.patient_id)
        return not (
            "".join(words) in _PLACEHOLDERS
            or all(word in _PLACEHOLDERS or not word.strip("0X") for word in words)
        )


def same_text(text: str | None) -> str:
    """Bring an identifier into one form: spaces at its ends and upper case make no difference.

    >>> same_text(" ab  001 ")
    'AB 001'
    """
    return " ".join(unicodedata.normalize("NFKC", text or "").upper().split())


def group_files(files: Sequence[Identity], by: str) -> list[str]:
    """Name the patient of each file.

    Args:
        files: what tells whose they are.
        by: one of GROUP_BY, or the path of a CSV file; see `read_patients`.

    Raises:
        WrongPatients: the CSV file cannot be read, or does not name each file's patient.
    """
    if by == BY_STUDY:
        return [f"study:{one.study}" if one.study else NOBODY for one in files]
    if by == BY_FOLDER:
        return [f"folder:{one.folder}" for one in files]
    return _by_patient(files) if by == BY_PATIENT else _by_table(files, Path(by))


def why_doubtful(files: Sequence[Identity], groups: Sequence[str], by: str) -> str:
    """Explain why a group may be of several patients; empty where nothing suggests it.

    No PatientID is repeated, unless it is a known placeholder.

    Args:
        files: what tells whose they are.
        groups: of the files, from `group_files`.
        by: how they were grouped.
    """
    advice = f"--group-by {BY_FOLDER}, {BY_STUDY} or a CSV file tells them apart"
    unnamed = [one for one, group in zip(files, groups, strict=True) if group == NOBODY]
    if len({one.study or str(one.path) for one in unnamed}) > 1:
        what = "no StudyInstanceUID" if by == BY_STUDY else _placeholders(unnamed)
        n_folders = len({one.folder for one in unnamed})
        return (
            f"{len(unnamed)} of {len(files)} files have {what}: they count as one patient, in"
            f" {len({one.study for one in unnamed})} studies and {n_folders} folders; {advice}"
        )
    if by == BY_FOLDER and len(files) > 1 and len(set(groups)) == 1:
        return "all files lie in one folder; name the folder that holds one for each patient"
    studies: dict[str, set[str]] = defaultdict(set)
    for one, group in zip(files, groups, strict=True):
        studies[group].add(one.study)
    n_most, n_all = max(map(len, studies.values())), len({one.study for one in files})
    if by == BY_PATIENT and n_most >= _FEWEST_STUDIES and 2 * n_most > n_all:
        return f"one PatientID has {n_most} of {n_all} studies; if it names nobody, {advice}"
    return ""


def _by_patient(files: Sequence[Identity]) -> list[str]:
    """Group by PatientID; a file without one belongs to the only patient that its study names."""
    issuers: dict[str, set[str]] = defaultdict(set)
    for one in files:
        issuers[one.patient_id].add(one.issuer)

    def name(one: Identity) -> str:
        # Two hospitals give the same number to two people; with an issuer missing, who knows.
        has_issuer = "" not in issuers[one.patient_id]
        return f"patient:{one.patient_id}" + f" of {one.issuer}" * has_issuer

    named: dict[str, set[str]] = defaultdict(set)
    for one in files:
        if one.is_named and one.study:
            named[one.study].add(name(one))

    def find(one: Identity) -> str:
        if one.is_named:
            return name(one)
        return next(iter(named[one.study])) if len(named[one.study]) == 1 else NOBODY

    return [find(one) for one in files]


def _by_table(files: Sequence[Identity], path: Path) -> list[str]:
    table = read_patients(path)
    lengths = sorted({len(parts) for parts in table}, reverse=True)

    def find(one: Identity) -> str | None:
        parts = one.path.parts
        # The file itself, then its folders; of two rows the one that says more about the place.
        for end in range(len(parts), 0, -1):
            for length in lengths:
                if length <= end and parts[end - length : end] in table:
                    return table[parts[end - length : end]]
        return None

    found = [find(one) for one in files]
    groups = [f"patient:{patient}" for patient in found if patient]
    if len(groups) < len(files):
        first = next(one for one, patient in zip(files, found, strict=True) if not patient)
        raise WrongPatients(
            f"{path.name} names no patient for {len(files) - len(groups)} of {len(files)} files,"
            f" such as {first.path.name} in {first.path.parent.name}"
        )
    return groups


def read_patients(path: Path) -> dict[tuple[str, ...], str]:
    """Read a CSV file with the columns path and patient: (parts of the path) -> patient.

    A path is that of a file or of a folder, and matches whatever ends in it.

    Raises:
        WrongPatients: unreadable, a column or a patient is missing, or a path has two patients.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := {"path", "patient"} - set(reader.fieldnames or ()):
                names = " and no column ".join(sorted(missing))
                raise WrongPatients(f"{path.name} has no column {names}")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongPatients(f"{path.name} cannot be read as CSV in UTF-8") from error
    table: dict[tuple[str, ...], str] = {}
    for line, row in rows:
        parts = PurePosixPath((row["path"] or "").strip()).parts
        patient = same_text(row["patient"])
        if not parts or not patient:
            raise WrongPatients(f"{path.name}, line {line}: the path or the patient is missing")
        if table.setdefault(parts, patient) != patient:
            raise WrongPatients(f"{path.name}, line {line}: {row['path']} has two patients")
    return table


def _placeholders(unnamed: Sequence[Identity]) -> str:
    """Describe the PatientIDs of files that name nobody, the most frequent first."""
    counts = Counter(one.patient_id for one in unnamed)
    n_missing = counts.pop("", 0)
    words = ["no PatientID"] * bool(n_missing)
    if counts:
        words.append(f"the PatientID {' or '.join(name for name, _ in counts.most_common(3))}")
    return f"{' or '.join(words)}, which names nobody"
