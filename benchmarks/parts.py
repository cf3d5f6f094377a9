"""Say where a request's time goes, stage by stage: `python -m benchmarks.parts --help`.

Every stage is the service's own function, called in turn by one thread, so that the times add up.
They leave out HTTP: `benchmarks.serve` measures that as its floor, an endpoint of the same server
that receives the upload and answers. The column "service" is the whole of what `SpineAnomaly` does
between the two, the hand-over to its threads and its batcher included.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.environment import environment
from benchmarks.slices import encoded
from benchmarks.stages import BATCH_STAGES, STAGES, Lap, Stages
from benchmarks.stopwatch import Spent

BATCH = 8
# A batch takes as long as eight requests: one in four laps is enough of them.
_LAPS_A_BATCH = 4
SYNTAXES = {
    "uncompressed": "1.2.840.10008.1.2.1",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "deflated": "1.2.840.10008.1.2.1.99",
}


@dataclass(frozen=True)
class Case:
    """Files of one size in one transfer syntax."""

    pixels: str
    syntax: str
    files: tuple[bytes, ...]


@dataclass(frozen=True)
class Row:
    """What one case took, each number the median of its laps.

    Args:
        batch: slices that went through the network together.
        pixels: of each slice.
        syntax: how they are stored.
        kilobytes: of a file, on average.
        stages: name -> times of one file.
        service: all that the service does for one, on all its threads; None of a batch.
    """

    batch: int
    pixels: str
    syntax: str
    kilobytes: float
    stages: Lap
    service: Spent | None


def measure(cases: Sequence[Case], laps: int) -> list[Row]:
    """Go through all cases again and again, so that no case has a quiet hour of its own."""
    from rich.console import Console
    from rich.progress import track

    stages = Stages()
    requests: dict[Case, list[tuple[Lap, Spent]]] = {case: [] for case in cases}
    batches: dict[Case, list[Lap]] = {case: [] for case in cases}
    console = Console(stderr=True)
    for number in track(
        range(-1, laps), "measuring", console=console, disable=not console.is_terminal
    ):
        for case in cases:
            request = stages.request(case.files[number % len(case.files)])
            if number % _LAPS_A_BATCH == 0:
                batches[case].append(stages.batch(case.files))
            if number < 0:  # warm
                stages.find_children()
            else:
                requests[case].append(request)
    stages.close()
    rows = []
    for case in cases:
        whole = median([spent for _, spent in requests[case]])
        rows.append(row(case, 1, [lap for lap, _ in requests[case]], whole))
        rows.append(row(case, len(case.files), batches[case], None))
    return rows


def row(case: Case, batch: int, laps: Sequence[Lap], service: Spent | None) -> Row:
    """Take the median of each stage."""
    return Row(
        batch=batch,
        pixels=case.pixels,
        syntax=case.syntax,
        kilobytes=round(statistics.mean(map(len, case.files)) / 1e3, 1),
        stages={name: median(lap[name] for lap in laps) for name in laps[0]},
        service=service,
    )


def median(spent: Iterable[Spent]) -> Spent:
    """Take the median of computing and that of the time in all, rounded to microseconds."""
    return Spent(*(round(statistics.median(ms), 3) for ms in zip(*spent, strict=True)))


def network_share(rows: Sequence[Row], batch: int) -> dict[str, float]:
    """Compare the network's own time with that of all of `AutoencoderRunner.score`, a slice."""
    found = [r for r in rows if r.batch == batch]
    network = statistics.median(r.stages["network"].cpu_ms for r in found)
    runner = statistics.median(
        r.stages["network"].cpu_ms + r.stages["scores"].cpu_ms for r in found
    )
    return {
        "batch": batch,
        "runner_cpu_ms": round(runner, 3),
        "network_cpu_ms": round(network, 3),
        "share": round(network / runner, 3),
    }


def draw(pixels: int, syntaxes: Sequence[str]) -> list[Case]:
    """Write a batch of phantoms of one size as files of each transfer syntax."""
    natives = [encoded(index, pixels, SYNTAXES["uncompressed"]) for index in range(BATCH)]
    return [
        Case(f"{pixels} x {pixels}", syntax, tuple(recoded(file, syntax) for file in natives))
        for syntax in syntaxes
    ]


