"""SECURITY.md lists the native decoders that are linked, with their versions."""

from __future__ import annotations

import re
from importlib.metadata import version

import imagecodecs

from tests.measured import Report
from tests.root import ROOT


def linked() -> dict[str, str]:
    """Name -> version, as each library states it."""
    names = {"libjpeg_turbo": "libjpeg-turbo", "charls": "CharLS", "openjpeg": "OpenJPEG"}
    stated = [
        imagecodecs.jpeg8_version(),
        imagecodecs.jpegls_version(),
        imagecodecs.jpeg2k_version(),
    ]
    found = {}
    for each in stated:
        name, _, number = each.partition(" ")
        found[names[name]] = number.partition("/")[0]
    return found | {"pylibjpeg-rle (Rust)": version("pylibjpeg-rle")}


def test_the_linked_decoders_are_those_of_the_table(report: Report) -> None:
    section = (ROOT / "SECURITY.md").read_text().partition("## The decoders")[2].partition("## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| [^|]+ \| ([^|]+) \|$", section, re.MULTILINE)
    report(", ".join(f"{name} {number}" for name, number in linked().items()))
    assert {name: number for name, number, _ in rows} == linked()
    bundle = {source for *_, source in rows} - {"itself"}
    assert bundle == {f"imagecodecs {version('imagecodecs')}"}
