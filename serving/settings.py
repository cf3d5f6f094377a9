"""Read the SPINE_* variables, once and in one place."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Literal, cast

Runtime = Literal["onnx", "torch"]
Access = Literal["open", "key", "closed"]

# As a browser sends it: in lower case, without a path and without the scheme's own port.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


class SettingsError(ValueError):
    """A variable has a value that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """What an operator can change; each field is the variable SPINE_<NAME>.

    Args:
        model: a tag of the BentoML store (name, name:version, name:stage), or the path of a
            .bentomodel file, which has that ending or a slash. A name alone means the version in
            production, else the newest.
        runtime: onnx (no torch, less memory) or torch (the reference, and the GPU).
        max_upload_mb: a body above this is refused; 576 x 576 16-bit slices are 0.7 MB.
        max_pixels: of one frame; the largest MR matrices are 1024 x 1024.
        max_frames: of one object; no more than 30 for each second of the deadline are read. A 3D
            series of the spine has 60 to 250.
        max_batch: two slices share what a run costs (4.2 ms each against 4.9 alone); in threes and
            eights each takes 4.9 again, as if their layers exceeded MALLOC_MMAP_THRESHOLD_.
        queue: slices that may wait for the model; above this the answer is 429.
        concurrency: requests that one worker answers at a time; above this the answer is 429.
        bodies_mb: bodies of up to 4 MB that one worker holds at a time, complete or arriving;
            above this the answer is 429, and above four fifths for a client alone. 64 MB are 170
            ordinary slices. Larger ones wait for one of two places.
        connections: that one worker holds open; above this the answer is 503. A slow client costs
            a few kB, so this is far above `concurrency`.
        decode_threads: decoders release the GIL only in part; more threads than cores are waste.
        head_timeout_s: for a request's head; a slow network needs a fraction of it.
        body_timeout_s: for a request's body; one that takes longer must arrive at 64 kB/s.
        deadline_s: a received request is answered with 504 after this.
        drain_s: between a SIGTERM, at which readiness fails, and the end of listening, so that
            the load balancer sends the next requests elsewhere.
        workers: processes, each with its own copy of the model (150 MB); 0 starts one for each
            core that this process may use, 8 at most, and no more than its memory holds.
        api_key: several, separated by commas; without one everybody may send requests.
        docs: who may read the OpenAPI page: everybody, who has a key, nobody.
        metrics: who may read /metrics: the same.
        rate_per_s: requests a second of one key, or of one address where there are no keys; 0
            does not count. Each worker counts for itself.
        rate_burst: requests that a client may send at once before the rate applies.
        trusted_proxies: addresses or networks whose X-Forwarded-For and -Proto are believed.
        cors_origins: web pages of these origins may send requests (CORS); `*` means any origin.
    """

    model: str = "spine_autoencoder"
    runtime: Runtime = "onnx"
    max_upload_mb: int = 32
    max_pixels: int = 4096 * 4096
    max_frames: int = 300
    max_batch: int = 2
    queue: int = 256
    concurrency: int = 256
    bodies_mb: int = 64
    connections: int = 2048
    decode_threads: int = 2
    head_timeout_s: int = 10
    body_timeout_s: int = 15
    deadline_s: int = 10
    drain_s: int = 2
    workers: int = 0
    api_key: tuple[str, ...] = field(default=(), repr=False)
    docs: Access = "key"
    metrics: Access = "key"
    rate_per_s: int = 0
    rate_burst: int = 20
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()

    @property
    def max_upload_bytes(self) -> int:
        """The size of the largest body that is read."""
        return self.max_upload_mb * 1_000_000

    def __str__(self) -> str:
        """The line that is printed at start; keys are counted, not shown."""
        return " ".join(f"SPINE_{f.name.upper()}={self._shown(f.name)}" for f in fields(self))

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if name == "api_key":
            return f"{len(value)} key{'s' * (len(value) > 1)}" if value else "none"
        return ",".join(value) if isinstance(value, tuple) else str(value)


