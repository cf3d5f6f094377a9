"""Write down what `bentoml serve` would start: python -m serving.process.plan BENTO FILE."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from serving.process import supervisor

GRACE_S = 25


@click.command()
@click.argument("bento")
@click.argument("file", type=click.Path(path_type=Path))
def main(bento: str, file: Path) -> None:
    """Prepare to serve BENTO as `bentoml serve` does, write the plan into FILE, and end.

    `serving.process.container` gives it the address, the workers and the home of a container.
    """
    from bentoml_cli.cli import cli

    def write(plan: dict[str, Any]) -> NoReturn:
        file.write_text(json.dumps(plan, indent=1), "utf-8")
        sys.exit(0)

    supervisor.hand_over = write
    cli(["serve", bento, "--timeout-graceful-shutdown", str(GRACE_S)])


if __name__ == "__main__":
    main()
