"""One layer stands in place of four of BentoML's."""

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from serving.bento.application import COUNTS, LOGS, TIMES, TRACES, series_labels, with_one_layer


def plain() -> Starlette:
    """BentoML's application for SpineAnomaly, with all its layers."""
    import bentoml

    from service import SpineAnomaly

    service: Any = SpineAnomaly
    app = bentoml.Service.to_asgi(service)
    assert isinstance(app, Starlette)
    return app


def layers(app: Starlette) -> list[str]:
    return [getattr(layer.cls, "__name__", "") for layer in app.user_middleware]


def test_bentoml_has_the_layers_that_are_replaced(model_store: Path) -> None:
    missing = {COUNTS, TRACES, LOGS, TIMES} - set(layers(plain()))
    assert not missing, f"BentoML has renamed or dropped {missing}: see serving/bento/application"


def test_one_layer_comes_first_and_four_are_gone(model_store: Path) -> None:
    app = with_one_layer(plain(), "spine_anomaly")
    assert layers(app)[0] == "Traffic"
    assert not {COUNTS, TRACES, LOGS, TIMES} & set(layers(app))
    assert app.user_middleware[0].kwargs["deadline_s"] == 10
    assert app.user_middleware[0].kwargs["namespace"] == "bentoml_service"


def test_who_configures_bentoml_keeps_its_spans(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = plain()
    monkeypatch.setenv("BENTOML_CONFIG", "/etc/bentoml.yaml")
    kept = layers(with_one_layer(app, "spine_anomaly"))
    assert TRACES in kept
    assert not {LOGS, TIMES} & set(kept)


def test_without_metrics_the_deadline_and_the_log_stay() -> None:
    class AccessLogMiddleware: ...

    class TimeoutMiddleware: ...

    app = Starlette(middleware=[Middleware(AccessLogMiddleware), Middleware(TimeoutMiddleware)])  # type: ignore[arg-type]
    assert layers(with_one_layer(app, "spine_anomaly")) == [LOGS, TIMES]


def test_the_series_of_a_bento_have_its_name_and_version(tmp_path: Path) -> None:
    bento, project = tmp_path / "bento.yaml", tmp_path / "pyproject.toml"
    for text, version in (("", "not available"), ('[project]\nversion = "1.2.3"\n', "1.2.3")):
        project.write_text(text)
        assert series_labels("spine_anomaly", bento, project) == {
            "service_name": "spine_anomaly",
            "service_version": version,
            "runner_name": "spine_anomaly",
        }
    bento.write_text("service: x\nname: dicom-autoencoder\nversion: one-1\nmodels:\n- name: m\n")
    assert series_labels("spine_anomaly", bento, project) == {
        "service_name": "dicom-autoencoder",
        "service_version": "one-1",
        "runner_name": "spine_anomaly",
    }
