"""What `benchmarks.serve` measured -> the tables of RESULTS.md and README: `--help`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.processes import HERE

RESULTS_FILE = HERE / "benchmarks" / "results" / "serve.json"
BEGIN, END = "<!-- bench:serve -->", "<!-- /bench:serve -->"
NOTHING = "–"  # noqa: RUF001 - what the other tables write too
# Counted by the server or the kernel, however late the generator was.
COUNTED = {"server_cpu_ms", "mean_batch"}
RECORD_WIDTH = 800  # of a line of JSON: a record of three rounds is on one

Results = dict[str, Any]
# What identifies it (contender, files, clients, ...), and of each field the values of all rounds.
Record = dict[str, Any]


# Of the short table.
README_ROWS = (
    "| p50 of one client, 370 kB",
    "| requests/s, 32 clients, mix |",
    "| CPU-ms a request, 32 clients, mix",
    "| memory",
)


def long_tables(results: Results) -> str:
    """Write everything that was measured, for RESULTS.md: medians of the rounds, and ranges."""
    head = ["contender", "files", "clients", "requests/s", "p50, ms", "p90, ms", "p99, ms"]
    head += ["CPU-ms a request", "slices a batch", "errors"]
    lines, contenders = header(head), results["contenders"]
    for files, clients in sorted({(one["files"], one["clients"]) for one in results["loads"]}):
        for name, title in contenders.items():
            found = find(results["loads"], contender=name, files=files, clients=clients)
            fields = ("requests_per_s", "p50_ms", "p90_ms", "p99_ms", "server_cpu_ms")
            cells = [title, files, str(clients), *(spread(found, field) for field in fields)]
            is_batched = any(found.get("batches", ()))
            cells += [spread(found, "mean_batch") if is_batched else NOTHING, _errors(found)]
            lines.append(line(cells))
    lines += ["", *header(["contender", "workers", "processes", "start to ready, s", "PSS, MB"])]
    workers = sorted({one["workers"] for one in results["starts"]})
    for name, title in contenders.items():
        for count in workers:
            found = find(results["starts"], contender=name, workers=count)
            cells = [title, str(count), str(max(found["processes"]))]
            lines.append(line([*cells, spread(found, "ready_s"), spread(found, "pss_mb")]))
    head = ["contender", "p50 alone, ms", "p50 alone right after 64 clients, ms", "errors"]
    lines += ["", *header(head)]
    for name, title in contenders.items():
        found = find(results["bursts"], contender=name)
        before, after = (spread(found, f"{when}_p50_ms") for when in ("before", "after"))
        lines.append(line([title, before, after, _errors(found)]))
    return "\n".join([what(results), "", *lines])


def short_table(results: Results) -> str:
    """Write what a user wants to know first: medians of the rounds."""
    names = list(results["contenders"])
    lines = header(["", *results["contenders"].values()])

    def add(title: str, field: str, kind: str, **where: object) -> None:
        found = (find(results[kind], contender=name, **where) for name in names)
        lines.append(line([title, *(middle(one, field) for one in found)]))

    def add_compared(title: str, with_name: str, field: str) -> None:
        lines.append(line([title, *(compare(results, name, with_name, field) for name in names)]))

    add("p50 of one client, 370 kB, ms", "p50_ms", "loads", files="370 kB", clients=1)
    for files in ("370 kB", "mix"):
        where = {"files": files, "clients": 32}
        add(f"requests/s, 32 clients, {files}", "requests_per_s", "loads", **where)
        add(f"p99, 32 clients, {files}, ms", "p99_ms", "loads", **where)
        add(f"CPU-ms a request, 32 clients, {files}", "server_cpu_ms", "loads", **where)
    add_compared("of these above the floor, mix", "floor", "server_cpu_ms")
    for when, title in (("before", "before a burst"), ("after", "right after 6 s of 64 clients")):
        add(f"p50 of one client {title}, ms", f"{when}_p50_ms", "bursts")
    add("start to ready, one worker, s", "ready_s", "starts", workers=1)
    add("memory (PSS), one worker, MB", "pss_mb", "starts", workers=1)
    for field, title in (("requests_per_s", "requests/s"), ("p99_ms", "p99")):
        title = f"{title}, 32 clients, mix, as a multiple of `depends` + `batchable`"
        add_compared(title, "stock", field)
    return "\n".join([*lines, "", what(results)])


def what(results: Results) -> str:
    """Describe in a paragraph what was measured, where and how."""
    settings, loads = results["settings"], results["loads"]
    others = statistics.median(cores for one in loads for cores in one["others_cores"])
    files = "; ".join(f"{name}: {text}" for name, text in results["files"].items())
    return (
        f"`{results['command']}` on {results['date']}: {results['cores']} cores"
        f" ({results['cpu']}), shared with the clients; other programs used {others:.2f} of them"
        f" (median). {settings['workers']} worker processes each, {settings['rounds']} rounds of"
        f" all contenders in turn, {settings['seconds']:g} s a load; medians. {files}."
        " Compare within this table only."
    )


def find(records: Iterable[Record], **where: object) -> Record:
    """Find the record that has these values; an empty one where nothing was measured."""
    matching = (one for one in records if all(one[name] == value for name, value in where.items()))
    return next(matching, {})


def compare(results: Results, name: str, with_name: str, field: str) -> str:
    """Compare a contender with another at 32 clients, round by round.

    Returns:
        The median of the rounds' differences with the floor, or of their ratios with another.
    """
    where = {"files": "mix", "clients": 32}
    mine, theirs = (
        quoted(find(results["loads"], contender=one, **where), field) for one in (name, with_name)
    )
    pairs = [(mine[number], theirs[number]) for number in mine.keys() & theirs.keys()]
    if not pairs or name == "floor":
        return NOTHING
    if with_name == "floor":
        return number_text(statistics.median(mine - theirs for mine, theirs in pairs))
    return number_text(statistics.median(mine / theirs for mine, theirs in pairs))


def quoted(record: Record, field: str) -> dict[int, float]:
    """The values that do not stand for the load generator, by round."""
    values = record.get(field, [])
    reasons = record.get("not_quoted", [""] * len(values))
    return {
        number: value
        for number, (value, reason) in enumerate(zip(values, reasons, strict=True))
        if field in COUNTED or not reason
    }


def middle(record: Record, field: str) -> str:
    """The median of the rounds that count."""
    values = quoted(record, field).values()
    if not values:
        return "not quoted" if record else NOTHING
    return number_text(statistics.median(values))


def spread(record: Record, field: str) -> str:
    """The median of the rounds that count, and their range."""
    values = quoted(record, field).values()
    if len(values) < 2:
        return middle(record, field)
    return f"{middle(record, field)} ({number_text(min(values))} to {number_text(max(values))})"


def number_text(value: float) -> str:
    """Write three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _errors(record: Record) -> str:
    """How many answers were not a 200, and what they were."""
    total: dict[str, int] = {}
    for errors in record["errors"]:
        for name, count in errors.items():
            total[name] = total.get(name, 0) + count
    return ", ".join(f"{count} x {name}" for name, count in total.items()) or "0"


