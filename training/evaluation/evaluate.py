"""Ask a saved model about usual and unusual images: the reported numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from model.runtime import LoadedModel, load_model
from model.store.find import find_directory
from preprocessing import InputSpec
from training.config import FitConfig
from training.data.collection import explained, iterate_slices, load_images, remarks
from training.data.headers import Source
from training.data.patients import BY_PATIENT
from training.data.split import split_groups
from training.errors import OtherData
from training.evaluation import cases as cases_of
from training.evaluation.cases import FAULTS, LESIONS, SEED, USUAL, Case
from training.evaluation.false_alarms import FalseAlarms, count_alarms
from training.evaluation.faults import FAULT_KINDS
from training.evaluation.foreign import FOREIGN_KINDS, OTHER_PLANE
from training.evaluation.judged import FloatArray, judge_cases
from training.evaluation.lesions import LESION_KINDS
from training.evaluation.table import KindResult, MacroResult, tabulate
from training.phantoms.kinds import FINDINGS, KINDS

HELD_OUT, PHANTOMS, LABELLED = "held-out patients", "phantoms", "labelled images"
AXIAL_FILES = "axial (files)"
GROSS = ("void", "noise", "axial")
N_PHANTOMS = 60
_STATEMENTS = {
    HELD_OUT: "patients that the model was neither trained nor calibrated on; everything planted"
    f" or drawn has seed {SEED}, which no training uses, and was fixed before any model was judged",
    PHANTOMS: f"phantoms of seed {SEED}, which no training uses; each anomaly with its normal twin",
    LABELLED: "the images of a table of labels, all patients; only their owner knows"
    " whether the model was trained on them or anything was chosen on them",
}


@dataclass(frozen=True)
class Request:
    """What to evaluate on.

    Args:
        data: files and folders that the model was trained from; empty: phantoms.
        masks: folder with masks of vertebrae, canal and discs, for lesions to be planted into.
        axial: real axial files.
        exclude: relative paths to leave out.
        group_by: how patients are told apart; see training/data/patients.py.
        everyone: take all patients, for data that the model never saw.
        truth: table of labels; the images themselves are judged, nothing is planted.
        phantoms: number of normal phantoms to draw; only these and their twins are judged.
        n_foreign: number of images of each kind that is not a sagittal spine MR.
    """

    data: tuple[Path, ...] = ()
    masks: Path | None = None
    axial: tuple[Path, ...] = ()
    exclude: tuple[str, ...] = ()
    group_by: str = BY_PATIENT
    everyone: bool = False
    truth: Path | None = None
    phantoms: int | None = None
    n_foreign: int = 24


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Args:
        model: tag in the store.
        suite: HELD_OUT, PHANTOMS or LABELLED.
        statement: which images these are, and what was not chosen on them.
        n_usual: number of usual images.
        n_patients: number of their patients.
        n_masked: number of usual images with a mask, into which lesions were planted.
        columns: names of the scores; the first decides.
        kinds: one result for each kind of anomaly.
        macros: averages over kinds.
        alarms: on the usual images.
        seconds: how long it took.
        examples: the first image of each kind as the model saw it, [S, S].
    """

    model: str
    suite: str
    statement: str
    n_usual: int
    n_patients: int
    n_masked: int
    columns: tuple[str, ...]
    kinds: tuple[KindResult, ...]
    macros: tuple[MacroResult, ...]
    alarms: FalseAlarms
    seconds: float
    examples: dict[str, FloatArray] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Suite:
    """The images to judge, and which kinds are averaged.

    Args:
        name: HELD_OUT, PHANTOMS or LABELLED.
        cases: the images, each made when it is asked for.
        n_cases: about how many there are.
        macros: name -> kinds to average.
        remarks: why there are fewer images or patients than one may expect.
    """

    name: str
    cases: Iterator[Case]
    n_cases: int
    macros: dict[str, tuple[str, ...]]
    remarks: tuple[str, ...] = ()


