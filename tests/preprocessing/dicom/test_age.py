"""Children are told by PatientAge, else by the dates; nobody's age is kept or shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from preprocessing import open_image, read_image
from tests.dicom_files import make_dicom

PIXELS = np.zeros((3, 3), np.uint16)


def kind(**changes: Any) -> str | None:
    return open_image(make_dicom(PIXELS, **changes)).facts(1).other_kind


@pytest.mark.parametrize("age", ["017Y", "215M", "001D", "100W", "006M", "938W"])
def test_a_child_is_out_of_scope_by_its_age(age: str) -> None:
    reason = kind(PatientAge=age, PatientBirthDate="19500101", StudyDate="20200101")
    assert reason == "PatientAge says that this is an image of a child (under 18 years)"


@pytest.mark.parametrize("age", ["018Y", "216M", "950W", "099Y", "000Y", ""])
def test_an_adult_or_an_unknown_age_is_not(age: str) -> None:
    assert kind(PatientAge=age) is None


@pytest.mark.parametrize(
    ("born", "studied", "is_child"),
    [
        ("20020601", "20200531", True),
        ("20020601", "20200601", False),
        ("20191231", "20200101", True),
        ("19500101", "20200101", False),
        ("20300101", "20200101", False),
        ("20100101", "", False),
        ("", "20200101", False),
    ],
)
def test_without_an_age_the_dates_tell_a_child(born: str, studied: str, is_child: bool) -> None:
    reason = kind(PatientBirthDate=born, StudyDate=studied)
    assert (reason or "").startswith("PatientBirthDate says") == is_child


@pytest.mark.parametrize("date", [b"20101345", b"00000000", b"2010.1.1", b"2010    "])
def test_a_date_that_is_none_tells_nothing(date: bytes) -> None:
    data = make_dicom(PIXELS, PatientBirthDate="20100101", StudyDate="20200101")
    spoilt = open_image(data.replace(b"20100101", date))
    assert spoilt.facts(1).other_kind is None


def test_no_age_is_in_the_facts() -> None:
    image = read_image(make_dicom(PIXELS, PatientAge="013Y", PatientBirthDate="20060707"))
    assert "13" not in repr(image)
    assert "2006" not in repr(vars(image.facts))