def recoded(native: bytes, syntax: str) -> bytes:
    """Write an uncompressed file in another transfer syntax."""
    from pydicom import dcmread
    from pydicom.uid import UID

    if syntax == "uncompressed":
        return native
    if syntax == "JPEG lossless":
        return to_jpeg_lossless(native)
    ds, buffer = dcmread(BytesIO(native)), BytesIO()
    if syntax == "deflated":
        ds.file_meta.TransferSyntaxUID = UID(SYNTAXES[syntax])
    else:
        ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def to_jpeg_lossless(native: bytes) -> bytes:
    """Compress a file with GDCM, which reads and writes on disk only."""
    import gdcm

    kind = gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    with TemporaryDirectory() as folder:
        before, after = Path(folder, "before.dcm"), Path(folder, "after.dcm")
        before.write_bytes(native)
        reader.SetFileName(str(before))
        reader.Read()
        change.SetTransferSyntax(kind)
        change.SetInput(reader.GetImage())
        change.Change()
        writer.SetFileName(str(after))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise click.ClickException("GDCM cannot write JPEG lossless")
        return after.read_bytes()


def table(rows: Sequence[Row], batch: int) -> list[str]:
    """Write the rows of one size of batch as markdown: ms of computing of one file."""
    stages = STAGES if batch == 1 else BATCH_STAGES
    service = ["service"] if batch == 1 else []
    heads = ["pixels", "stored", "kB", *stages, "sum", *service, "sum, waiting included"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for found in (r for r in rows if r.batch == batch):
        spent = [found.stages[name] for name in stages]
        numbers = [each.cpu_ms for each in spent]
        numbers += [sum(numbers), *([found.service.cpu_ms] if found.service else [])]
        numbers.append(sum(each.wall_ms for each in spent))
        cells = [found.pixels, found.syntax, f"{found.kilobytes:.0f}"]
        lines.append("| " + " | ".join([*cells, *(f"{ms:.2f}" for ms in numbers)]) + " |")
    return lines


@click.command()
@click.option("--sizes", default="256,384,432,512,576", show_default=True, help="Pixels a side.")
@click.option("--syntaxes", default=",".join(SYNTAXES), show_default=True)
@click.option("--laps", default=20, show_default=True, type=click.IntRange(1), help="Of each case.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Save here.")
def main(sizes: str, syntaxes: str, laps: int, path: Path | None) -> None:
    """Time the stages of requests and of batches of 8 on phantoms, with the store's newest model.

    Example: python -m benchmarks.parts --sizes 432 --syntaxes uncompressed,RLE --laps 40
    """
    names = syntaxes.split(",")
    if unknown := set(names) - set(SYNTAXES):
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(SYNTAXES)}")
    cases = [case for size in sizes.split(",") for case in draw(int(size), names)]
    rows = measure(cases, laps)
    shares = [network_share(rows, batch) for batch in (1, BATCH)]
    click.echo(f"A request, ms of computing, medians of {laps} laps\n")
    click.echo("\n".join(table(rows, 1)))
    click.echo(f"\nOne of {BATCH} files in a batch, ms of computing\n")
    click.echo("\n".join(table(rows, BATCH)))
    click.echo(
        "\n| batch | `AutoencoderRunner.score`, ms a slice | network | share |\n|---|---|---|---|"
    )
    for share in shares:
        n, runner, network, ratio = share.values()
        click.echo(f"| {n} | {runner:.2f} | {network:.2f} | {ratio:.1%} |")
    if path:
        path.write_text(json.dumps(describe(rows, shares, laps), indent=1) + "\n", "utf-8")


def describe(
    rows: Sequence[Row], shares: Sequence[dict[str, float]], laps: int
) -> dict[str, object]:
    """Say what was measured, on what."""
    return environment() | {
        "laps": laps,
        "rows": [
            asdict(r)
            | {"stages": {name: each._asdict() for name, each in r.stages.items()}}
            | {"service": r.service and r.service._asdict()}
            for r in rows
        ],
        "runner": list(shares),
    }


if __name__ == "__main__":
    main()
