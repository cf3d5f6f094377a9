"""The real application, once a session: BentoML registers its metrics at each to_asgi()."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from serving.telemetry import log
from tests.dicom_files import make_dicom, noise


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def app(model_store: Path) -> AsyncIterator[Any]:
    """SpineAnomaly as an ASGI application, started."""
    from service import SpineAnomaly

    app = SpineAnomaly.to_asgi()  # type: ignore[attr-defined]  # the decorator makes it a Service
    starlette = app.app.app.app  # inside of the worker, the envelope and the gate
    async with starlette.router.lifespan_context(starlette):
        yield app


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, without a network."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://spine.test") as client:
        yield client


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """The service's log, which BentoML keeps from the root logger and so from pytest."""
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    caplog.set_level(logging.INFO, log.name)
    return caplog


@pytest.fixture(scope="session")
def dicom() -> bytes:
    """A slice that the service answers with 200."""
    return make_dicom(noise((80, 60)))
