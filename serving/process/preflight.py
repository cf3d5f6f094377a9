"""Say in one line why the service could not start; `python -m serving.process.preflight --help`."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from model.errors import ModelError
from model.spec import load_spec
from model.store.served import choose_served
from serving.settings import Settings, SettingsError, read_settings


class PortTaken(Exception):
    """Nobody can listen there."""


def check_port(host: str, port: int) -> None:
    """Try to listen, as the server will.

    Raises:
        PortTaken: another process listens there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        # As the server: a port whose last connections are still closing is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such port"
            raise PortTaken(
                f"cannot listen on {host}:{port} ({str(reason).lower()}); choose another PORT"
            ) from error


def check_start(settings: Settings, host: str, port: int, stores: Sequence[Path] = ()) -> Path:
    """Check what a start needs: the model's files, the runtime's packages, the port.

    Args:
        settings: as the service will read them.
        host: address to listen on.
        port: to listen on.
        stores: folders of models in which a tag is looked up before the BentoML store.

    Returns:
        The model's folder.

    Raises:
        ModelError: there is no such model, it is damaged, or nothing here can run it.
        PortTaken: nobody can listen there.
    """
    folder = choose_served(settings.model, stores).folder
    load_spec(folder)
    if settings.runtime == "torch" and not importlib.util.find_spec("torch"):
        raise ModelError("SPINE_RUNTIME=torch needs torch; install it or use onnx")
    check_port(host, port)
    return folder


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
def main(host: str, port: int) -> None:
    """Check settings, model files and port; exit 1 with one line when one of them is wrong.

    Example: python -m serving.process.preflight --port 8000
    """
    try:
        check_start(read_settings(os.environ), host, port)
    except (SettingsError, ModelError, PortTaken) as error:
        click.echo(f"preflight: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
