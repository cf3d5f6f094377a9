"""Build the Bento and its image, both or neither."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image.engine import EngineError, build_network, check_engine, has_image
from image.explain import explain
from model.served import names_file
from model.store import find_directory
from model.transfer import import_model

ROOT = Path(__file__).parents[1]
LOG = ROOT / "runs" / "image.log"
# Of the registry's grammar what is needed here: a host, folders, a name, and a tag.
_TAG = re.compile(r"[a-z0-9]+([._:/-]+[a-z0-9]+)*:[A-Za-z0-9_][\w.-]{0,127}", re.ASCII)


class BuildError(Exception):
    """The image could not be built; the message is one line."""


def build(model: str, tag: str, network: str | None = None) -> str:
    """Build the Bento of a model and its image.

    Args:
        model: a tag of the store, or the path of a .bentomodel, which is imported first.
        tag: of the image, name:tag; one that exists is refused, unless it is `latest`.
        network: of the build; that which the engine has without it.

    Returns:
        The Bento's tag.

    Raises:
        ModelError: there is no such model, or it is damaged.
        EngineError: no engine answers, or it holds this tag already.
        BuildError: the tag is malformed, or a build failed. Neither Bento nor image is left then.
    """
    if not _TAG.fullmatch(tag):
        raise BuildError(f"{tag[:100]!r} is no image tag; write name:tag, in lower case")
    check_engine()
    if not tag.endswith(":latest") and has_image(tag):
        raise EngineError(f"the image {tag} exists; choose another tag or docker image rm it")
    exact = pin_model(model)
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_bytes(b"")
    with _build_bento(exact) as bento:
        options = ["--tag", tag, "--build-arg", f"MODEL={exact}"]
        for name, value in labels(bento, exact).items():
            options += ["--label", f"{name}={value}"]
        if network := network or build_network():
            options += ["--network", network]
        _run("the image", ["-m", "image.containerize", bento, *options])
    return bento


def pin_model(model: str) -> str:
    """Say which version of the store a tag, a stage or a file means; a file is imported.

    Raises:
        ModelError: there is no such model, or it is damaged.
    """
    if names_file(model):
        return str(import_model(Path(model)))
    folder = find_directory(model)
    return f"{folder.parent.name}:{folder.name}"


def labels(bento: str, model: str) -> dict[str, str]:
    """What the image says of itself, as the OCI image specification names it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "org.opencontainers.image"
    known = {
        f"{prefix}.title": bento.partition(":")[0],
        f"{prefix}.description": f"{project['description']}; decision support, not a diagnosis",
        f"{prefix}.version": os.environ.get("VERSION") or project["version"],
        f"{prefix}.licenses": project["license"],
        f"{prefix}.source": _source(),
        f"{prefix}.revision": _revision(),
        "bento": bento,
        "model": model,
    }
    return {name: value for name, value in known.items() if value}


@contextmanager
def _build_bento(model: str) -> Iterator[str]:
    """Build a Bento, and take it away again when what is done with it fails."""
    # A Bento serves the model that SPINE_MODEL named when it was built.
    printed = _run("the Bento", ["-m", "bentoml", "build", "--output", "tag"], SPINE_MODEL=model)
    bento = printed.strip().rpartition("__tag__:")[2]
    try:
        yield bento
    except BaseException:  # a Ctrl-C too
        from bentoml import bentos

        bentos.delete(bento)
        raise


def _run(what: str, arguments: list[str], **environ: str) -> str:
    """Run a step of the build in Python, its messages in the log.

    Returns:
        Its standard output.

    Raises:
        BuildError: it failed; the message says why, as far as the log does.
    """
    with LOG.open("ab") as log:
        start = log.tell()
        done = subprocess.run(  # noqa: S603  # our own steps
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=log,
            check=False,
        )
        log.write(done.stdout)
    if done.returncode:
        with LOG.open("rb") as log:
            log.seek(start)
            reason = explain(log.read().decode("utf-8", "replace"))
        raise BuildError(f"{what} was not built: {reason} (all of it: {LOG.relative_to(ROOT)})")
    return done.stdout.decode("utf-8", "replace")


def _revision() -> str:
    """The commit; empty outside of a clone."""
    commit = _git("rev-parse", "HEAD")
    # A release puts its own model into pretrained/, and the label `model` names it.
    changed = _git("status", "--porcelain", "--", ".", ":!pretrained")
    return f"{commit}-dirty" if commit and changed else commit


def _source() -> str:
    """Where the code is: the repository of the workflow, or the clone's origin if it is public."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and repository:
        return f"{server}/{repository}"
    origin = _git("config", "remote.origin.url")
    return origin if origin.startswith("https://") and "@" not in origin else ""


def _git(*arguments: str) -> str:
    """What git prints; empty where it fails or is not installed."""
    command = ["git", *arguments]
    try:
        return subprocess.run(  # noqa: S603
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
