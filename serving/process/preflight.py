"""Find in time why the service could not start; `python -m serving.process.preflight --help`."""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import os
import re
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from model.errors import ModelError
from model.spec import load_spec
from model.store.find import store_home
from model.store.served import Choice, choose_served
from serving.process.places import StartError, why_not_writable
from serving.settings import Settings, SettingsError, read_settings, unknown_variables
from serving.telemetry import log

BACKLOG = 2048
# What to do about the reasons for which nobody can listen.
_ADVICE = {
    errno.EADDRINUSE: "choose another port",
    errno.EACCES: "choose a port above 1023",
    errno.EADDRNOTAVAIL: "the host is not an address of this machine",
}


def read_address(host: str | None, port: str | None, environ: Mapping[str, str]) -> tuple[str, int]:
    """Read where to listen.

    Args:
        host: from the command line; else BENTOML_HOST, else all addresses.
        port: the same, with PORT and 8000.
        environ: variables.

    Raises:
        StartError: one of them is not an address, or not a port.
    """
    host = host or environ.get("BENTOML_HOST") or "0.0.0.0"  # noqa: S104  # it is a server
    check_host(host)
    return host, read_port(port or environ.get("PORT") or "8000")


def read_port(text: str) -> int:
    """Read a port's number.

    Raises:
        StartError: it is not one.
    """
    if not (re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536):
        raise StartError(f"the port {text[:20]!r} is not a number from 1 to 65535")
    return int(text)


def check_host(host: str) -> None:
    """See that a host is an IP address: neither start takes names.

    Raises:
        StartError: it is not.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise StartError(
            f"the host {host[:40]!r} is not an IP address, such as 127.0.0.1 for this machine alone"
        ) from error


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that the workers share. Who connects before they are ready waits.

    Raises:
        StartError: another process listens there, or the address is not this machine's.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # A port whose last connections are still closing is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = _ADVICE.get(error.errno or 0, "choose another host or port")
        reason = (error.strerror or type(error).__name__).lower()
        raise StartError(f"cannot listen on {host} port {port} ({reason}); {advice}") from error
    return listener


def check_model(settings: Settings, stores: Sequence[Path] = ()) -> Choice:
    """Check the model's files and the runtime's packages.

    Args:
        settings: as the service will read them.
        stores: folders of models in which a tag is looked up before the BentoML store.

    Returns:
        The model to serve.

    Raises:
        ModelError: there is no such model, it is damaged, or nothing here can run it.
    """
    choice = choose_served(settings.model, stores)
    load_spec(choice.folder)
    if settings.runtime == "torch" and not importlib.util.find_spec("torch"):
        raise ModelError("SPINE_RUNTIME=torch needs torch; install it or use onnx")
    return choice


def warn_of_unknown_variables(environ: Mapping[str, str]) -> None:
    """Name each SPINE_ variable that nothing reads, with the nearest that something does.

    Not an error: a cluster sets such names by itself, as Kubernetes does for a service "spine".
    """
    for name, nearest in unknown_variables(environ).items():
        hint = f"; did you mean {nearest}?" if nearest else ""
        log.warning("%s is not a setting and is ignored%s", name, hint)


def asked_host() -> str | None:
    """The host that a command line of `bentoml serve` names; None outside of one."""
    context = click.get_current_context(silent=True)
    return context.params.get("host") if context else None


def warn_if_open(host: str | None, settings: Settings) -> None:
    """Warn when other machines can reach the service and no key is asked for."""
    if not settings.api_key and host is not None and not _is_loopback(host):
        log.warning(
            "listening on %s without SPINE_API_KEY: whoever reaches this port may ask", host
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default="8000", show_default=True)
def main(host: str, port: str) -> None:
    """Check settings, model, port and disk before `bentoml serve`; exit 1 with one line.

    Example: python -m serving.process.preflight --port 8000
    """
    try:
        check_host(host)
        number = read_port(port)
        check_model(read_settings(os.environ))
        for folder in (store_home(), Path(tempfile.gettempdir())):
            if reason := why_not_writable(folder):
                raise StartError(f"BentoML cannot write to {folder} ({reason})")
        listen(host, number).close()
    except (SettingsError, ModelError, StartError) as error:
        click.echo(f"preflight: {error}", err=True)
        sys.exit(1)
    except FileNotFoundError:  # by tempfile, which has tried all places
        click.echo(
            "preflight: nothing can be written to TMPDIR, /tmp or here; set TMPDIR", err=True
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
