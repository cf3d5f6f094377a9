"""Start the production server once, send it a request, and stop it.

The build of the image runs it for the byte code that it writes; it also checks a container.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import click

PATIENCE_S = 120
# The proxy of a build or a container cannot reach our loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RehearsalError(Exception):
    """The server does not work; the message is one line."""


def rehearse() -> float:
    """Start it, wait until it is ready, send it a text, stop it.

    Returns:
        Seconds from its start until it was ready.

    Raises:
        RehearsalError: it ended, was not ready in time, or answered otherwise.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    place = ["--host", "127.0.0.1", "--port", str(port)]
    started = time.monotonic()
    server = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "serving", *place],
        env=os.environ | {"SPINE_DRAIN_S": "0", "SPINE_API_KEY": ""},
    )
    try:
        while _status(f"{url}/readyz") != 200:
            if server.poll() is not None:
                raise RehearsalError(f"the server ended with {server.returncode}")
            if time.monotonic() - started > PATIENCE_S:
                raise RehearsalError(f"not ready within {PATIENCE_S} s")
            time.sleep(0.05)
        took = time.monotonic() - started
        if (status := _status(f"{url}/predict", b"no DICOM file")) != 415:
            raise RehearsalError(f"a text was answered with {status} instead of 415")
        server.send_signal(signal.SIGTERM)
        if code := server.wait(PATIENCE_S):
            raise RehearsalError(f"the server ended with {code} at SIGTERM")
    finally:
        server.kill()
        server.wait()
    return took


def _status(url: str, body: bytes | None = None) -> int:
    """The status of an answer; 0 without one."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/dicom"})  # noqa: S310
    try:
        with _DIRECT.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Start the server, send it a request, stop it; exit 1 with one line when that fails."""
    try:
        click.echo(f"ready after {rehearse():.1f} s, answered, stopped")
    except RehearsalError as error:
        click.echo(f"rehearsal: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