# Lowest and highest value of each number; the highest catches a wrong unit, not a large machine.
_RANGES = {
    "max_upload_mb": (1, 2048),
    "max_pixels": (1, 1 << 28),
    "max_frames": (1, 100_000),
    "max_batch": (1, 256),
    "queue": (1, 100_000),
    "concurrency": (1, 100_000),
    "bodies_mb": (1, 65_536),
    "connections": (1, 100_000),
    "decode_threads": (1, 64),
    "head_timeout_s": (1, 3600),
    "body_timeout_s": (1, 3600),
    "deadline_s": (1, 3600),
    "drain_s": (0, 60),
    "workers": (0, 256),
    "rate_per_s": (0, 100_000),
    "rate_burst": (1, 100_000),
}
# What a server passes to its workers (model/store/served.py, serving/process/metrics_folder.py).
_INTERNAL = {"SPINE_MODEL_FOLDER", "SPINE_METRICS_FOLDER"}
_CHOICES = {
    "runtime": ("onnx", "torch"),
    "docs": ("open", "key", "closed"),
    "metrics": ("open", "key", "closed"),
}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings from variables; an empty one counts as not set.

    Raises:
        SettingsError: a value is not of its kind or out of its range.
    """

    def text(name: str) -> str:
        return environ.get(f"SPINE_{name.upper()}") or str(getattr(Settings, name))

    numbers = {name: _whole_number(name, text(name), *limits) for name, limits in _RANGES.items()}
    chosen = {name: _choice(name, text(name), choices) for name, choices in _CHOICES.items()}
    return Settings(
        model=text("model"),
        runtime=cast(Runtime, chosen["runtime"]),
        docs=cast(Access, chosen["docs"]),
        metrics=cast(Access, chosen["metrics"]),
        api_key=_keys(environ.get("SPINE_API_KEY", "")),
        trusted_proxies=_networks(environ.get("SPINE_TRUSTED_PROXIES", "")),
        cors_origins=_origins(environ.get("SPINE_CORS_ORIGINS", "")),
        **numbers,
    )


def _whole_number(name: str, text: str, lowest: int, highest: int) -> int:
    """Read one number within its range."""
    wanted = f"use a whole number from {lowest} to {highest}"
    if not (text.isascii() and text.isdigit()):
        raise SettingsError(f"SPINE_{name.upper()} is {text!r}; {wanted}")
    if not lowest <= int(text) <= highest:
        raise SettingsError(f"SPINE_{name.upper()} is {text}; {wanted}")
    return int(text)


def _choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    """Read one word of a few."""
    if text not in choices:
        wanted = ", ".join(map(repr, choices[:-1]))
        raise SettingsError(f"SPINE_{name.upper()} is {text!r}; use {wanted} or {choices[-1]!r}")
    return text


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in map(str.strip, text.split(",")) if part)


def _keys(text: str) -> tuple[str, ...]:
    """Read API keys, which no message ever shows."""
    keys = _split(text)
    if text.strip() and not keys:
        raise SettingsError("SPINE_API_KEY holds no key; name one or several, or leave it unset")
    if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise SettingsError("a key of SPINE_API_KEY holds a blank or is not printable ASCII")
    return keys


def _networks(text: str) -> tuple[str, ...]:
    """Read addresses and networks."""
    networks = _split(text)
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise SettingsError(
                f"SPINE_TRUSTED_PROXIES names {network!r}; use addresses or networks, such as"
                " 10.0.0.0/8"
            ) from error
    return networks


def _origins(text: str) -> tuple[str, ...]:
    """Read origins of web pages, as a browser writes them (RFC 6454, 6.2)."""
    origins = _split(text)
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"SPINE_CORS_ORIGINS names {origin!r}; use origins without a path, such as"
                " https://pacs.example.org, or * for all"
            )
    return origins


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Find the SPINE_ variables that nothing reads.

    Returns:
        Their names, each with the most similar setting, None where none is.
    """
    known = {f"SPINE_{each.name.upper()}" for each in fields(Settings)}
    return {
        name: next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.8)), None)
        for name in sorted(environ)
        if name.startswith("SPINE_") and name not in known | _INTERNAL
    }


@cache
def settings() -> Settings:
    """The settings of this process."""
    return read_settings(os.environ)
