"""Yield the images that a model is evaluated on, each made when it is asked for."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from preprocessing import Slice, read_image
from training.data.collection import iterate_slices
from training.data.headers import Source
from training.data.labels import find_masks, read_mask
from training.errors import WrongMasks
from training.evaluation.faults import FAULT_KINDS, PLACED, plant_fault
from training.evaluation.foreign import OTHER_MODALITY, foreign_images
from training.evaluation.lesions import LESION_KINDS, plant_lesion, read_anatomy
from training.phantoms.kinds import FINDINGS, KINDS
from training.phantoms.phantom import make_phantom, phantom_bytes

SEED = 90_210  # of everything planted, drawn and resampled here: no training uses it
USUAL = "usual"
FAULTS, LESIONS = "acquisition faults", "lesions"
FINDING_GROUP = "pathology"
LABELLED = "labelled"
INVERTED = "inverted grey values"
NOTHING = frozenset({"", "none", "normal"})  # how a table of labels marks a usual image


@dataclass(frozen=True)
class Case:
    """One image to judge.

    Args:
        image: to be judged.
        kind: of the anomaly, or USUAL.
        group: of kinds, which are averaged; "" for usual images.
        patient: of the image; intervals resample patients, and an alarm rate counts them.
        pair: number of the usual image that it was planted into, -1 for none; a usual image has a
            number of its own.
        mask: where the anomaly is, [H, W]; None if it is everywhere or unknown.
    """

    image: Slice
    kind: str
    group: str
    patient: str
    pair: int = -1
    mask: NDArray[np.bool_] | None = None


def held_out_cases(
    data: Sequence[Path], chosen: Sequence[Source], masks: Path | None
) -> Iterator[Case]:
    """Yield each chosen slice and what is planted into it; a slice is decoded once.

    Args:
        data: what the slices are found in.
        chosen: the slices.
        masks: folder of PNG masks named like the slices' files; without a mask of its own a slice
            gets no lesions.

    Raises:
        WrongMasks: `masks` has none of these slices, or one is damaged or of another size.
    """
    mask_of = find_masks(masks, chosen) if masks else {}
    for pair, (source, image) in enumerate(iterate_slices(data, chosen)):
        usual = Case(image, USUAL, "", source.group, pair)
        yield usual
        for number, kind in enumerate(FAULT_KINDS):
            fault = plant_fault(image, kind, np.random.default_rng([SEED, pair, number]))
            yield replace(usual, image=fault.image, kind=kind, group=FAULTS, mask=fault.mask)
        yield replace(usual, image=inverted(image), kind=INVERTED, group=OTHER_MODALITY)
        if source.path in mask_of and image.frames == 1:
            yield from _lesions(usual, mask_of[source.path])


def _lesions(usual: Case, mask: Path) -> Iterator[Case]:
    try:
        anatomy = read_anatomy(usual.image, usual.image.orientation.apply(read_mask(mask)))
    except ValueError as error:
        raise WrongMasks(f"{mask.name}: {error}") from error
    for number, kind in enumerate(LESION_KINDS, 100):
        rng = np.random.default_rng([SEED, usual.pair, number])
        lesion = plant_lesion(usual.image, anatomy, kind, rng)
        if lesion is not None:
            yield replace(usual, image=lesion.image, kind=kind, group=LESIONS, mask=lesion.mask)


def foreign_cases(count: int) -> Iterator[Case]:
    """Yield `count` images of every kind that is not a sagittal spine MR."""
    for made in foreign_images(count, SEED):
        yield Case(made.image, made.kind, made.group, made.origin)


def phantom_cases(count: int) -> Iterator[Case]:
    """Yield `count` normal phantoms, each followed by its twins with one anomaly of every kind."""
    for index in range(count):
        for kind in ("none", *KINDS):
            yield _phantom(index, kind)


def labelled_cases(data: Sequence[Path], labels: Mapping[Source, str]) -> Iterator[Case]:
    """Yield the user's own images with their labels from a table."""
    for number, (source, image) in enumerate(iterate_slices(data, labels)):
        label = labels[source]
        if label in NOTHING:
            yield Case(image, USUAL, "", source.group, number)
        else:
            yield Case(image, label, LABELLED, source.group)


def inverted(image: Slice) -> Slice:
    """Swap bright and dark, as when MONOCHROME1 is taken for MONOCHROME2, or on X-ray film."""
    low, high = np.percentile(image.pixels, (0.5, 99.5)).astype(np.float32)
    return replace(image, pixels=high + low - np.clip(image.pixels, low, high))


def read_truth(path: Path, sources: Sequence[Source]) -> dict[Source, str]:
    """Read a table of the columns path and anomaly, as `python -m training phantom` writes it.

    Args:
        path: of the CSV file.
        sources: the images; a path in the table matches the files that end in it.

    Returns:
        The images that the table names, with their labels; all frames of a file share its label.

    Raises:
        ValueError: a column is missing, a file is not there or named twice, or there are no usual
            or no unusual images.
    """
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not a text file; a CSV file is expected") from error
    if not rows or not {"path", "anomaly"} <= rows[0].keys():
        raise ValueError(f"{path.name} needs rows with the columns path and anomaly")
    labels = {
        PurePosixPath((row["path"] or "").strip()).parts: (row["anomaly"] or "").strip()
        for row in rows
    }
    if len(labels) < len(rows):
        twice = Counter(row["path"] for row in rows).most_common(1)[0][0]
        raise ValueError(f"{path.name} names {twice!r} more than once")
    lengths = sorted({len(parts) for parts in labels if parts}, reverse=True)
    found: dict[Source, str] = {}
    used = set()
    for source in sources:
        parts = PurePosixPath(source.path).parts
        ending = next((parts[-n:] for n in lengths if parts[-n:] in labels), None)
        if ending is not None:
            found[source] = labels[ending]
            used.add(ending)
    if missing := [("/".join(parts)) for parts in labels if parts not in used]:
        raise ValueError(
            f"{path.name} names {len(missing)} files that are not among the readable images,"
            f" such as {missing[0]!r}"
        )
    n_usual = sum(label in NOTHING for label in found.values())
    if n_usual in (0, len(found)):
        lacking = "usual (none)" if n_usual == 0 else "unusual"
        raise ValueError(f"{path.name} has no {lacking} images; a comparison needs both")
    return found


def _phantom(index: int, kind: str) -> Case:
    phantom = make_phantom(SEED, index, kind)
    image = read_image(phantom_bytes(phantom, SEED, index))
    patient = f"phantom {index}"
    if kind == "none":
        return Case(image, USUAL, "", patient, index)
    group = FINDING_GROUP if kind in FINDINGS else FAULTS
    mask = phantom.mask if kind in FINDINGS or kind in PLACED else None
    return Case(image, kind, group, patient, index, mask)