def header(titles: Sequence[str]) -> list[str]:
    """Write the first two lines of a table."""
    return [line(titles), "|" + "---|" * len(titles)]


def line(cells: Iterable[str]) -> str:
    """Write one line of a table."""
    return f"| {' | '.join(cells)} |"


def sections(results: Results) -> dict[Path, str]:
    """What stands between the marks of each page; the README shows a few rows."""
    short = short_table(results).partition("\n\n")[0]
    first, second, *rows = short.splitlines()
    return {
        HERE / "README.md": "\n".join(
            [first, second, *(row for row in rows if row.startswith(README_ROWS))]
        ),
        HERE / "benchmarks" / "RESULTS.md": f"{short}\n\n{long_tables(results)}",
    }


def put(page: str, section: str) -> str:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} or no {END}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Into README.md and benchmarks/RESULTS.md.")
@click.argument("file", default=RESULTS_FILE, type=click.Path(exists=True, path_type=Path))
def main(file: Path, write: bool) -> None:
    """Print the tables of FILE, by default of benchmarks/results/serve.json.

    Example: python -m benchmarks.tables --write
    """
    results = json.loads(file.read_text("utf-8"))
    if not write:
        click.echo(f"{short_table(results)}\n\n{long_tables(results)}")
        return
    for page, section in sections(results).items():
        page.write_text(put(page.read_text("utf-8"), section), "utf-8")


if __name__ == "__main__":
    main()
