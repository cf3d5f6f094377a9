"""Ask the Docker engine."""

from __future__ import annotations

import subprocess


class EngineError(Exception):
    """The engine cannot do what is needed; the message is one line."""


def ask(*arguments: str, text: str | None = None) -> str:
    """Run a docker command.

    Args:
        arguments: of it.
        text: its standard input; none without one.

    Returns:
        What it printed, without the blanks around it.

    Raises:
        EngineError: docker is missing, or the command failed; the message is its last line.
    """
    try:
        done = subprocess.run(  # noqa: S603
            ["docker", *arguments],  # noqa: S607  # the user's own
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise EngineError("no docker command here; install Docker or another engine") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"docker {arguments[0]} failed"]
        raise EngineError(lines[-1])
    return done.stdout.strip()


def check_engine() -> None:
    """Raise EngineError unless an engine answers."""
    try:
        ask("version", "--format", "{{.Server.Version}}")
    except EngineError as error:
        raise EngineError(f"no Docker engine answers: {error}") from error


def has_image(tag: str) -> bool:
    """Return whether the engine holds an image of this name.

    Raises:
        EngineError: it does not answer.
    """
    try:
        ask("image", "inspect", "--format", "{{.Id}}", tag)
    except EngineError as error:
        if "no such" in str(error).lower():
            return False
        raise
    return True


def image_bytes(tag: str) -> int:
    """Return the size of an image in bytes, as `docker images` shows it."""
    return int(ask("image", "inspect", "--format", "{{.Size}}", tag))


def build_network() -> str | None:
    """Return the network that a build needs: the host's where the engine has no bridge."""
    return None if ask("network", "ls", "--quiet", "--filter", "driver=bridge") else "host"
