"""What the Bento is configured with, and its place around BentoML's application."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import bentoml

from model.errors import ModelError
from model.store.served import names_file
from serving.bento.served_model import ServedModel
from serving.process.resources import WORKER_ENVIRON
from serving.settings import Settings, SettingsError, settings
from serving.telemetry import log

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from serving.bento.openapi import OpenAPI


def settings_or_exit() -> Settings:
    """Read the settings; end the process in one line when a value cannot be used."""
    try:
        return settings()
    except SettingsError as error:
        sys.exit(f"service: {error}")


def worker_envs(stored: ServedModel) -> list[dict[str, str]]:
    """What BentoML sets before a worker starts; the operator's own values win."""
    wanted = {name: os.environ.get(name, value) for name, value in WORKER_ENVIRON.items()}
    if os.environ.get("SPINE_MODEL") and not names_file(stored.wanted):
        # What a Bento is built with is what its image serves: a stage is decided here, once.
        wanted["SPINE_MODEL"] = str(stored.tag)
    return [{"name": name, "value": value} for name, value in wanted.items()]


def check_start(stored: ServedModel) -> None:
    """Stop `bentoml serve` before it listens when the model is damaged; warn of what is unsafe."""
    from model.spec import load_spec
    from serving.process.metrics_folder import make_metrics_folder
    from serving.process.preflight import asked_host, warn_if_open, warn_of_unknown_variables

    try:
        load_spec(stored.folder)
    except ModelError as error:
        sys.exit(f"service: {error}")
    stored.pin()
    log.info("settings: %s", settings())
    make_metrics_folder()
    warn_of_unknown_variables(os.environ)
    warn_if_open(asked_host(), settings())


class SpineService(bentoml.Service[Any]):  # type: ignore[misc]  # BentoML's SDK is untyped
    """A BentoML service with one shape for every answer and the whole contract in its OpenAPI."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Wrap BentoML's application; `add_asgi_middleware` would stay inside its metrics."""
        from serving.bento.application import with_one_layer
        from serving.http.client import trusted_networks
        from serving.http.envelope import Envelope, known_paths
        from serving.http.gate import Gate
        from serving.process.drain import drain
        from serving.process.metrics_folder import count_there
        from serving.process.worker import Worker

        # uvicorn believes X-Forwarded-For of loopback by default, and the log has the address.
        limits = settings()
        os.environ["FORWARDED_ALLOW_IPS"] = ",".join(trusted_networks(limits.trusted_proxies))
        is_counted = count_there()
        app = with_one_layer(super().to_asgi(is_main), self.name)
        paths = known_paths(app, limits)
        if not is_counted:
            paths.pop("/metrics", None)
        envelope = Envelope(Gate(app, limits), paths, limits, lambda: drain().has_begun)
        return Worker(envelope, limits)

    @property
    def openapi_spec(self) -> OpenAPI:
        """The OpenAPI document, in place of BentoML's."""
        from serving.bento.openapi import write_document

        return write_document()
