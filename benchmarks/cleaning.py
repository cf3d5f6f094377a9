"""Plant gross faults into copies of good slices, clean, and count: `-m benchmarks.cleaning --help`.

As whole series the copies are the hard case: the networks then learn each fault from other
patients' series.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.contamination import Example, contaminate, draw_examples, read_examples
from benchmarks.tables import header, line
from preprocessing import InputSpec, to_input
from training.writing import json_text

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

LAYOUTS = ("scattered", "series")
POLICIES = ("percentile", "crossfit")


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
        precision: share of the removed ones that are bad; 1 if nothing was removed.
        dirt_before: share of bad ones in the whole set.
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


def measure(
    examples: Sequence[Example], data: str, layout: str, policy: str, options: Options
) -> Result:
    """Clean one contaminated set, in a folder of its own."""
    from model.scoring import CHANNELS
    from model.spec import AutoencoderConfig, InspectorConfig
    from training.cleaning.clean import Setup, clean, gather
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
        every = np.arange(len(examples))
        members = gather([example.source for example in examples], every, (), config)
        cleaned = clean(every, members, setup)
    seconds = time.perf_counter() - started
    return count(examples, cleaned.keep, (data, layout, policy), len(cleaned.rounds), seconds)


def write_inputs(examples: Sequence[Example], size: int, folder: Path) -> tuple[Path, Path]:
    """Write the model inputs and the labels; faulty copies have no labels."""
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
    bad, removed = np.array([bool(example.fault) for example in examples]), ~keep
    left = (example.fault for example, kept in zip(examples, keep, strict=True) if kept)
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
        missed=dict(Counter(fault for fault in left if fault)),
    )


def table(results: Sequence[Result]) -> str:
    """Write markdown."""
    lines = header(
        ["data", "bad copies", "policy", "good lost", "bad found", "precision", "dirt", "rounds, s"]
    )
    for r in results:
        cells = [f"{r.n_good} {r.data}", f"{r.n_bad} {r.layout}", r.policy]
        cells += [f"{r.good_lost:.1%}", f"{r.bad_found:.1%}", f"{r.precision:.2f}"]
        cells += [f"{r.dirt_before:.1%} to {r.dirt_after:.1%}", f"{r.rounds}, {r.seconds:.0f}"]
        lines.append(line(cells))
    return "\n".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("data", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--masks", type=click.Path(exists=True, path_type=Path), help="Of the tissues in DATA."
)
@click.option("--phantoms", default=0, help="How many phantoms to clean too.")
@click.option("--share", "shares", multiple=True, default=(0.1, 0.2), help="Of bad slices.")
@click.option("--layout", "layouts", multiple=True, default=LAYOUTS, type=click.Choice(LAYOUTS))
@click.option("--policy", "policies", multiple=True, default=POLICIES, type=click.Choice(POLICIES))
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
    results, options = list[Result](), Options(size, effort, threads)
    for (name, good), share, layout, policy in product(sets, shares, layouts, policies):
        examples = contaminate(good, share, layout)
        results.append(measure(examples, name, layout, policy, options))
        click.echo(table(results[-1:]), err=True)
    click.echo(table(results))
    if out:
        out.write_text(json_text([asdict(result) for result in results], 400) + "\n", "utf-8")


if __name__ == "__main__":
    main()