def evaluate(
    tag: str,
    request: Request,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Judge usual images, the same with faults and lesions planted, and images of other things.

    Args:
        tag: of a model in the store.
        request: on which images.
        progress: called with (images judged, about how many in all).

    Raises:
        TrainingError: nothing readable, too few patients, or other data than those of training.
        ModelError: the model is missing or damaged.
        ValueError: masks or labels that do not fit the images.
    """
    model = load_model(find_directory(tag))
    return run_suite(tag, model, _suite(model, request), progress)


def run_suite(
    tag: str, model: LoadedModel, suite: Suite, progress: Callable[[int, int], None]
) -> Evaluation:
    """Judge the images of a suite one after the other, and tabulate the results."""
    started = time.perf_counter()
    judged = judge_cases(model, suite.cases, lambda done: progress(done, suite.n_cases))
    rows = judged.rows
    kinds, macros = tabulate(rows, model.calibration.alarm_rate, suite.macros)
    usual = rows.kinds == USUAL
    planted = rows.pairs[rows.groups == LESIONS]
    return Evaluation(
        model=tag,
        suite=suite.name,
        statement="; ".join([_STATEMENTS[suite.name], *suite.remarks]),
        n_usual=int(usual.sum()),
        n_patients=len(set(rows.patients[usual].tolist())),
        n_masked=len(set(planted.tolist())),
        columns=rows.columns,
        kinds=tuple(kinds),
        macros=tuple(macros),
        alarms=count_alarms(model.calibration, judged.usual, SEED),
        seconds=round(time.perf_counter() - started, 1),
        examples=judged.examples,
    )


def _suite(model: LoadedModel, request: Request) -> Suite:
    if request.phantoms or not request.data:
        count = request.phantoms or N_PHANTOMS
        macros = {"all": KINDS, "pathology": FINDINGS, "gross faults": GROSS}
        n_cases = count * (1 + len(KINDS))
        return Suite(PHANTOMS, cases_of.phantom_cases(count), n_cases, macros)
    images = load_images(
        request.data,
        model.spec.input,
        exclude=request.exclude,
        group_by=request.group_by,
        all_kinds=request.truth is not None,  # its owner labelled them all
    )
    if request.truth:
        labels = cases_of.read_truth(request.truth, images.sources)
        macros = {"all": tuple(sorted(set(labels.values()) - cases_of.NOTHING))}
        cases = cases_of.labelled_cases(request.data, labels)
        return Suite(LABELLED, cases, len(labels), macros, tuple(remarks(images)))
    with explained(images):
        chosen = _held_out(model, images.sources, request.everyone)
    suite = held_out_suite(request, chosen, model.spec.input)
    return replace(suite, remarks=tuple(remarks(images)))


def held_out_suite(request: Request, chosen: Sequence[Source], spec: InputSpec) -> Suite:
    """Put together the cases made of held-out slices and those that are not sagittal spine MR."""
    parts: list[Iterable[Case]] = [
        cases_of.held_out_cases(request.data, chosen, request.masks),
        cases_of.foreign_cases(request.n_foreign),
    ]
    foreign = (*FOREIGN_KINDS, cases_of.INVERTED)
    if request.axial:
        found = load_images(request.axial, spec, all_kinds=True).sources
        parts.append(
            Case(image, AXIAL_FILES, OTHER_PLANE, source.group)
            for source, image in iterate_slices(request.axial, found)
        )
        foreign = (*foreign, AXIAL_FILES)
    macros = {FAULTS: FAULT_KINDS, LESIONS: LESION_KINDS, "out-of-distribution": foreign}
    n_cases = len(chosen) * (2 + len(FAULT_KINDS)) + request.n_foreign * len(FOREIGN_KINDS)
    return Suite(HELD_OUT, chain(*parts), n_cases, macros)


def _held_out(model: LoadedModel, sources: Sequence[Source], everyone: bool) -> list[Source]:
    """Choose the patients that training held out; they follow from the seed and their keys.

    Raises:
        TrainingError: too few patients, or not those of training.
    """
    if everyone:
        return list(sources)
    config, provenance = FitConfig(), model.spec.provenance
    held_out = split_groups(
        [source.group for source in sources],
        seed=provenance.seed,
        holdout_fraction=config.holdout_fraction,
    ).holdout
    chosen = [sources[index] for index in held_out]
    n_patients = len({source.group for source in chosen})
    names = ("heldout_images", "heldout_patients")
    expected = [provenance.metrics.get(name, 0.0) for name in names]
    if expected != [float(len(chosen)), float(n_patients)]:
        raise OtherData(
            f"the training run held out {expected[0]:g} images of {expected[1]:g} patients, here it"
            f" would be {len(chosen)} of {n_patients}: name the data it was trained from, with the"
            " same --exclude and --group-by; or --all for data that it never saw"
        )
    return chosen
