"""Read the SPINE_* variables, once, in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal, cast

Runtime = Literal["onnx", "torch"]


class SettingsError(ValueError):
    """A variable has a value that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """What an operator can change; each field is the variable SPINE_<NAME>.

    Args:
        model: the model's tag in the BentoML store, name or name:version.
        runtime: onnx (0.6 ms a slice, no torch) or torch (the reference, and the GPU).
        max_upload_mb: a body above this is refused; 576 x 576 16-bit slices are 0.7 MB.
        max_batch: a CPU gains nothing beyond 8, and the first of a batch waits for its last.
        queue: slices that may wait for the model; above this the answer is 429.
        concurrency: requests that one worker reads and answers at a time; above this the answer
            is 429, before the body is read.
        decode_threads: decoders release the GIL only in part; more than the cores is waste.
        deadline_s: a request is answered with 504 after this; BentoML keeps 18 kB a request for
            as long.
        workers: processes; each holds its own copy of the model.
    """

    model: str = "spine_autoencoder:latest"
    runtime: Runtime = "onnx"
    max_upload_mb: int = 32
    max_batch: int = 8
    queue: int = 256
    concurrency: int = 256
    decode_threads: int = 2
    deadline_s: int = 10
    workers: int = 1

    @property
    def max_upload_bytes(self) -> int:
        """The largest body that is read."""
        return self.max_upload_mb * 1_000_000

    def __str__(self) -> str:
        """The line that is printed at start."""
        return " ".join(f"SPINE_{name.upper()}={value}" for name, value in asdict(self).items())


# Lowest and highest value of each number; the highest catches a unit mix-up, not a strong machine.
_RANGES = {
    "max_upload_mb": (1, 2048),
    "max_batch": (1, 256),
    "queue": (1, 100_000),
    "concurrency": (1, 100_000),
    "decode_threads": (1, 64),
    "deadline_s": (1, 3600),
    "workers": (1, 256),
}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings from variables; an empty one counts as not set.

    Raises:
        SettingsError: a value is not of its kind or out of its range.
    """

    def text(name: str, default: str) -> str:
        return environ.get(f"SPINE_{name.upper()}") or default

    runtime = text("runtime", Settings.runtime)
    if runtime not in ("onnx", "torch"):
        raise SettingsError(f"SPINE_RUNTIME is {runtime!r}; use 'onnx' or 'torch'")
    numbers = {
        name: _whole_number(name, text(name, str(getattr(Settings, name))), *limits)
        for name, limits in _RANGES.items()
    }
    return Settings(model=text("model", Settings.model), runtime=cast(Runtime, runtime), **numbers)


def _whole_number(name: str, text: str, lowest: int, highest: int) -> int:
    """Read one number within its range."""
    wanted = f"use a whole number from {lowest} to {highest}"
    if not (text.isascii() and text.isdigit()):
        raise SettingsError(f"SPINE_{name.upper()} is {text!r}; {wanted}")
    if not lowest <= int(text) <= highest:
        raise SettingsError(f"SPINE_{name.upper()} is {text}; {wanted}")
    return int(text)


@cache
def settings() -> Settings:
    """The settings of this process."""
    return read_settings(os.environ)
