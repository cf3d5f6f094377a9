"""Separate children from adults, whose spines look otherwise, without keeping the age."""

from __future__ import annotations

import re
from datetime import date

from preprocessing.dicom import tags, values
from preprocessing.dicom.values import Item

ADULT_AT = 18
_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII)
_IN_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}


def child_by(ds: Item) -> str | None:
    """Return the keyword of what says that the patient was under 18 years; None where nothing does.

    PatientAge (PS3.5 6.2, AS) decides; 000Y is what some scanners write for an unknown age. Without
    it the date of birth and that of the study do: not every scanner writes the age.
    """
    written = _AGE.fullmatch((values.text(ds, tags.PATIENT_AGE) or "").upper())
    if written and int(written[1]):
        is_child = int(written[1]) < ADULT_AT * _IN_A_YEAR[written[2]]
        return "PatientAge" if is_child else None
    born, studied = _date(ds, tags.PATIENT_BIRTH_DATE), _date(ds, tags.STUDY_DATE)
    if born is None or studied is None or studied < born:
        return None
    # A birthday later in the year is still to come.
    is_before = (studied.month, studied.day) < (born.month, born.day)
    return "PatientBirthDate" if studied.year - born.year - is_before < ADULT_AT else None


def _date(ds: Item, tag: int) -> date | None:
    """Read a date (DA), None where missing or none of the calendar."""
    written = values.text(ds, tag) or ""
    if not re.fullmatch(r"\d{8}", written, re.ASCII):
        return None
    try:
        return date(int(written[:4]), int(written[4:6]), int(written[6:]))
    except ValueError:
        return None
