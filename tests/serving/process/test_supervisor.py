import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.process.supervisor import warn_if_open
from serving.settings import Settings
from serving.telemetry import log

ROOT = Path(__file__).parents[3]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged as a warning."""
    lines: list[str] = []
    monkeypatch.setattr(log, "warning", lambda text, *values: lines.append(text % values))
    return lines


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "some.name"])  # noqa: S104
def test_a_port_that_others_reach_without_a_key_is_warned_of(lines: list[str], host: str) -> None:
    warn_if_open([host], Settings())
    assert len(lines) == 1
    assert host in lines[0]
    assert "SPINE_API_KEY" in lines[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", None])
def test_loopback_and_a_port_with_keys_are_not(lines: list[str], host: str | None) -> None:
    warn_if_open([host], Settings())
    warn_if_open(["0.0.0.0"], Settings(api_key=("a-key",)))  # noqa: S104
    assert lines == []


def test_importing_the_service_ends_usage_reports_wherever_it_is_served(model_store: Path) -> None:
    code = (
        "from bentoml._internal.utils.analytics import usage_stats as stats;"
        "assert not stats.do_not_track();"  # as BentoML's command line asks before the import
        "import service; assert stats.do_not_track()"
    )
    environ = {name: value for name, value in os.environ.items() if "TRACK" not in name}
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
