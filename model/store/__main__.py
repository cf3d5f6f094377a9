"""The command line of `python -m model.store`."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from pathlib import Path

import click

from model.errors import ModelError
from model.store.find import STAGES


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Keep, move and promote the models of the BentoML store.

    \b
    Example:
      python -m model.store import site.bentomodel
      python -m model.store tag spine_autoencoder:v7 stage=production
      python -m model.store rollback spine_autoencoder
    """  # noqa: D301  # click wants the backspace itself


@main.command("import")
@click.argument("path", type=click.Path(path_type=Path))
def import_command(path: Path) -> None:
    """Import PATH; nothing changes when the store already holds it.

    Example: python -m model.store import pretrained/spine_autoencoder.bentomodel
    """
    from model.store.transfer import import_model

    click.echo(import_model(path))


@main.command("export")
@click.argument("tag")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace PATH where it exists.")
def export_command(tag: str, path: Path, force: bool) -> None:
    """Export TAG (name, name:version or name:stage) and its stages to PATH.

    Example: python -m model.store export spine_autoencoder:production site.bentomodel
    """
    from model.store.transfer import export_model

    click.echo(export_model(tag, path, overwrite=force))


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of lines.")
def list_command(as_json: bool) -> None:
    """List the stored models: tag, stages, alarm rate and bound, number of patients and images.

    "served" marks the model that a server takes without SPINE_MODEL.

    Example: python -m model.store list
    """
    from model.store.listing import list_models

    models = list_models()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(model) for model in models], indent=2))
        return
    for model in models:
        marks = [*model.stages, *["latest"] * model.is_latest, *["served"] * model.is_served]
        facts = [f"{key} {value!r}" for key, value in model.facts.items()]
        cells = [model.tag, ", ".join(marks) or "-", *([model.problem] if model.problem else facts)]
        click.echo("  ".join(cells))


@main.command("find")
@click.argument("tag")
def find_command(tag: str) -> None:
    """Print the version that TAG (name, name:version or name:stage) means now.

    Example: python -m model.store find spine_autoencoder:production
    """
    from model.store.find import find_directory

    folder = find_directory(tag)
    click.echo(f"{folder.parent.name}:{folder.name}")


@main.command("tag")
@click.argument("tag")
@click.argument("stage", metavar="stage=STAGE")
def tag_command(tag: str, stage: str) -> None:
    """Give TAG a stage, production or staging, once it reproduces its golden output here.

    Of the versions of a name, one holds the stage. A server takes it at its next start.

    Example: python -m model.store tag spine_autoencoder:v7 stage=production
    """
    wanted = _read_stage(stage)
    from model.store.stages import tag_stage

    click.echo(tag_stage(tag, wanted))


@main.command("untag")
@click.argument("name")
@click.argument("stage", metavar="stage=STAGE")
def untag_command(name: str, stage: str) -> None:
    """Take a stage of NAME away: no version holds it, and no rollback leads back to one that did.

    Without production, a server takes the newest version at its next start.

    Example: python -m model.store untag spine_autoencoder stage=production
    """
    wanted = _read_stage(stage)
    from model.store.stages import untag_stage

    click.echo(untag_stage(name, wanted))


@main.command("rollback")
@click.argument("name")
@click.option("--stage", default="production", show_default=True, type=click.Choice(STAGES))
def rollback_command(name: str, stage: str) -> None:
    """Give the stage of NAME back to the version that held it before.

    Example: python -m model.store rollback spine_autoencoder
    """
    from model.store.stages import roll_back

    click.echo(roll_back(name, stage))


def _read_stage(text: str) -> str:
    key, is_assigned, value = text.partition("=")
    if key != "stage" or not is_assigned or value not in STAGES:
        raise click.UsageError(f"write stage={' or stage='.join(STAGES)}, not {text!r}")
    return value


def run() -> None:
    """Run the command line; a problem with a model or a store is one line."""
    # Temporary files are removed after SIGTERM as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        main()
    except (ModelError, OSError) as error:
        sys.exit(f"model.store: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    run()
