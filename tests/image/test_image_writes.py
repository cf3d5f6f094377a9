"""A container writes below /tmp alone, and compiles nothing that the image could hold."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from tests.dicom_files import encapsulated
from tests.image.conftest import Start
from tests.image.containers import ONE_WORKER, Container, run_in_image
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
from tests.security.load.load import post, statuses
from tests.security.load.request_mix import valid

pytestmark = pytest.mark.image

# What a decoder process imports; its output goes nowhere.
DECODERS = "preprocessing.decoding.child, preprocessing.decoding.decoders"
# `python -v` names a cached file in quotes, and a source that it had to compile without.
_COMPILED = re.compile(r"^# code object from (?!')(.*)$", re.MULTILINE)
_CACHED = re.compile(r"^# code object from '(.*)\.pyc'$", re.MULTILINE)


async def test_on_a_writable_root_it_writes_below_tmp_alone(start: Start, phantom: bytes) -> None:
    limits = replace(ONE_WORKER, has_tmp=False, options=())
    made = await asyncio.to_thread(start, limits, PYTHONVERBOSE="1")
    await _send_all_sorts(made, phantom)
    assert made.inspect()["HostConfig"]["ReadonlyRootfs"] is False
    changed = made.changed_files()
    assert "/tmp" in changed  # noqa: S108  # or nothing was looked at
    assert [path for path in changed if path != "/tmp" and not path.startswith("/tmp/")] == []  # noqa: S108
    # The same container shows what its processes had to compile.
    _assert_all_cached(made.logs())


async def test_on_a_read_only_root_it_changes_nothing(
    two_workers: Container, phantom: bytes
) -> None:
    await _send_all_sorts(two_workers, phantom)
    assert two_workers.changed_files() == []


async def _send_all_sorts(made: Container, phantom: bytes) -> None:
    """Send requests that leave something in memory, in buffers, in the decoder process."""
    files = [encapsulated(RAMP, syntax, [frame]) for syntax, frame in LOSSLESS.values()]
    requests = [request for request, _ in valid(phantom, files[0])]
    for request in [*requests, *map(post, files)]:
        assert statuses([await made.ask(request)]) == {200: 1}


def test_the_decoders_are_not_compiled_at_each_start(image: str) -> None:
    _assert_all_cached(run_in_image("sh", "-c", f"python -v -c 'import {DECODERS}' 2>&1"))


def _assert_all_cached(log: str) -> None:
    assert len(_CACHED.findall(log)) > 50
    assert sorted(set(_COMPILED.findall(log))) == []
