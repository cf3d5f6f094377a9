"""What the model sees of a slice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from preprocessing import InputSpec, Slice, read_image, to_input
from preprocessing.resizing import resize, resize_matrix, resize_rows
from preprocessing.transforms import fitted_shape, scale_intensity
from preprocessing.window import percentiles, window
from tests.dicom_files import make_dicom

FACTS = read_image(make_dicom(np.zeros((2, 2), np.uint8))).facts


def make_slice(pixels: npt.ArrayLike, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> Slice:
    return Slice(np.asarray(pixels, np.float32), spacing_mm, 1, 1, FACTS)


def test_the_window_lies_between_the_two_percentiles() -> None:
    # 0..200: the 0.5th percentile is 1 and the 99.5th 199, so 100 maps to 99 / 198.
    pixels = np.arange(201, dtype=np.float32).reshape(3, 67)
    assert window(pixels, 0.5, 99.5) == (1.0, 199.0)
    scaled = scale_intensity(pixels, 1.0, 199.0)
    assert scaled.ravel()[[0, 1, 100, 199, 200]].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("slope", [1.0, 0.37])
@pytest.mark.parametrize("percents", [(0.5, 99.5), (0.0, 100.0), (12.3, 45.6)])
def test_percentiles_equal_those_of_numpy(slope: float, percents: tuple[float, float]) -> None:
    pixels = np.random.default_rng(3).integers(-700, 3000, (61, 83)).astype(np.float32)
    pixels *= np.float32(slope)
    expected = np.percentile(pixels.astype(np.float64), percents)
    np.testing.assert_allclose(percentiles(pixels, *percents), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1)),
        np.full((300, 300), 7.0),
        np.array([[3.0, 1.0]]),
        np.where(np.arange(90_000) < 30_000, 0, np.arange(90_000) - 29_999).reshape(300, 300),
        np.repeat(np.arange(100.0), 900).reshape(300, 300),
        # One column in 43 is another: the pixels that the guess is made from may be all of it.
        np.where(np.arange(90_000) % 43 == 0, -1e6, np.arange(90_000)).reshape(300, 300),
        np.where(np.arange(90_000) % 43 == 0, 1e6, -np.arange(90_000)).reshape(300, 300),
        np.array([[-0.0, 0.0, 1e-45, 3e38, -3e38]]),
    ],
    ids=["one", "constant", "two", "dark", "steps", "low comb", "high comb", "extremes"],
)
@pytest.mark.parametrize("percents", [(0.5, 99.5), (0.0, 100.0), (49.0, 51.0), (99.9, 100.0)])
def test_percentiles_do_not_depend_on_the_guess(
    pixels: npt.NDArray[np.float64], percents: tuple[float, float]
) -> None:
    found = percentiles(pixels.astype(np.float32), *percents)
    expected = np.percentile(pixels.astype(np.float32).astype(np.float64), percents)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, -1e4, 7e37])
def test_percentiles_of_a_large_image_are_selected_without_sorting(offset: float) -> None:
    # Above 2^20 pixels the bits of the floats are counted; signs, zeros and huge values included.
    pixels = np.random.default_rng(3).normal(0, 700, (1100, 1000)).astype(np.float32)
    pixels[:40] = 0
    pixels += np.float32(offset)
    pixels[50, 50] = -0.0
    expected = np.percentile(pixels, (0.5, 99.5))
    np.testing.assert_allclose(percentiles(pixels, 0.5, 99.5), expected, rtol=1e-6)


def test_a_single_hot_pixel_does_not_darken_the_rest() -> None:
    pixels = np.random.default_rng(0).uniform(0, 100, (64, 64)).astype(np.float32)
    hot = pixels.copy()
    hot[3, 3] = 1e6
    others = np.ones((64, 64), bool)
    others[3, 3] = False
    before, after = (scale_intensity(each, *window(each, 0.5, 99.5)) for each in (pixels, hot))
    np.testing.assert_allclose(before[others], after[others], atol=0.01)


def test_an_image_with_a_degenerate_window_keeps_its_few_bright_pixels() -> None:
    pixels = np.zeros((64, 64), np.float32)
    pixels[10, 10] = 7
    assert window(pixels, 0.5, 99.5) == (0, 7)


@pytest.mark.parametrize("value", [0.0, -5.0, 3e38])
def test_a_constant_image_becomes_zeros(value: float) -> None:
    x = to_input(make_slice(np.full((5, 9), value)), InputSpec(size=16))
    assert x.shape == (1, 16, 16)
    assert not x.any()


def test_a_range_beyond_float32_stays_finite() -> None:
    pixels = np.array([[-3e38, 0.0, 3e38]], np.float32)
    assert scale_intensity(pixels, *window(pixels, 0, 100)).tolist() == [[0.0, 0.5, 1.0]]


def plainly_resized(pixels: npt.NDArray[np.float32], n_out: int) -> npt.NDArray[np.float32]:
    return resize_matrix(pixels.shape[0], n_out) @ pixels


@pytest.mark.parametrize("n_in", [1, 5, 100, 191, 192, 193, 433, 640, 2048, 2049, 5000])
@pytest.mark.parametrize("n_out", [1, 11, 12, 13, 192])
def test_resizing_by_bands_equals_the_whole_matrix(n_in: int, n_out: int) -> None:
    pixels = np.random.default_rng(4).random((n_in, 3), np.float32)
    found = resize_rows(pixels, n_out)
    np.testing.assert_allclose(found, plainly_resized(pixels, n_out), atol=3e-7)
    doubled = resize_rows(pixels, n_out, lambda rows: rows + rows)
    np.testing.assert_allclose(doubled, 2 * found, atol=6e-7)


@pytest.mark.parametrize("step", [1e-45, 1e-38, 1e-20])
def test_a_window_too_narrow_for_float32_gives_no_nan(step: float) -> None:
    pixels = np.zeros((48, 48), np.float32)
    pixels.ravel()[:12] = step  # just above the 99.5th percentile, which lies between
    x = to_input(make_slice(pixels), InputSpec(16))
    assert np.isfinite(x).all()
    assert x.max() > 0


def test_halving_averages_with_a_triangle() -> None:
    # Scale 2, support 2: the second output is centred on 3; pixels 1..4 lie 1.5, 0.5, 0.5 and 1.5
    # away, which gives weights 1/8, 3/8, 3/8, 1/8.
    assert resize_matrix(6, 3)[1].tolist() == [0, 0.125, 0.375, 0.375, 0.125, 0]


SHAPES = [(384, 384), (320, 277), (64, 512), (97, 33), (1, 1), (3, 2500), (2500, 3), (1500, 1100)]


@pytest.mark.parametrize("shape", [*SHAPES, (1, 65535), (9000, 130), (2100, 2100)])
def test_resizing_equals_torch_with_antialias(shape: tuple[int, int]) -> None:
    # In double precision: torch's float32 weights are themselves off by up to 1e-6.
    torch = pytest.importorskip("torch")
    pixels = np.random.default_rng(1).random(shape, np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).double()[None, None], (128, 77), mode="bilinear", antialias=True
    )[0, 0].numpy()
    np.testing.assert_allclose(resize(pixels, 128, 77), expected, atol=1e-6)


def test_the_aspect_is_kept_in_millimetres() -> None:
    # 100 rows of 2 mm and 100 columns of 1 mm: twice as high as wide.
    assert fitted_shape((100, 100), (2.0, 1.0), 128) == (128, 64)
    assert fitted_shape((64, 512), (1.0, 1.0), 128) == (16, 128)
    assert fitted_shape((1, 65535), (1.0, 1.0), 128) == (1, 128)


def test_the_picture_is_centred_between_zeros() -> None:
    x = to_input(make_slice(np.tile([[0.0], [1.0]], (8, 8)), (2.0, 1.0)), InputSpec(size=16))
    columns = np.flatnonzero(x[0].any(axis=0))
    assert (columns[0], columns[-1]) == (6, 9)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (64, 512), (2048, 2048), (31, 17)])
def test_every_shape_gives_finite_values_between_0_and_1(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).normal(0, 1e3, shape)
    x = to_input(make_slice(pixels), InputSpec())
    assert x.shape == (1, 128, 128)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert x.min() >= 0
    assert x.max() <= 1


@pytest.mark.parametrize(
    ("size", "low", "high"), [(0, 0.5, 99.5), (128, 50, 50), (128, -1, 99), (128, 1, float("nan"))]
)
def test_an_input_spec_that_cannot_be_meant_is_refused(size: int, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="must"):
        InputSpec(size, low, high)
