from dataclasses import fields

import pytest

from serving.settings import Settings, SettingsError, read_settings


def test_nothing_set_and_set_to_nothing_give_the_defaults() -> None:
    assert read_settings({}) == read_settings({"SPINE_QUEUE": ""}) == Settings()


def test_each_variable_is_read_and_printed() -> None:
    environ = {
        "SPINE_MODEL": "other:v1",
        "SPINE_RUNTIME": "torch",
        "SPINE_MAX_UPLOAD_MB": "8",
        "SPINE_MAX_PIXELS": "1000",
        "SPINE_MAX_FRAMES": "7",
        "SPINE_MAX_BATCH": "4",
        "SPINE_QUEUE": "16",
        "SPINE_CONCURRENCY": "9",
        "SPINE_BODIES_MB": "6",
        "SPINE_CONNECTIONS": "99",
        "SPINE_DECODE_THREADS": "3",
        "SPINE_HEAD_TIMEOUT_S": "11",
        "SPINE_BODY_TIMEOUT_S": "12",
        "SPINE_DEADLINE_S": "5",
        "SPINE_DRAIN_S": "0",
        "SPINE_WORKERS": "2",
        "SPINE_API_KEY": " one, two ",
        "SPINE_DOCS": "closed",
        "SPINE_METRICS": "open",
        "SPINE_RATE_PER_S": "10",
        "SPINE_RATE_BURST": "30",
        "SPINE_TRUSTED_PROXIES": "10.0.0.0/8,::1",
        "SPINE_CORS_ORIGINS": "https://pacs.example.org,http://localhost:3000",
    }
    assert set(environ) == {f"SPINE_{field.name.upper()}" for field in fields(Settings)}
    settings = read_settings(environ)
    for field in fields(Settings):
        assert getattr(settings, field.name) != field.default
    assert settings.api_key == ("one", "two")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.max_upload_bytes == 8_000_000
    assert "SPINE_API_KEY=none " in str(Settings())
    shown = environ | {"SPINE_API_KEY": "2 keys"}
    assert str(settings) == " ".join(f"{name}={value}" for name, value in shown.items())


def test_no_key_is_ever_shown() -> None:
    settings = read_settings({"SPINE_API_KEY": "the-secret"})
    assert "the-secret" not in f"{settings} {settings!r}"
    for wrong in ("the secret", "the-secr\u00e9t", "the-secret\n2"):
        with pytest.raises(SettingsError) as caught:
            read_settings({"SPINE_API_KEY": wrong})
        assert "secr" not in str(caught.value)


def test_a_variable_of_commas_is_not_taken_for_no_keys() -> None:
    with pytest.raises(SettingsError, match="SPINE_API_KEY holds no key"):
        read_settings({"SPINE_API_KEY": " , "})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPINE_RUNTIME", "tensorflow"),
        ("SPINE_MAX_BATCH", "0"),
        ("SPINE_QUEUE", "many"),
        ("SPINE_CONCURRENCY", "0"),
        ("SPINE_WORKERS", "-1"),
        ("SPINE_DEADLINE_S", "1.5"),
        ("SPINE_MAX_UPLOAD_MB", "32000000"),
        ("SPINE_DOCS", "yes"),
        ("SPINE_METRICS", "none"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '?{value}'?; use ") as caught:
        read_settings({name: value})
    assert "\n" not in str(caught.value)


def test_a_proxy_that_is_no_network_is_named() -> None:
    with pytest.raises(SettingsError, match=r"SPINE_TRUSTED_PROXIES names 'proxy\.local'"):
        read_settings({"SPINE_TRUSTED_PROXIES": "10.0.0.1,proxy.local"})


@pytest.mark.parametrize(
    "origin", ["pacs.example.org", "https://pacs.example.org/", "https://PACS.example.org", "null"]
)
def test_an_origin_that_no_browser_sends_is_named(origin: str) -> None:
    with pytest.raises(SettingsError, match=f"SPINE_CORS_ORIGINS names '{origin}'; use origins"):
        read_settings({"SPINE_CORS_ORIGINS": f"http://localhost:3000, {origin}"})
    assert read_settings({"SPINE_CORS_ORIGINS": "*"}).cors_origins == ("*",)
