"""What `benchmarks.serve` measured -> the tables of RESULTS.md and README: `--help`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parents[1]
RESULTS_FILE = HERE / "benchmarks" / "results" / "serve.json"
BEGIN, END = "<!-- bench:serve -->", "<!-- /bench:serve -->"
NOTHING = "–"  # noqa: RUF001 - what the other tables write too
# Counted by the server or the kernel, however late the generator was.
COUNTED = {"server_cpu_ms", "mean_batch"}

Results = dict[str, Any]
Row = dict[str, Any]


def long_tables(results: Results) -> str:
    """Write everything that was measured, for RESULTS.md: medians of the rounds, and ranges."""
    head = ["contender", "files", "clients", "requests/s", "p50, ms", "p90, ms", "p99, ms"]
    head += ["CPU-ms a request", "slices a batch", "errors"]
    lines = _header(head)
    for files, clients in _loads(results):
        for name, title in results["contenders"].items():
            where = {"contender": name, "files": files, "clients": clients}
            every = select(results["loads"], **where)
            fields = ("requests_per_s", "p50_ms", "p90_ms", "p99_ms", "server_cpu_ms")
            cells = [title, files, str(clients), *(spread(every, field) for field in fields)]
            batched = [row for row in every if row.get("batches")]
            cells += [spread(batched, "mean_batch") if batched else NOTHING, _errors(every)]
            lines.append(_line(cells))
    lines += ["", *_header(["contender", "workers", "processes", "start to ready, s", "PSS, MB"])]
    workers = sorted({row["workers"] for row in results["starts"]})
    for name, title in results["contenders"].items():
        for count in workers:
            every = select(results["starts"], contender=name, workers=count)
            cells = [title, str(count), str(max(row["processes"] for row in every))]
            lines.append(_line([*cells, spread(every, "ready_s"), spread(every, "pss_mb")]))
    head = ["contender", "p50 alone, ms", "p50 alone right after 64 clients, ms", "errors"]
    lines += ["", *_header(head)]
    for name, title in results["contenders"].items():
        every = select(results["bursts"], contender=name)
        before, after = (spread(every, f"{when}_p50_ms") for when in ("before", "after"))
        lines.append(_line([title, before, after, _errors(every)]))
    return "\n".join([what(results), "", *lines])


def short_table(results: Results) -> str:
    """Write what a user wants to know first, for the README: medians of the rounds."""
    names = list(results["contenders"])
    lines = _header(["", *results["contenders"].values()])
    loads, starts, bursts = results["loads"], results["starts"], results["bursts"]

    def add(title: str, cells: Iterable[str]) -> None:
        lines.append(_line([title, *cells]))

    def add_load(title: str, field: str, files: str, clients: int) -> None:
        found = [select(loads, contender=n, files=files, clients=clients) for n in names]
        add(title, [middle(rows, field) for rows in found])

    add_load("p50 of one client, 370 kB, ms", "p50_ms", "370 kB", 1)
    for files in ("370 kB", "mix"):
        add_load(f"requests/s, 32 clients, {files}", "requests_per_s", files, 32)
        add_load(f"p99, 32 clients, {files}, ms", "p99_ms", files, 32)
        add_load(f"CPU-ms a request, 32 clients, {files}", "server_cpu_ms", files, 32)
    add(
        "of these above the floor, mix",
        [compare(results, n, "floor", "server_cpu_ms") for n in names],
    )
    for when, title in (("before", "before a burst"), ("after", "right after 6 s of 64 clients")):
        found = [select(bursts, contender=name) for name in names]
        add(f"p50 of one client {title}, ms", [middle(rows, f"{when}_p50_ms") for rows in found])
    alone = [select(starts, contender=name, workers=1) for name in names]
    add("start to ready, one worker, s", [middle(rows, "ready_s") for rows in alone])
    add("memory (PSS), one worker, MB", [middle(rows, "pss_mb") for rows in alone])
    for field, title in (("requests_per_s", "requests/s"), ("p99_ms", "p99")):
        cells = [compare(results, name, "stock", field) for name in names]
        add(f"{title}, 32 clients, mix, as a multiple of `depends` + `batchable`", cells)
    return "\n".join([*lines, "", what(results)])


def what(results: Results) -> str:
    """Say in a paragraph what was measured, where and how."""
    settings, loads = results["settings"], results["loads"]
    others = statistics.median(row["others_cores"] for row in loads)
    files = "; ".join(f"{name}: {text}" for name, text in results["files"].items())
    return (
        f"`{results['command']}` on {results['date']}: {results['cores']} cores"
        f" ({results['cpu']}), shared with the clients; other programs used {others:.2f} of them"
        f" (median). {settings['workers']} worker processes each, {settings['rounds']} rounds of"
        f" all contenders in turn, {settings['seconds']:g} s a load; medians. {files}."
        " Compare within this table only."
    )


def select(rows: Iterable[Row], **where: object) -> list[Row]:
    """Pick the rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def compare(results: Results, name: str, with_name: str, field: str) -> str:
    """Compare a contender with another at 32 clients, round by round.

    Returns:
        The median of the rounds' differences with the floor, or of their ratios with another.
    """
    found = {}
    for each in (name, with_name):
        rows = select(results["loads"], contender=each, files="mix", clients=32)
        found[each] = {row["round"]: row[field] for row in rows if quoted([row], field)}
    rounds = found[name].keys() & found[with_name].keys()
    if not rounds or name == "floor":
        return NOTHING
    pairs = [(found[name][number], found[with_name][number]) for number in rounds]
    if with_name == "floor":
        return number_text(statistics.median(mine - theirs for mine, theirs in pairs))
    return number_text(statistics.median(mine / theirs for mine, theirs in pairs))


def quoted(rows: Iterable[Row], field: str) -> list[float]:
    """The values that do not stand for the load generator."""
    return [row[field] for row in rows if field in COUNTED or not row.get("not_quoted")]


def middle(rows: Sequence[Row], field: str) -> str:
    """The median of the rounds that count."""
    values = quoted(rows, field)
    if not values:
        return "not quoted" if rows else NOTHING
    return number_text(statistics.median(values))


def spread(rows: Sequence[Row], field: str) -> str:
    """The median of the rounds that count, and their range."""
    values = quoted(rows, field)
    if len(values) < 2:
        return middle(rows, field)
    return f"{middle(rows, field)} ({number_text(min(values))} to {number_text(max(values))})"


def number_text(value: float) -> str:
    """Write three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _errors(rows: Sequence[Row]) -> str:
    """How many answers were no 200, and what they were."""
    total: dict[str, int] = {}
    for row in rows:
        for name, count in row["errors"].items():
            total[name] = total.get(name, 0) + count
    return ", ".join(f"{count} x {name}" for name, count in total.items()) or "0"


def _loads(results: Results) -> list[tuple[str, int]]:
    return sorted({(row["files"], row["clients"]) for row in results["loads"]})


def _header(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|" + "---|" * len(titles)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def sections(results: Results) -> dict[Path, str]:
    """What stands between the marks of each page."""
    return {
        HERE / "README.md": short_table(results),
        HERE / "benchmarks" / "RESULTS.md": long_tables(results),
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


@click.command()
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
