"""Count the discs that a model finds against radiologists' gradings: `-m benchmarks.levels --help`.

The number of graded levels of a patient is the number of discs that its slices show; where a slice
has a mask, its discs are counted there. With --taught the segmentation is that of a network that
learns nothing else (training/networks/anatomy.py), trained now on the model's training patients.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import header, line
from model.levels.levels import Frame, Levels, find_levels
from model.runtime import LoadedModel
from preprocessing import Slice, to_input
from preprocessing.transforms import fitted_shape
from training.data.collection import Collection

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Slices [1, 1, S, S] in [0, 1] -> logits of the tissues, [4, S/2, S/2].
Segment = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_DISC = 3  # in a mask
_SMALLEST = 15  # pixels of the model's input: less of a disc is a partial volume


@dataclass(frozen=True)
class Counted:
    """One slice: how many levels were found, and how many there are.

    Args:
        contrast: as the manifest names it.
        patient: of the slice.
        n_found: levels found.
        n_true: discs of its mask, else graded levels of the patient.
        is_certain: whether the numbers are said to be certain.
        is_lowest_right: whether level 1 lies on the lowest disc of the mask; None without a mask.
        ms: CPU time from tissues to levels.
    """

    contrast: str
    patient: str
    n_found: int
    n_true: int
    is_certain: bool
    is_lowest_right: bool | None
    ms: float


def measure(
    model: LoadedModel, folder: Path, *, trained_on: bool = False, taught: bool = False
) -> Iterator[Counted]:
    """Find the levels of each slice of a folder like SPIDER's: dicom, masks, two tables.

    Args:
        model: whose segmentation is used, and whose seed tells who was held out.
        folder: with dicom, masks, manifest.csv and gradings.csv.
        trained_on: of the patients whom the model was trained on, instead of those held out.
        taught: by a network that is trained now, on the patients whom the model was trained on.
    """
    from training.config import FitConfig
    from training.data.collection import iterate_slices, load_images
    from training.data.labels import fit_mask, read_mask
    from training.data.split import split_groups

    size, data = model.spec.input.size, [folder / "dicom"]
    images = load_images(data, model.spec.input)
    split = split_groups(
        [source.group for source in images.sources],
        seed=model.spec.provenance.seed,
        holdout_fraction=FitConfig().holdout_fraction,
    )
    segment: Segment = lambda x: model.compute(x).tissues[0]  # noqa: E731 - one of two
    if taught:
        segment = _teach(model, images, split.train, folder)
    rows = {Path(row["path"]).name: row for row in _table(folder / "manifest.csv")}
    n_graded = Counter(row["patient"] for row in _table(folder / "gradings.csv"))
    chosen = [images.sources[i] for i in (split.train if trained_on else split.holdout)]
    for source, image in iterate_slices(data, chosen):
        row = rows[Path(source.path).name]
        tissues = _softmax(segment(to_input(image, model.spec.input)[None]))
        began = time.process_time()
        levels = find_levels(tissues, frame_of(image, size))
        ms = 1000 * (time.process_time() - began)
        n_true, is_lowest_right = n_graded[row["patient"]], None
        if row["mask"]:
            mask = read_mask(folder / row["mask"])
            discs = discs_of_mask(fit_mask(mask, image.spacing_mm, size))
            n_true, is_lowest_right = len(discs), is_on_lowest(levels, discs)
        found = (len(levels.numbers), n_true, levels.is_certain, is_lowest_right)
        yield Counted(row["contrast"], row["patient"], *found, ms)


def _teach(
    model: LoadedModel, images: Collection, train: NDArray[np.int64], folder: Path
) -> Segment:
    """Train a network for the anatomy alone."""
    import torch

    from training.data.labels import label_by_masks
    from training.data.training_set import TrainingSet
    from training.networks.anatomy import fit_anatomy

    seed = model.spec.provenance.seed
    with tempfile.TemporaryDirectory(prefix="levels-") as cache:
        labels = label_by_masks(images, [folder / "dicom"], folder / "masks", Path(cache))
        one = np.zeros(len(train), np.int64)  # of a series or kind: nothing is drawn by them
        data = TrainingSet(images.x, np.load(labels), train, one, one)
    network = fit_anatomy(data, model.spec.inspector, seed=(seed, 0))

    def segment(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(x)).anatomy[0].numpy()
        return logits

    return segment


def frame_of(image: Slice, size: int) -> Frame:
    """Return what of the tissues' map, [size / 2, size / 2], is the picture."""
    height, width = fitted_shape(image.pixels.shape, image.spacing_mm, size)
    top, left = (size - height) // 2, (size - width) // 2
    return Frame(*(edge / 2 - 0.5 for edge in (top, top + height, left, left + width)))


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0))


