"""Install packages for `make`: print what and how much, show progress, name why it failed.

Only the standard library: nothing else is installed yet.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Words of pip, of Python and of the system -> the cause; the first that is found counts.
CAUSES = {
    "the disk is full": ("No space left on device", "Disk quota exceeded"),
    "it cannot be written to": ("Read-only file system", "Permission denied"),
    "a package is not the one that the lock names; does another package index answer?": (
        "DO NOT MATCH THE HASHES",
    ),
    "the package index cannot be reached; check the network, or pip's settings for a mirror": (
        "NewConnectionError",
        "NameResolutionError",
        "Connection refused",
        "Network is unreachable",
        "Name or service not known",
        "timed out",
        "ProxyError",
        "SSLError",
        "(from versions: none)",
    ),
}


def make_environment(folder: Path) -> int:
    """Make a virtual environment; exit status 1 after one line on stderr that names the cause."""
    if not os.access(folder.parent, os.W_OK):
        return fail(f"{folder.parent.resolve()} cannot be written to; use a writable clone")
    if importlib.util.find_spec("ensurepip") is None:
        return fail(
            f"{sys.executable} cannot make a virtual environment (Debian: apt install python3-venv)"
        )
    done = subprocess.run(  # noqa: S603 - this Python, and a folder of the Makefile
        [sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        # ensurepip hides why it failed; a full disk shows by what is left.
        cause = find_cause(done.stdout + done.stderr)
        if not cause and shutil.disk_usage(folder).free < 30e6:
            cause = "the disk is full"
        shutil.rmtree(folder, ignore_errors=True)
        output = (done.stderr or done.stdout).strip().splitlines()
        return fail(
            f"{folder} cannot be made: {cause or (output[-1] if output else 'no reason given')}"
        )
    return 0


def install(what: str, how_much: str, packages: Path) -> int:
    """Install a list of packages into the environment of this Python.

    Args:
        what: is installed, for the message.
        how_much: is downloaded, and how much room the environment takes afterwards.
        packages: the list; where it names hashes, it must name one for each package.
    """
    sys.stderr.write(f"installing {what} into {_short(sys.prefix)} ({how_much})\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    command += ["--progress-bar", "off", "-r", str(packages)]
    locked = re.findall(r"^\w\S+==.*\\$", packages.read_text("utf-8"), re.MULTILINE)
    if locked:  # each with its hash
        command.append("--require-hashes")
    with subprocess.Popen(  # noqa: S603 - this Python, and a file of the Makefile
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        output = _follow(pip, len(locked))
    if pip.returncode:
        cause = find_cause("".join(output))
        if not cause:
            sys.stderr.writelines(line for line in output if line.startswith("ERROR"))
        return fail(f"{what} cannot be installed: {cause or 'see above'}")
    return 0


def _follow(pip: subprocess.Popen[str], n_locked: int) -> list[str]:
    """Show on a terminal, in one line, what pip does; return the lines that it wrote."""
    output, n_found = [], 0
    assert pip.stdout is not None, "it is a pipe"  # noqa: S101
    for line in pip.stdout:
        output.append(line)
        action = line.strip().partition(" (from ")[0]
        n_found += action.startswith(("Collecting ", "Processing ", "Ignoring ", "Requirement "))
        if action.startswith("Installing "):
            action = "unpacking"
        if os.isatty(2) and not action.startswith("WARNING"):
            of = f" of {n_locked}" if n_locked else ""
            text = f"  {n_found}{of} packages: {action}"
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r\x1b[K{text[: width - 1]}")
            sys.stderr.flush()
    if os.isatty(2):
        sys.stderr.write("\r\x1b[K")
    return output


def find_cause(output: str) -> str:
    """Name why it failed, in words for people; empty when the output names no cause we know."""
    for cause, words in CAUSES.items():
        if any(word in output for word in words):
            return f"{cause} ({_free_space()})" if cause == "the disk is full" else cause
    return ""


def _free_space() -> str:
    """Describe what is free where packages go, and where they are unpacked on the way."""
    places = {sys.prefix, tempfile.gettempdir()}
    return ", ".join(
        f"{shutil.disk_usage(p).free / 1e6:.0f} MB free in {p}" for p in sorted(places)
    )


def _short(folder: str) -> str:
    """Write a folder below the current one without the way to it."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def fail(message: str) -> int:
    """Write the one line of a failure, and return its exit status."""
    sys.stderr.write(f"make: {message}\n")
    return 1


if __name__ == "__main__":
    if sys.argv[1] == "environment":
        sys.exit(make_environment(Path(sys.argv[2])))
    sys.exit(install(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
