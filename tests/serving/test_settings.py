import pytest

from serving.settings import Settings, SettingsError, read_settings


def test_nothing_set_and_set_to_nothing_give_the_defaults() -> None:
    assert read_settings({}) == read_settings({"SPINE_QUEUE": ""}) == Settings()


def test_each_variable_is_read_and_printed() -> None:
    environ = {
        "SPINE_MODEL": "other:v1",
        "SPINE_RUNTIME": "torch",
        "SPINE_MAX_UPLOAD_MB": "8",
        "SPINE_MAX_BATCH": "4",
        "SPINE_QUEUE": "16",
        "SPINE_CONCURRENCY": "9",
        "SPINE_DECODE_THREADS": "3",
        "SPINE_DEADLINE_S": "5",
        "SPINE_WORKERS": "2",
    }
    settings = read_settings(environ)
    assert settings == Settings("other:v1", "torch", 8, 4, 16, 9, 3, 5, 2)
    assert settings.max_upload_bytes == 8_000_000
    assert str(settings) == " ".join(f"{name}={value}" for name, value in environ.items())


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
    ],
)
def test_a_wrong_value_is_named_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '?{value}'?; use ") as caught:
        read_settings({name: value})
    assert "\n" not in str(caught.value)
