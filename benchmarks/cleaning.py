"""Plant gross faults into copies of good slices, clean, and count: `-m benchmarks.cleaning --help`.

The copies stand for what a careless export mixes in. As whole series they are the hard case: the
networks then learn each fault from other patients' series.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from preprocessing import InputSpec, Slice, to_input
from training.writing import json_text

if TYPE_CHECKING:
    from training.cleaning.outliers import Members
    from training.config import FitConfig

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_SEED = 4711  # of what is planted; no training and no other evaluation uses it
_PER_SERIES = 8

Fault = Callable[[Slice, np.random.Generator], Slice]
Keys = tuple[str, str, str]


@dataclass(frozen=True)
class Result:
    """One cleaning of one contaminated set.

    Args:
        data: what the good slices are.
        layout: scattered, or series: whole series of one fault.
        policy: of the cleaning.
        n_good: slices that nothing was planted into.
        n_bad: copies with a gross fault.
        good_lost: share of the good slices that were removed.
        bad_found: share of the bad ones that were removed.
        precision: share of the removed ones that are bad; 1 if none was removed.
        dirt_before: share of bad ones in the set as it came.
        dirt_after: share of bad ones in what was kept.
        rounds: of the cleaning.
        seconds: it took.
        missed: how many of each fault were kept.
    """

    data: str
    layout: str
    policy: str
    n_good: int
    n_bad: int
    good_lost: float
    bad_found: float
    precision: float
    dirt_before: float
    dirt_after: float
    rounds: int
    seconds: float
    missed: dict[str, int]


@dataclass(frozen=True)
class Options:
    """How to train.

    Args:
        size: side of the inputs, pixels.
        effort: share of the steps that `fit` takes by default.
        threads: of the CPU.
    """

    size: int
    effort: float
    threads: int


@dataclass(frozen=True)
class Example:
    """A slice, its (patient, study, series), the fault in it, and its mask; good ones have none."""

    image: Slice
    keys: Keys
    fault: str
    mask: NDArray[np.uint8] | None = None


def turned(image: Slice, rng: np.random.Generator) -> Slice:
    """Turn by a quarter: rows and columns were mixed up."""
    pixels = np.rot90(image.pixels, int(rng.choice([1, 3])))
    return replace(image, pixels=pixels.copy(), spacing_mm=image.spacing_mm[::-1])


def upside_down(image: Slice, rng: np.random.Generator) -> Slice:
    """Show the head at the foot."""
    return replace(image, pixels=image.pixels[::-1].copy())


def noise_only(image: Slice, rng: np.random.Generator) -> Slice:
    """Receive nothing: the magnitude of complex noise has a Rayleigh distribution."""
    pixels = rng.rayleigh(1.0, image.pixels.shape)
    return replace(image, pixels=pixels.astype(np.float32))


def boxed(image: Slice, rng: np.random.Generator) -> Slice:
    """Blank half the height and half the width, anywhere."""
    (height, width), pixels = image.pixels.shape, image.pixels.copy()
    top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
    pixels[top : top + height // 2, left : left + width // 2] = pixels.min()
    return replace(image, pixels=pixels)


def wrapped(image: Slice, rng: np.random.Generator) -> Slice:
    """Fold half the field of view over the other half, as strong as it is."""
    axis = int(rng.integers(2))
    shift = image.pixels.shape[axis] // 2
    return replace(image, pixels=image.pixels + np.roll(image.pixels, shift, axis))


def ghosted(image: Slice, rng: np.random.Generator) -> Slice:
    """Add two copies of half the strength, a quarter of the field away."""
    axis = int(rng.integers(2))
    shift = image.pixels.shape[axis] // 4
    copies = np.roll(image.pixels, shift, axis) + np.roll(image.pixels, -shift, axis)
    return replace(image, pixels=image.pixels + np.float32(0.5) * copies)


def inverted(image: Slice, rng: np.random.Generator) -> Slice:
    """Show black as white: a wrong photometric interpretation."""
    return replace(image, pixels=image.pixels.max() + image.pixels.min() - image.pixels)


def clipped(image: Slice, rng: np.random.Generator) -> Slice:
    """Saturate all that is brighter than a fifth of the brightest: a wrong window at export."""
    low = float(image.pixels.min())
    limit = low + 0.2 * (float(np.percentile(image.pixels, 99.5)) - low)
    return replace(image, pixels=np.clip(image.pixels, low, limit))


FAULTS: tuple[Fault, ...] = (
    *(turned, upside_down, noise_only, boxed),
    *(wrapped, ghosted, inverted, clipped),
)


def read_examples(data: Path, masks: Path) -> list[Example]:
    """Read every slice under a folder, with its mask where there is one."""
    from training.data.collection import iterate_slices, load_images
    from training.data.labels import read_mask

    sources = load_images([data], InputSpec(size=16)).sources
    return [
        Example(
            image,
            (source.group, source.study, source.series),
            "",
            read_mask(mask) if (mask := masks / f"{Path(source.path).stem}.png").exists() else None,
        )
        for source, image in iterate_slices([data], sources)
    ]


def draw_examples(count: int) -> list[Example]:
    """Draw normal phantoms; eight at a time stand for a patient's series."""
    from training.phantoms.phantom import write_phantoms

    with tempfile.TemporaryDirectory(prefix="cleaning-") as folder:
        data, masks = Path(folder) / "data", Path(folder) / "masks"
        list(write_phantoms(data, count, _SEED, masks=masks))
        drawn = read_examples(data, masks)
    return [
        replace(example, keys=_keys(index // _PER_SERIES)) for index, example in enumerate(drawn)
    ]


def _keys(patient: int) -> Keys:
    return f"patient:{patient}", f"study:{patient}", f"series:{patient}"


def contaminate(good: Sequence[Example], share: float, layout: str) -> list[Example]:
    """Add faulty copies of good slices until they are this share of all.

    Args:
        good: slices without faults.
        share: of the result, below 1.
        layout: scattered: single copies in the series of their originals; series: copies of up to
            eight slices of a patient, all with one fault, as a series of its own.
    """
    n_bad, rng = round(share / (1 - share) * len(good)), np.random.default_rng(_SEED)
    bad = _scattered(good, rng) if layout == "scattered" else _series(good, rng)
    return [*good, *(example for example, _ in zip(bad, range(n_bad), strict=False))]


def _scattered(good: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    for number, index in enumerate(rng.permutation(len(good)).tolist()):
        fault = FAULTS[number % len(FAULTS)]
        original = good[index]
        yield Example(fault(original.image, rng), original.keys, fault.__name__)


def _series(good: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    by_series: dict[Keys, list[Example]] = {}
    for example in good:
        by_series.setdefault(example.keys, []).append(example)
    whole = [members for members in by_series.values() if len(members) >= _PER_SERIES // 2]
    rng.shuffle(whole)
    for number in range(len(whole) * len(FAULTS)):
        members = whole[number % len(whole)]
        fault = FAULTS[number % len(FAULTS)]
        # The same draws for each slice: the fault is that of the series.
        seed = int(rng.integers(1 << 31))
        for example in members[:_PER_SERIES]:
            patient, study, _ = example.keys
            keys = (patient, study, f"bad series:{number}")
            image = fault(example.image, np.random.default_rng(seed))
            yield Example(image, keys, fault.__name__)


def measure(
    examples: Sequence[Example], data: str, layout: str, policy: str, options: Options
) -> Result:
    """Clean one contaminated set, in a folder of its own."""
    from model.scoring import CHANNELS, COLUMNS
    from model.spec import AutoencoderConfig, InspectorConfig
    from training.cleaning.clean import Setup, clean
    from training.cleaning.fold_training import train_and_score
    from training.config import FitConfig

    started, usual = time.perf_counter(), FitConfig()
    names = ("steps", "anatomy_steps", "inspector_steps")
    fewer = {name: max(1, round(options.effort * getattr(usual, name))) for name in names}
    config = replace(usual, policy=policy, remove_percent=10.0, cap=0.9, **fewer)
    if policy == "percentile":
        config = replace(config, rounds=3)
    with tempfile.TemporaryDirectory(prefix="cleaning-") as folder:
        inputs, labels = write_inputs(examples, options.size, Path(folder))
        setup = Setup(
            train_and_score=train_and_score,
            columns=COLUMNS,
            n_channels=1 + len(CHANNELS),
            inputs=inputs,
            labels=labels,
            networks=(
                AutoencoderConfig(size=max(32, options.size * 2 // 3 // 32 * 32), latent=32),
                InspectorConfig(size=options.size),
            ),
            config=config,
            folder=Path(folder),
            threads=options.threads,
        )
        cleaned = clean(np.arange(len(examples)), members_of(examples, config), setup)
    seconds = time.perf_counter() - started
    return count(examples, cleaned.keep, (data, layout, policy), len(cleaned.rounds), seconds)


def members_of(examples: Sequence[Example], config: FitConfig) -> Members:
    """Say what belongs together, as a run does."""
    from model.calibration.strata import Measured, stratum_of
    from training.cleaning.folds import assign_folds, join_groups
    from training.cleaning.outliers import Members

    kinds = [
        stratum_of(example.image.facts, Measured(canal_contrast=0.0, vertebra_share=0.0))
        for example in examples
    ]
    return Members(
        fold=assign_folds([example.keys for example in examples], config.folds, config.seed),
        series=join_groups([(example.keys[2],) for example in examples]),
        contrast=join_groups([(f"{kind.contrast} {kind.acquisition}",) for kind in kinds]),
        forced=np.zeros(len(examples), np.int8),
    )


def write_inputs(examples: Sequence[Example], size: int, folder: Path) -> tuple[Path, Path]:
    """Write the model inputs and the labels; faulty copies have none."""
    from training.data.labels import fit_mask
    from training.data.training_set import NO_LABEL

    x = np.stack([to_input(example.image, InputSpec(size=size)) for example in examples])
    labels = np.full((len(examples), size, size), NO_LABEL, np.uint8)
    for row, example in enumerate(examples):
        if example.mask is not None:
            labels[row] = fit_mask(example.mask, example.image.spacing_mm, size)
    np.save(folder / "inputs.npy", x.astype(np.float16))
    np.save(folder / "labels.npy", labels)
    return folder / "inputs.npy", folder / "labels.npy"


def count(
    examples: Sequence[Example],
    keep: NDArray[np.bool_],
    named: tuple[str, str, str],
    n_rounds: int,
    seconds: float,
) -> Result:
    """Compare what was removed with what was planted.

    Args:
        examples: all slices, [N].
        keep: which are left, [N].
        named: data, layout, policy.
        n_rounds: of the cleaning.
        seconds: it took.
    """
    bad = np.array([bool(example.fault) for example in examples])
    removed, missed = ~keep, dict[str, int]()
    for example in (example for example, kept in zip(examples, keep, strict=True) if kept):
        if example.fault:
            missed[example.fault] = missed.get(example.fault, 0) + 1
    return Result(
        *named,
        n_good=int((~bad).sum()),
        n_bad=int(bad.sum()),
        good_lost=float(removed[~bad].mean()),
        bad_found=float(removed[bad].mean()),
        precision=float(bad[removed].mean()) if removed.any() else 1.0,
        dirt_before=float(bad.mean()),
        dirt_after=float(bad[keep].mean()),
        rounds=n_rounds,
        seconds=round(seconds, 1),
        missed=missed,
    )


def show(results: Sequence[Result]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("data", "bad copies", "policy", "good lost", "bad found", "precision", "dirt"):
        table.add_column(title, justify="left" if title in ("data", "policy") else "right")
    table.add_column("rounds, s", justify="right")
    for r in results:
        table.add_row(
            f"{r.n_good} {r.data}",
            f"{r.n_bad} {r.layout}",
            r.policy,
            f"{r.good_lost:.1%}",
            f"{r.bad_found:.1%}",
            f"{r.precision:.2f}",
            f"{r.dirt_before:.1%} to {r.dirt_after:.1%}",
            f"{r.rounds}, {r.seconds:.0f}",
        )
    Console().print(table)


@click.command(context_settings={"show_default": True})
@click.argument("data", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--masks", type=click.Path(exists=True, path_type=Path), help="Of their tissues.")
@click.option("--phantoms", default=0, help="Also clean so many phantoms.")
@click.option("--share", "shares", multiple=True, default=(0.1, 0.2), help="Of bad slices.")
@click.option(
    "--layout",
    "layouts",
    multiple=True,
    default=("scattered", "series"),
    type=click.Choice(["scattered", "series"]),
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=("percentile", "crossfit"),
    type=click.Choice(["percentile", "crossfit"]),
)
@click.option("--size", default=192, help="Input side, pixels.")
@click.option("--effort", default=0.25, help="Share of the steps that fit takes by default.")
@click.option("--threads", default=os.cpu_count() or 1, help="Of the CPU.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
def main(
    data: Path | None,
    masks: Path | None,
    phantoms: int,
    shares: tuple[float, ...],
    layouts: tuple[str, ...],
    policies: tuple[str, ...],
    size: int,
    effort: float,
    threads: int,
    out: Path | None,
) -> None:
    """Clean the slices under DATA with gross faults planted into copies of them.

    Example: python -m benchmarks.cleaning data/spider/dicom --masks data/spider/masks
    """
    if data and not masks:
        raise click.UsageError("name the folder of the masks of DATA with --masks")
    sets = [("slices", read_examples(data, masks))] if data and masks else []
    if phantoms:
        sets.append(("phantoms", draw_examples(phantoms)))
    if not sets:
        raise click.UsageError("name a folder of good slices, or --phantoms")
    results = list[Result]()
    for name, good in sets:
        for share in shares:
            for layout in layouts:
                examples = contaminate(good, share, layout)
                for policy in policies:
                    options = Options(size, effort, threads)
                    results.append(measure(examples, name, layout, policy, options))
                    show(results[-1:])
    show(results)
    if out:
        out.write_text(json_text([asdict(result) for result in results], 400) + "\n", "utf-8")


if __name__ == "__main__":
    main()
