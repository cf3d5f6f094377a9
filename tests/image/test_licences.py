"""What serving installs is what its lock names, and nothing of it is under the GPL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.image.distributions import Distribution, installed
from tests.image.licences import faults, locked

HARMLESS = Distribution("harmless", "1.0", ["MIT"], [], 0)


@pytest.fixture(scope="module")
def serving() -> list[Distribution]:
    """What is installed here of the lock of serving."""
    wanted = locked()
    return [each for each in installed() if each.name in wanted]


def test_the_lock_of_serving_is_installed_at_its_versions(serving: list[Distribution]) -> None:
    assert {each.name: each.version for each in serving} == locked()


def test_nothing_of_it_is_under_the_gpl(serving: list[Distribution]) -> None:
    assert faults(serving) == []


def test_nothing_of_it_needs_torch_or_a_decoder_under_the_gpl(serving: list[Distribution]) -> None:
    assert {"torch", "pylibjpeg", "pylibjpeg-libjpeg"}.isdisjoint(each.name for each in serving)


@pytest.mark.parametrize(
    ("licences", "fault"),
    [
        (["MIT"], []),
        (["Apache-2.0 OR BSD-2-Clause"], []),
        (["License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"], []),
        (["GPL-3.0-only"], ["harmless is under GPL-3.0-only"]),
        (["LGPLv2+"], ["harmless is under LGPLv2+"]),
        (["MIT", "AGPL"], ["harmless is under MIT / AGPL"]),
        (
            ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"],
            ["harmless is under License :: OSI Approved :: GNU General Public License v3 (GPLv3)"],
        ),
        (["Proprietary"], ["harmless declares as its licence: Proprietary"]),
        ([], ["harmless declares as its licence: nothing"]),
    ],
)
def test_a_copyleft_and_an_unknown_licence_are_found(licences: list[str], fault: list[str]) -> None:
    assert faults([replace(HARMLESS, licences=licences)]) == fault


def test_a_part_under_the_gpl_is_found_unless_its_reason_is_listed() -> None:
    part = "GPL-3.0-or-later WITH GCC-exception-3.1"
    assert faults([replace(HARMLESS, name="numpy", bundled=[part, "MIT"])]) == []
    found = faults([replace(HARMLESS, bundled=[part])])
    assert found == [f"harmless bundles a part under {part}"]


def test_a_licence_text_that_was_left_out_is_found() -> None:
    assert faults([replace(HARMLESS, n_missing=1)]) == ["harmless lacks 1 of its licence files"]
