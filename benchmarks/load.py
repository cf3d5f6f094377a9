"""Drive a running service with N keep-alive clients: `python -m benchmarks.load --help`."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.client import HOST
from benchmarks.driver import drive

# Ours, or that of BentoML's own dispatcher.
_BATCH = re.compile(
    r"^(?:spine_batch_size|bentoml_service_adaptive_batch_size)_"
    r'(bucket|count|sum)(?:\{(?:[^}]*\ble="([^"]+)")?[^}]*\})? (\S+)$',
    re.MULTILINE,
)


@dataclass(frozen=True)
class Batches:
    """Batches of the model since a server's start.

    Args:
        count: of them.
        slices: in all of them.
        single: of one slice.
    """

    count: int = 0
    slices: int = 0
    single: int = 0

    def since(self, before: Batches) -> dict[str, float]:
        """What came after an earlier look: batches, slices a batch, batches above one."""
        count = self.count - before.count
        return {
            "batches": count,
            "mean_batch": round((self.slices - before.slices) / count, 2) if count else 0.0,
            "batches_above_1": count - (self.single - before.single),
        }


def parse_batches(text: str) -> Batches:
    """Read the batches from the text of /metrics."""
    count = total = single = 0.0
    for kind, bound, value in _BATCH.findall(text):
        if kind == "count":
            count += float(value)
        elif kind == "sum":
            total += float(value)
        elif float(bound) == 1:
            single += float(value)
    return Batches(int(count), int(total), int(single))


def read_batches(port: int) -> Batches:
    """Ask a server of this machine; one without /metrics has no batches."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as answer:
            return parse_batches(answer.read().decode())
    except urllib.error.HTTPError:
        return Batches()


@click.command(context_settings={"show_default": True})
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--port", default=8000, help="Of the service, on this machine.")
@click.option("--clients", default="1,8,32", help="One number a run.")
@click.option("--seconds", default=20.0, help="Length of each run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a run.")
def main(files: tuple[Path, ...], port: int, clients: str, seconds: float, as_json: bool) -> None:
    """Post FILES (DICOM, or folders of them) in turn and print what clients saw.

    Example: python -m benchmarks.load slices/ --clients 1,32 --seconds 20
    """
    paths = find_files(files)
    failed = False
    for number in clients.split(","):
        before = read_batches(port)
        (load,) = drive(port, paths, [(int(number), seconds)])
        row = asdict(load) | read_batches(port).since(before)
        failed |= bool(load.errors) or not load.requests
        if as_json:
            click.echo(json.dumps(row))
        else:
            click.echo("  ".join(f"{key} {value}" for key, value in row.items()))
    sys.exit(1 if failed else 0)


def find_files(places: tuple[Path, ...]) -> list[Path]:
    """List the files, and those of the folders.

    Raises:
        UsageError: there is none.
    """
    paths = [p for place in places for p in ([place] if place.is_file() else place.rglob("*.dcm"))]
    if not paths:
        raise click.UsageError("no .dcm file there")
    return sorted(path.resolve() for path in paths)


if __name__ == "__main__":
    main()