def discs_of_mask(mask: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Find the discs of a mask at the networks' input size; centres as in its map of half size."""
    from scipy import ndimage

    pieces, n_pieces = ndimage.label(mask == _DISC)
    numbers = np.arange(1, n_pieces + 1)
    large = numbers[np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:] >= _SMALLEST]
    centres = ndimage.center_of_mass(mask == _DISC, pieces, large)
    return np.array(centres).reshape(-1, 2) / 2 - 0.25


def is_on_lowest(levels: Levels, discs: NDArray[np.floating]) -> bool:
    """Whether level 1 lies nearer than half a gap to the lowest disc, [n, 2], of an upright map."""
    if not len(levels.numbers) or not len(discs):
        return len(levels.numbers) == len(discs)
    lowest = discs[np.argmax(discs[:, 0])]
    return bool(np.linalg.norm(levels.centres[-1] - lowest) < levels.gap[-1] / 2)


def summarize(slices: Iterable[Counted]) -> list[dict[str, Any]]:
    """Return shares of the slices of each contrast."""
    by_contrast = dict[str, list[Counted]]()
    for counted in slices:
        by_contrast.setdefault(counted.contrast, []).append(counted)
    return [_summary(contrast, by_contrast[contrast]) for contrast in sorted(by_contrast)]


def _summary(contrast: str, slices: list[Counted]) -> dict[str, Any]:
    errors = np.array([counted.n_found - counted.n_true for counted in slices])
    certain = np.array([counted.is_certain for counted in slices])
    lowest = [c.is_lowest_right for c in slices if c.is_lowest_right is not None]
    return {
        "contrast": contrast,
        "slices": len(slices),
        "patients": len({counted.patient for counted in slices}),
        "exact": float(np.mean(errors == 0)),
        "within_one": float(np.mean(np.abs(errors) <= 1)),
        "certain": float(certain.mean()),
        "exact_if_certain": float(np.mean(errors[certain] == 0)) if certain.any() else None,
        "lowest_right": float(np.mean(lowest)) if lowest else None,
        "errors": {str(error): int(n) for error, n in sorted(Counter(errors.tolist()).items())},
        "ms": float(np.median([counted.ms for counted in slices])),
    }


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Write the summaries as a table in Markdown."""
    results = list(results)
    titles = [str(name).replace("_", " ") for name in results[0]]
    return "\n".join(header(titles) + [line(map(_cell, row.values())) for row in results])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{count} x {int(error):+d}" for error, count in value.items())
    return "-" if value is None else str(value)


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", help="A tag, or a .bentomodel file; the released model by default.")
@click.option("--trained-on", is_flag=True, help="Of the patients whom the model was trained on.")
@click.option("--taught", is_flag=True, help="Train a network for the anatomy alone; ten minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print every slice as JSON.")
def main(folder: Path, model: str | None, trained_on: bool, taught: bool, as_json: bool) -> None:
    """Find the levels of all slices of FOLDER (dicom, masks, manifest.csv, gradings.csv).

    Example: python -m benchmarks.levels data/spider
    """
    from training.data.teacher import RELEASED, load_teacher

    teacher = load_teacher(model or str(RELEASED))
    slices = list(measure(teacher, folder, trained_on=trained_on, taught=taught))
    if as_json:
        click.echo(json.dumps([asdict(counted) for counted in slices], indent=1))
    else:
        click.echo(table(summarize(slices)))


if __name__ == "__main__":
    main()
