from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.levels import Counted, discs_of_mask, is_on_lowest, measure, summarize, table
from model.levels.levels import find_levels
from model.runtime import LoadedModel
from training.data.teacher import RELEASED, load_teacher
from training.phantoms.phantom import write_phantoms

N_PHANTOMS = 60


@pytest.fixture(scope="module")
def released() -> LoadedModel:
    return load_teacher(str(RELEASED))


def counted(
    n_found: int, n_true: int, *, certain: bool = True, lowest: bool | None = None
) -> Counted:
    return Counted("t2", f"p{n_true}", n_found, n_true, certain, lowest, 1.0)


def test_shares_are_those_of_the_slices() -> None:
    slices = [
        counted(7, 7),
        counted(6, 7),
        counted(4, 6, certain=False),
        counted(7, 7, lowest=True),
    ]
    (row,) = summarize(slices)
    assert (row["slices"], row["patients"]) == (4, 2)
    assert (row["exact"], row["within_one"], row["certain"]) == (0.5, 0.75, 0.75)
    assert row["exact_if_certain"] == pytest.approx(2 / 3)
    assert row["lowest_right"] == 1
    assert row["errors"] == {"-2": 1, "-1": 1, "0": 2}
    assert "| 1 x -2, 1 x -1, 2 x +0 |" in table([row])


def test_discs_of_a_mask_are_its_pieces_in_the_map_of_half_size() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:14, 20:30] = mask[30:34, 20:30] = 3
    mask[50, 20:30] = 3  # a sliver
    assert discs_of_mask(mask).tolist() == [[5.5, 12.0], [15.5, 12.0]]


def test_level_1_belongs_on_the_lowest_disc() -> None:
    none = find_levels(np.zeros((4, 64, 64), np.float32))
    assert is_on_lowest(none, np.zeros((0, 2)))
    assert not is_on_lowest(none, np.array([[5.0, 5.0]]))


def test_a_folder_of_phantoms_is_measured(tmp_path: Path, released: LoadedModel) -> None:
    names = [path.name for path in write_phantoms(tmp_path / "dicom", N_PHANTOMS, seed=5)]
    (tmp_path / "dicom" / "truth.csv").unlink()
    tables = {"manifest": ("path", "mask", "patient", "contrast"), "gradings": ("patient", "level")}
    for name, columns in tables.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for number, path in enumerate(names):
                manifest = [f"dicom/{path}", "", number, "t2"]
                writer.writerows(
                    [manifest] if name == "manifest" else [[number, i] for i in range(7)]
                )
    slices = list(measure(released, tmp_path))
    assert 1 <= len(slices) < N_PHANTOMS / 2
    assert {one.n_true for one in slices} == {7}
    # Phantoms are foreign to the released model, yet it sees the column of most.
    assert np.median([one.n_found for one in slices]) > 3
