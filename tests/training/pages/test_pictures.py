from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from training.pages.pictures import figure_picture, grey_picture, heat_picture, save_figure

START = "data:image/png;base64,"


def opened(uri: str) -> Image.Image:
    assert uri.startswith(START)
    return Image.open(BytesIO(base64.b64decode(uri.removeprefix(START))), formats=["PNG"])


def greys(values: NDArray[np.floating], side: int = 100) -> list[list[int]]:
    picture = opened(grey_picture(values, side))
    assert picture.mode == "L"
    pixels: list[list[int]] = np.asarray(picture).tolist()
    return pixels


def test_values_become_bytes_and_nan_becomes_black() -> None:
    assert greys(np.array([[0, 0.5, 1, 2, -1, np.nan]])) == [[0, 128, 255, 255, 0, 0]]


def test_pictures_shrink_by_averaging_and_never_grow() -> None:
    values = np.arange(16.0, dtype=np.float16).reshape(4, 4) * 4 / 255
    assert greys(values, 2) == [[10, 18], [42, 50]]
    assert np.shape(greys(values, 100)) == (4, 4)
    assert np.shape(greys(np.zeros((64, 32)), 16)) == (16, 8)


def test_a_heat_map_is_scaled_by_its_own_brightest_pixels() -> None:
    values = np.zeros((20, 20), np.float32)
    values[5:10] = 0.001
    picture = opened(heat_picture(values, 20)).convert("RGB")
    dark, bright = picture.getpixel((0, 0)), picture.getpixel((0, 7))
    # The ends of matplotlib's "inferno".
    assert (dark, bright) == ((0, 0, 3), (252, 254, 164))


def test_a_heat_map_of_zeros_is_dark() -> None:
    picture = opened(heat_picture(np.zeros((8, 8), np.float32), 8)).convert("RGB")
    assert picture.getcolors() == [(64, (0, 0, 3))]


def test_a_figure_gives_the_same_bytes_in_a_page_and_in_a_file(tmp_path: Path) -> None:
    def figure() -> Figure:
        made = Figure(figsize=(2, 1))
        made.subplots().plot([1, 2])
        return made

    save_figure(figure(), tmp_path / "plot.png")
    content = (tmp_path / "plot.png").read_bytes()
    assert figure_picture(figure()) == START + base64.b64encode(content).decode()
    assert b"matplotlib" not in content.lower()
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
