from __future__ import annotations

from pathlib import Path

import pytest

from training.cleaning.overrides import human_decisions, read_overrides
from training.data.collection import Collection
from training.errors import WrongOverrides


def write(folder: Path, text: str) -> Path:
    path = folder / "overrides.csv"
    path.write_text(text, "utf-8")
    return path


def test_decisions_are_read_with_or_without_a_frame(tmp_path: Path) -> None:
    path = write(
        tmp_path, "path,frame,decision\na.dcm,1,keep\nb.dcm,, DROP \nc.dcm,2,\n\nd.dcm,1,drop\n"
    )
    assert read_overrides(path) == (
        ("a.dcm", 1, "keep"),
        ("b.dcm", 0, "drop"),
        ("d.dcm", 1, "drop"),
    )


def test_two_columns_in_any_order_are_enough(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffdecision,path,note\nkeep,"sub, one/a.dcm",looks fine\n')
    assert read_overrides(path) == (("sub, one/a.dcm", 0, "keep"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,verdict\na.dcm,keep\n", "no column decision"),
        ("", "no column"),
        ("path,decision\na.dcm,maybe\n", "line 2: the decision is keep or drop, not 'maybe'"),
        ("path,decision\na.dcm,keep\na.dcm,drop\n", "line 3: a.dcm is both kept and dropped"),
        ("path,frame,decision\na.dcm,zero,keep\n", "line 2: frames are counted from 1"),
        ("path,frame,decision\na.dcm,0,keep\n", "line 2: frames are counted from 1"),
    ],
)
def test_a_file_with_an_unclear_decision_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongOverrides, match=said):
        read_overrides(write(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(WrongOverrides, match="UTF-8"):
        read_overrides(path)


def test_a_decision_finds_its_image_and_a_frame_takes_precedence_over_its_file(
    phantoms: Collection,
) -> None:
    first, second = phantoms.sources[0].path, phantoms.sources[1].path
    decided = human_decisions(
        [(first, 0, "drop"), (first, 1, "keep"), (second, 0, "drop")], phantoms.sources
    )
    assert decided.tolist() == [1, -1] + [0] * 28


def test_the_first_few_unknown_images_are_named(phantoms: Collection) -> None:
    unknown = [(f"gone{number}.dcm", number, "keep") for number in range(5)]
    with pytest.raises(WrongOverrides, match=r"gone0.dcm, gone1.dcm frame 1, .* and 2 more"):
        human_decisions(unknown, phantoms.sources)
