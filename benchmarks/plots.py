"""What `benchmarks.serve` measured -> one picture."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks.tables import find, quoted

_PANELS = (("requests_per_s", "requests/s"), ("p50_ms", "p50, ms"), ("p99_ms", "p99, ms"))


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw throughput and latency over the number of clients, a line for each contender.

    Points are medians of the rounds, bars their range; what is not quoted is not drawn.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(_PANELS), figsize=(13, 4), layout="constrained")
    for axes, (field, title) in zip(panels, _PANELS, strict=True):
        for name, label in results["contenders"].items():
            found = {}
            for n in results["settings"]["clients"]:
                one = find(results["loads"], contender=name, files="mix", clients=n)
                if values := [*quoted(one, field).values()]:
                    found[n] = values
            middle = [statistics.median(values) for values in found.values()]
            low = [m - min(v) for m, v in zip(middle, found.values(), strict=True)]
            high = [max(v) - m for m, v in zip(middle, found.values(), strict=True)]
            clean = label.replace("`", "")
            axes.errorbar(list(found), middle, yerr=[low, high], marker="o", capsize=3, label=clean)
        axes.set(xscale="log", yscale="log", xlabel="clients", title=title)
        axes.set_xticks(results["settings"]["clients"], results["settings"]["clients"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    figure.suptitle(f"{results['files']['mix']}; {results['cores']} cores", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
