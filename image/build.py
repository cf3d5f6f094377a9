"""Build the Bento and its image, both or neither."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from image.engine import EngineError, build_network, check_engine, has_image, image_bytes
from image.explain import explain
from image.labels import ROOT, labels
from model.store.served import choose_served, names_file
from model.store.transfer import import_model

NAME = "dicom-autoencoder"  # as bentofile.yaml has it
LOGS = ROOT / "runs" / "image"
# The part of the registry's grammar that is needed here: perhaps a host and folders, a name, a tag.
_TAG = re.compile(
    r"([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*:[A-Za-z0-9_][\w.-]{0,127}", re.ASCII
)


class BuildError(Exception):
    """The image could not be built; the message is one line."""


@dataclass(frozen=True)
class ImageRequest:
    """What to build.

    Args:
        model: a tag of the store, or the path of a .bentomodel, which is imported first.
        tag: of the image, name:tag; one that exists is refused, unless it is `latest`.
        version: a label; the project's own without it.
        base: image of Python 3.11 to start from; the recipe's without it.
        network: of the build; the engine's default without it.
    """

    model: str
    tag: str
    version: str | None = None
    base: str | None = None
    network: str | None = None


@dataclass(frozen=True)
class Built:
    """A Bento (name:version) and the size of its image in bytes."""

    bento: str
    n_bytes: int


def build(request: ImageRequest) -> Built:
    """Build the Bento of a model and its image.

    Raises:
        ModelError: there is no such model, or it is damaged.
        EngineError: no engine answers, or it holds this tag already.
        BuildError: the tag is malformed, or a build failed. Neither Bento nor image is left then.
    """
    if not _TAG.fullmatch(request.tag):
        raise BuildError(
            f"{request.tag[:100]!r} is not an image tag; write name:tag, in lower case"
        )
    check_engine()
    if not request.tag.endswith(":latest") and has_image(request.tag):
        raise EngineError(
            f"the image {request.tag} exists; choose another tag or docker image rm it"
        )
    model = pin_model(request.model)
    with _build_bento(model) as (bento, log):
        options = ["--tag", request.tag, "--build-arg", f"MODEL={model}"]
        if request.base:
            options += ["--build-arg", f"BASE={request.base}"]
        for name, value in labels(bento, model, request.version, request.base).items():
            options += ["--label", f"{name}={value}"]
        if network := request.network or build_network():
            options += ["--network", network]
        _run("the image", ["-m", "image.containerize", bento, *options], log)
        return Built(bento, image_bytes(request.tag))


def pin_model(model: str) -> str:
    """Return the version of the store that a tag, a stage or a file names; import a file.

    Raises:
        ModelError: there is no such model, or it is damaged.
    """
    if names_file(model):
        return str(import_model(Path(model)))
    return choose_served(model).name


@contextmanager
def _build_bento(model: str) -> Iterator[tuple[str, Path]]:
    """Build a Bento with a log of its own; delete it when a later step fails."""
    # Named here, so that a Bento is known from before its build on.
    bento = f"{NAME}:{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    version = bento.partition(":")[2]
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{version}.log"
    try:
        # A Bento serves the model that SPINE_MODEL named when it was built.
        _run("the Bento", ["-m", "bentoml", "build", "--version", version], log, SPINE_MODEL=model)
        yield bento, log
    except BaseException:  # a Ctrl-C too
        from bentoml import bentos
        from bentoml.exceptions import NotFound

        with suppress(NotFound):
            bentos.delete(bento)
        raise


def _run(what: str, arguments: list[str], log: Path, **environ: str) -> None:
    """Run a step of the build in Python, its output in a log.

    Raises:
        BuildError: it failed; the message gives the reason, as far as the log does.
    """
    with log.open("ab") as written:
        start = written.tell()
        # Its own session: what it started ends with it, whichever process got the signal.
        step = subprocess.Popen(  # noqa: S603  # our own steps
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | environ,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
        try:
            code = step.wait()
        except BaseException:
            os.killpg(step.pid, signal.SIGTERM)
            step.wait()
            raise
    if code:
        with log.open("rb") as output:
            output.seek(start)
            reason = explain(output.read().decode("utf-8", "replace"))
        raise BuildError(f"{what} was not built: {reason} (all of it: {log.relative_to(ROOT)})")
