"""The command line: python -m training fit | phantom | evaluate | calibrate."""

from __future__ import annotations

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from training.config import POLICIES, FitConfig
from training.data.patients import BY_PATIENT, GROUP_BY
from training.errors import TrainingError
from training.phantoms.kinds import KINDS

# OpenMP threads that spin while they wait made a training 20 times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DEFAULTS = FitConfig()
SKIPPED_SOME = 3
# What a run folder may hold at first: decoded images of one that was interrupted, and decisions.
BEFORE_A_RUN = {"cache", "overrides.csv"}
EXISTING = click.Path(exists=True, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def read_group_by(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check --group-by: one of the words, else a file, whose path becomes absolute."""
    if value in GROUP_BY:
        return value
    if not Path(value).is_file():
        words = ", ".join(GROUP_BY)
        raise click.BadParameter(f"{value!r} is none of {words}, nor a CSV file that exists")
    return str(Path(value).resolve())


GROUP_BY_OPTION = click.option(
    "--group-by",
    default=BY_PATIENT,
    callback=read_group_by,
    metavar="patient|study|folder|FILE.csv",
    help="What tells patients apart: PatientID, StudyInstanceUID, the folders right below DATA, or"
    " a CSV (columns path, patient; a path of a file or a folder).",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Train the spine autoencoder.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some inputs were skipped.
    """


@main.command()
@click.argument("data", nargs=-1, type=EXISTING)
@click.option("--name", default="spine_autoencoder", help="Name in the model store.")
@click.option("--masks", type=EXISTING, help="Folder of PNG masks: 1 vertebra, 2 canal, 3 disc.")
@click.option(
    "--teacher",
    default="",
    show_default=False,
    help="Model that labels tissues without --masks; the released one by default.",
)
@click.option(
    "--size", default=192, type=click.IntRange(64, 1024), help="Side of the input, pixels."
)
@click.option("--latent", default=64, type=click.IntRange(1), help="Length of the global code.")
@click.option("--steps", default=DEFAULTS.steps, type=click.IntRange(1), help="Of the autoencoder.")
@click.option(
    "--anatomy-steps",
    default=DEFAULTS.anatomy_steps,
    type=click.IntRange(1),
    help="Of the inspector on labelled slices alone.",
)
@click.option(
    "--inspector-steps",
    default=DEFAULTS.inspector_steps,
    type=click.IntRange(1),
    help="Of the inspector on all its tasks.",
)
@click.option(
    "--policy", default=DEFAULTS.policy, type=click.Choice(POLICIES), help="How to clean."
)
@click.option(
    "--rounds", default=DEFAULTS.rounds, type=click.IntRange(0), help="Of cleaning, at most."
)
@click.option("--folds", default=DEFAULTS.folds, type=click.IntRange(2), help="In a round.")
@click.option(
    "--cut",
    default=DEFAULTS.cut,
    type=click.FloatRange(0, min_open=True),
    help="Crossfit: robust z above which a slice, or its series, goes to quarantine.",
)
@click.option(
    "--cap",
    default=DEFAULTS.cap,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Crossfit: share in quarantine above which the run stops.",
)
@click.option(
    "--remove-percent",
    default=DEFAULTS.remove_percent,
    type=click.FloatRange(0, 50, min_open=True, max_open=True),
    help="Percentile: share of the slices removed in a round.",
)
@click.option("--overrides", type=EXISTING, help="CSV (path, frame, decision): keep or drop.")
@click.option(
    "--alarm-rate",
    default=DEFAULTS.alarm_rate,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of usual slices that the model may call anomalies.",
)
@click.option(
    "--batch-size", default=DEFAULTS.batch_size, type=click.IntRange(2), help="Of the autoencoder."
)
@click.option(
    "--learning-rate",
    default=DEFAULTS.learning_rate,
    type=click.FloatRange(0),
    help="Of the autoencoder, at its highest.",
)
@click.option("--seed", default=DEFAULTS.seed, type=click.IntRange(0), help="Of everything random.")
@click.option(
    "--device",
    default="auto",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="auto: CUDA where there is one.",
)
@click.option("--threads", default=os.cpu_count() or 1, type=click.IntRange(1), help="CPU threads.")
@click.option("--exclude", type=EXISTING, help="Text or CSV (column path): files to leave out.")
@GROUP_BY_OPTION
@click.option(
    "--describe", default="", show_default=False, help="The data in words, for the model's card."
)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/NAME-TIME.")
@click.option("--resume", type=EXISTING, help="Run folder to continue; it keeps its options.")
@click.option("--json", "as_json", is_flag=True, help="Print run.json instead of a summary.")
@click.pass_context
def fit(ctx: click.Context, /, resume: Path | None, as_json: bool, **given: Any) -> None:
    """Train on every MR slice under DATA, clean, retrain, save in the model store.

    Example: python -m training fit data/spider/dicom --masks data/spider/masks

    Writes a run folder: run.json, audit.html and audit.csv (what cleaning removed, and why),
    metrics.csv, loss.png, errors.png; the decoded images and what --resume needs. --resume reads
    an overrides.csv in that folder; another run takes one with --overrides.
    """
    if resume:
        refuse_with_resume(ctx)
    elif not given["data"]:
        raise click.UsageError("name a folder of DICOM files, or a run with --resume")
    # Torch takes seconds to import: not before the arguments are known to be good.
    from model.errors import ModelError
    from model.store.find import check_name
    from training.options import read_options
    from training.progress import track_fit
    from training.run import execute
    from training.summary import command, print_fit

    folder = resume or new_folder(given["out"], given["name"])
    try:
        check_name(given["name"])  # not after half an hour
        options = read_options(folder) if resume else make_options(given)
        with track_fit(options) as hooks:
            state = execute(options, folder, hooks)
    except (TrainingError, ModelError, ValueError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"interrupted; continue with: {command('fit', '--resume', folder)}")

    print_fit(state, folder, as_json)
    sys.exit(SKIPPED_SOME if state["counts"]["skipped"] else 0)


@main.command()
@click.argument("out", type=FOLDER)
@click.option("--count", default=40, type=click.IntRange(1), help="Images, each a patient.")
@click.option("--seed", default=0, type=click.IntRange(0), help="The same seed, the same bytes.")
@click.option("--anomaly", default="none", type=click.Choice([*KINDS, "none", "mixed"]))
@click.option("--size", default=256, type=click.IntRange(64, 1024), help="Side, pixels.")
@click.option("--masks", type=FOLDER, help="Folder for PNG: 1 vertebra, 2 canal, 3 disc.")
@click.option("--force", is_flag=True, help="Write over the phantoms that OUT holds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def phantom(out: Path, force: bool, as_json: bool, **given: Any) -> None:
    """Write synthetic sagittal spine slices as MR DICOM files, with truth.csv, into OUT.

    Example: python -m training phantom phantoms --count 60 --anomaly mixed

    mixed: every second image is normal, the others go through all anomalies.
    """
    from training.data.files import TRUTH_FILE
    from training.phantoms.phantom import write_phantoms
    from training.progress import track
    from training.summary import print_phantoms

    if (out / TRUTH_FILE).exists() and not force:
        raise click.UsageError(f"{out} holds phantoms; --force writes over them")
    try:
        with track("drawing phantoms") as advance:
            for done, _ in enumerate(write_phantoms(out, **given), 1):
                advance(done, given["count"])
    except OSError as error:
        fail(f"cannot write into {out}: {error.strerror}")
    print_phantoms(out, given["count"], as_json)


@main.command()
@click.argument("model")
@click.argument("data", nargs=-1, type=EXISTING)
@click.option("--masks", type=EXISTING_FOLDER, help="PNG: 1 vertebra, 2 canal, 3 disc.")
@click.option("--axial", multiple=True, type=EXISTING, help="Real axial files; may be repeated.")
@click.option("--exclude", type=EXISTING, help="Text or CSV (column path): files to leave out.")
@GROUP_BY_OPTION
@click.option("--all", "everyone", is_flag=True, help="Use all patients: none was trained on.")
@click.option("--truth", type=EXISTING_FILE, help="CSV (path, anomaly): labels of DATA.")
@click.option("--phantoms", type=click.IntRange(2), help="Evaluate on this many phantoms instead.")
@click.option("--out", type=FOLDER, help="Default runs/evaluation-MODEL-TIME.")
@click.option("--json", "as_json", is_flag=True, help="Print evaluation.json instead of a table.")
def evaluate(model: str, as_json: bool, out: Path | None, **given: Any) -> None:
    """Evaluate MODEL on held-out patients of DATA, and on faults and lesions planted into them.

    Example: python -m training evaluate spine_autoencoder data/spider/dicom --masks data/masks

    MODEL is a tag of the model store. Give the DATA that the model was trained from: its held-out
    patients follow from the model's seed. With --all every patient counts as held out. Without
    DATA, or with --phantoms, synthetic images are used. Slices without a mask (a PNG with the
    slice's file name) get no lesions. With --truth nothing is planted: an anomaly of "none" is a
    usual image.

    Writes a folder: evaluation.json, evaluation.html, auroc.png, channels.png, alarms.png;
    examples.png shows one image of each kind.
    """
    if not given["data"] and (given["truth"] or given["masks"] or given["axial"]):
        raise click.UsageError("--truth, --masks and --axial belong to DATA: name it")
    if given["phantoms"] and (given["data"] or given["truth"]):
        raise click.UsageError("--phantoms evaluates on synthetic images alone; leave out DATA")
    if given["truth"] and (given["masks"] or given["axial"]):
        raise click.UsageError("--truth evaluates on DATA as it is; leave out --masks and --axial")
    from model.errors import ModelError
    from training.data.files import read_exclusions
    from training.evaluation import evaluate as evaluation
    from training.evaluation.page import write_evaluation
    from training.progress import track
    from training.summary import print_evaluation

    folder = new_folder(out, f"evaluation-{model.replace(':', '-')}")
    if given["phantoms"] or not given["data"]:
        count = given["phantoms"] or evaluation.N_PHANTOMS
        click.echo(f"no DATA: evaluating on {count} phantoms drawn now", err=True)
    try:
        exclude = tuple(read_exclusions(given["exclude"])) if given["exclude"] else ()
        request = evaluation.Request(**given | {"exclude": exclude})
        with track("evaluating") as advance:
            found = evaluation.evaluate(model, request, advance)
        write_evaluation(folder, found)
    except (TrainingError, ModelError, ValueError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write into {folder}: {error.strerror}")
    print_evaluation(found, folder, as_json)


@main.command()
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=EXISTING)
@click.option(
    "--alarm-rate",
    default=0.05,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of usual slices that may be called anomalies; saved with the model.",
)
@click.option("--name", help="Name of the new model; by default that of MODEL.")
@click.option("--exclude", type=EXISTING, help="Text or CSV (column path): files to leave out.")
@GROUP_BY_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def calibrate(
    model: str,
    data: tuple[Path, ...],
    alarm_rate: float,
    name: str | None,
    exclude: Path | None,
    group_by: str,
    as_json: bool,
) -> None:
    """Recalibrate MODEL on the usual patients of a site under DATA, without training.

    Example: python -m training calibrate spine_autoencoder site/normals --name spine_site

    Every plain slice under DATA counts as usual, and each patient once. The weights are kept; the
    model gets a new version.
    """
    from model.errors import ModelError
    from model.store.find import check_name
    from training.calibrate import print_recalibrated, recalibrate
    from training.data.files import read_exclusions
    from training.progress import track

    try:
        if name:
            check_name(name)  # not after all files are read
        with track("reading") as advance:
            done = recalibrate(
                model,
                data,
                alarm_rate=alarm_rate,
                name=name,
                exclude=read_exclusions(exclude) if exclude else (),
                group_by=group_by,
                progress=advance,
            )
    except (TrainingError, ModelError, ValueError) as error:
        fail(str(error))
    print_recalibrated(done, as_json)
    sys.exit(SKIPPED_SOME if done.images.skipped else 0)


def make_options(given: dict[str, Any]) -> Any:
    """Turn the command line into training.options.Options."""
    from model.spec import AutoencoderConfig, InspectorConfig
    from training.cleaning.overrides import read_overrides
    from training.data.files import read_exclusions
    from training.options import Options, choose_device

    training = ("steps", "anatomy_steps", "inspector_steps", "batch_size", "learning_rate", "seed")
    cleaning = ("policy", "rounds", "folds", "cut", "cap", "remove_percent", "alarm_rate")
    # Two thirds of the inputs' side are enough for the layout; it has five halvings.
    size = max(32, given["size"] * 2 // 3 // 32 * 32)
    return Options(
        data=tuple(str(path.resolve()) for path in given["data"]),
        name=given["name"],
        network=AutoencoderConfig(size=size, latent=given["latent"]),
        inspector=InspectorConfig(size=given["size"]),
        config=FitConfig(**{name: given[name] for name in (*training, *cleaning)}),
        device=choose_device(given["device"]),
        threads=given["threads"],
        exclude=tuple(read_exclusions(given["exclude"])) if given["exclude"] else (),
        exclude_file=str(given["exclude"].resolve()) if given["exclude"] else "",
        group_by=given["group_by"],
        description=given["describe"],
        command=shlex.join(["python", "-m", "training", *sys.argv[1:]]),
        overrides=read_overrides(given["overrides"]) if given["overrides"] else (),
        masks=str(given["masks"].resolve()) if given["masks"] else "",
        teacher=given["teacher"],
    )


def new_folder(out: Path | None, name: str) -> Path:
    """Choose the folder to write into; what is in it already is never overwritten."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"{name}-{stamp}"
    if (folder / "run.json").exists():
        raise click.UsageError(
            f"{folder} holds a run; continue it with --resume {shlex.quote(str(folder))},"
            " or name another folder"
        )
    if folder.is_dir() and {path.name for path in folder.iterdir()} - BEFORE_A_RUN:
        raise click.UsageError(f"{folder} is not empty; name another folder")
    return folder


def refuse_with_resume(ctx: click.Context) -> None:
    """Refuse options that a resumed run has fixed already."""
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if (
            name not in ("resume", "as_json")
            and source == ParameterSource.COMMANDLINE
            and ctx.params[name]
        ):
            raise click.UsageError(f"--resume takes everything from the run; leave out {name}")


def fail(message: str) -> NoReturn:
    """Print one line that names the cause, and exit with status 1."""
    click.echo(f"training: {message}", err=True)
    sys.exit(1)


def run() -> None:
    """Run the command line; a package that is not installed is one line, not a traceback."""
    try:
        main()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "model", "preprocessing", "training"):
            raise
        fail(
            f"{missing} is not installed for {sys.executable}; make train installs what training"
            " needs into .venv: use .venv/bin/python"
        )


if __name__ == "__main__":
    run()
