"""Ask a saved model about images it should, and should not, find unusual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from model.runtime import LoadedModel, load_model
from model.store import find_directory
from preprocessing import InputSpec, Slice, to_input
from training.config import FitConfig
from training.data import load_images, read_slices
from training.errors import OtherData
from training.phantom import phantom_slice
from training.split import split_groups

FloatArray = NDArray[np.float32]

HELD_OUT = "held-out patients"
_N_SYNTHETIC = 40
_SEED = 90_210  # of the tested faults and phantoms: no training uses it


@dataclass(frozen=True)
class GroupScore:
    """How one group of images fared.

    Args:
        group: what the images are.
        n_images: how many.
        median_mse: of them.
        above_p95: share above the 95th percentile of the held-out patients' MSE.
        alarms: share above the model's own threshold.
        auroc: probability that one of them scores higher than a held-out image.
    """

    group: str
    n_images: int
    median_mse: float
    above_p95: float
    alarms: float
    auroc: float


def evaluate(
    tag: str,
    data: Sequence[Path],
    *,
    axial: Sequence[Path] = (),
    exclude: Sequence[str] = (),
    everyone: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[GroupScore]:
    """Score held-out patients, their images with faults planted, and images of other things.

    The MSE does not find everything: what it misses is in the table like the rest.

    Args:
        tag: of a model in the store.
        data: files and folders that the model was trained from; who was held out follows from the
            model's seed and each patient's identity.
        axial: real axial files; without them synthetic ones.
        exclude: relative paths to leave out.
        everyone: take all patients, for data that the model never saw.
        progress: called with (files done, files in all).

    Raises:
        TrainingError: nothing readable, or too few patients.
        ModelError: the model is missing or damaged.
    """
    model = load_model(find_directory(tag))
    spec, seed = model.spec.input, model.spec.provenance.seed
    images = load_images(data, spec, exclude=exclude, progress=progress)
    chosen = np.arange(len(images.sources))
    if not everyone:
        config = FitConfig()
        chosen = split_groups(
            [source.group for source in images.sources],
            seed=seed,
            validation_fraction=config.validation_fraction,
            holdout_fraction=config.holdout_fraction,
        ).holdout
        _check_holdout(model, len(chosen), len({images.sources[i].group for i in chosen}))
    slices = read_slices(data, [images.sources[index] for index in chosen])
    groups = planted(slices, spec)
    groups["axial (synthetic)"] = phantoms(spec, "axial")
    if axial:
        groups["axial (files)"] = load_images(axial, spec).x.astype(np.float32)
    groups["phantoms (other images)"] = phantoms(spec, "none")
    return score_groups(model, images.x[chosen].astype(np.float32), groups)


def _check_holdout(model: LoadedModel, n_images: int, n_patients: int) -> None:
    """Refuse data whose held-out part is not the one that the training run kept away.

    Raises:
        TrainingError: the counts differ: other data, other exclusions, or another folder name.
    """
    kept_away = model.spec.provenance.metrics
    expected = (kept_away.get("heldout_images"), kept_away.get("heldout_patients"))
    if expected != (n_images, n_patients):
        raise OtherData(
            f"the training run held out {expected[0]:g} images of {expected[1]:g} patients, here"
            f" it would be {n_images} of {n_patients}: name the data it was trained from, with the"
            " same --exclude; or --all for data that it never saw"
        )


def score_groups(
    model: LoadedModel, usual: FloatArray, groups: dict[str, FloatArray]
) -> list[GroupScore]:
    """Compare each group with usual images; the first row is the usual images themselves."""
    base = score(model, usual)
    limit = float(np.percentile(base, 95))
    rows = []
    for name, x in ({HELD_OUT: usual} | groups).items():
        mse = score(model, x)
        rows.append(
            GroupScore(
                group=name,
                n_images=len(mse),
                median_mse=float(np.median(mse)),
                above_p95=float((mse > limit).mean()),
                alarms=float((mse > model.spec.decision.threshold).mean()),
                auroc=auroc(base, mse),
            )
        )
    return rows


def score(model: LoadedModel, x: FloatArray) -> NDArray[np.float64]:
    """Score in small batches: [N, 1, S, S] -> MSE, [N]."""
    return np.concatenate([model.score(x[i : i + 8]) for i in range(0, len(x), 8)])


def auroc(usual: NDArray[np.float64], unusual: NDArray[np.float64]) -> float:
    """Count the pairs in which the unusual image scores higher, ties as half (Mann-Whitney U)."""
    ranks = rankdata(np.concatenate([usual, unusual]))[len(usual) :]
    wins = ranks.sum() - len(unusual) * (len(unusual) + 1) / 2
    return float(wins / (len(usual) * len(unusual)))


def planted(slices: Sequence[Slice], spec: InputSpec) -> dict[str, FloatArray]:
    """Plant faults into slices as scanned, before window and resize: name -> [N, 1, S, S]."""
    faults: dict[str, Callable[[Slice, np.random.Generator], Slice]] = {
        "uniform noise, model's pixels": lambda s, rng: noise(s, rng, spec.size),
        "uniform noise, scan's pixels": lambda s, rng: noise(s, rng, None),
        "rotated by 90 degrees": rotated,
        "black box, 25 % of the area": black_box,
        "ghosting": ghosting,
    }
    return {
        name: np.stack(
            [
                to_input(fault(s, np.random.default_rng([_SEED, i])), spec)
                for i, s in enumerate(slices)
            ]
        )
        for name, fault in faults.items()
    }


def noise(image: Slice, rng: np.random.Generator, size: int | None) -> Slice:
    """Replace the pixels by uniform noise; of the model's size, or of the scan's own matrix."""
    shape = (size, size) if size else image.pixels.shape
    return replace(image, pixels=rng.random(shape, dtype=np.float32))


def rotated(image: Slice, rng: np.random.Generator) -> Slice:
    """Turn by 90 degrees, one way or the other."""
    pixels = np.rot90(image.pixels, int(rng.choice([1, 3])))
    spacing_mm = (image.spacing_mm[1], image.spacing_mm[0])
    return replace(image, pixels=np.ascontiguousarray(pixels), spacing_mm=spacing_mm)


def black_box(image: Slice, rng: np.random.Generator) -> Slice:
    """Blank a box of half the height and half the width, anywhere."""
    n_rows, n_columns = image.pixels.shape
    top, left = int(rng.integers(n_rows // 2 + 1)), int(rng.integers(n_columns // 2 + 1))
    pixels = image.pixels.copy()
    pixels[top : top + n_rows // 2, left : left + n_columns // 2] = pixels.min()
    return replace(image, pixels=pixels)


def ghosting(image: Slice, rng: np.random.Generator) -> Slice:
    """Add two copies at a quarter of the field along the phase direction, of 15 to 30 %."""
    pixels, shift = image.pixels, image.pixels.shape[0] // 4
    ghost = np.roll(pixels, shift, axis=0) + np.roll(pixels, -shift, axis=0)
    amplitude = np.float32(rng.uniform(0.15, 0.30))
    return replace(image, pixels=pixels + amplitude * ghost)


def phantoms(spec: InputSpec, kind: str) -> FloatArray:
    """Make phantoms of one kind through the DICOM path: [40, 1, S, S]."""
    made = (phantom_slice(_SEED, index, kind) for index in range(_N_SYNTHETIC))
    return np.stack([to_input(image, spec) for image in made])
