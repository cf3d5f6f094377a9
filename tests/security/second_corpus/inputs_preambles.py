"""Preambles that are programs, and those that are not (line 10 of issue 14)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.security.files.corpus_files import (
    EXPLICIT,
    encode,
    part10,
)
from tests.security.second_corpus.inputs import (
    Build,
    Input,
    elements,
    mr,
)


def cases() -> Iterator[Input]:
    """List them."""
    for name, start in PROGRAMS.items():
        build: Build = partial(_opened, start)
        yield Input(10, f"preamble: {name}", build, frozenset({"error"}))
    for name, start in HONEST.items():
        build = partial(_opened, start)
        yield Input(10, f"preamble: {name} stays", build, in_scope=True, same_as=mr)


PROGRAMS = {
    "PE": b"MZ\x90\0",
    "ELF": b"\x7fELF\2\1\1",
    "Mach-O 32, big": b"\xfe\xed\xfa\xce",
    "Mach-O 32, little": b"\xce\xfa\xed\xfe",
    "Mach-O 64, big": b"\xfe\xed\xfa\xcf",
    "Mach-O 64, little": b"\xcf\xfa\xed\xfe",
    "Mach-O fat, big": b"\xca\xfe\xba\xbe\0\0\0\2",
    "Mach-O fat, little": b"\xbe\xba\xfe\xca\2\0\0\0",
    "Mach-O fat 64, big": b"\xca\xfe\xba\xbf\0\0\0\2",
    "Mach-O fat 64, little": b"\xbf\xba\xfe\xca\2\0\0\0",
    "Java": b"\xca\xfe\xba\xbe\0\0\0\x41",
    "shell": b"#!/bin/sh\nid\n",
    "shell behind a mark": b"\xef\xbb\xbf#!/bin/sh\n",
    "PHP": b"<?php system($_GET[0]);?>",
    "PHP in capitals": b"<?PHP system(1);?>",
    "short PHP": b"<?=`id`?>",
    "batch": b"@echo off\r\ncalc\r\n",
    "batch in capitals": b"@ECHO OFF\r\n",
    "batch, rem": b"rem x\r\ncalc\r\n",
    "a script of HTML": b"<script>alert(1)</script>",
    "HTML": b"<html><body onload=x>",
    "HTA": b"<HTA:APPLICATION>",
    "SVG": b"<svg onload=alert(1)>",
    "ZIP": b"PK\3\4\x14\0",
    "PDF": b"%PDF-1.7\n",
    "PostScript": b"%!PS-Adobe",
    "wasm": b"\0asm\1\0\0\0",
    "Lua": b"\x1bLua\x54",
    "LLVM": b"BC\xc0\xde",
    "Dalvik": b"dex\n035\0",
    "Python's bytecode": b"\xa7\r\r\n",
    "a COM program": b"\xeb\x3c\x90",
    "RTF": b"{\\rtf1",
    "a shortcut": b"L\0\0\0\1\x14\2\0",
    "a cabinet": b"MSCF\0\0\0\0",
    "an OLE document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "zeros, then PHP": bytes(64) + b"<?php system(1);?>",
    "zeros, then a shell": bytes(100) + b"\n#!/bin/sh\nid\n",
    "a blank, then PHP": b" <?php system(1);?>",
    "lines, then batch": b"\r\n\r\n@echo off\r\n",
}
HONEST = {
    "zeros": b"",
    "TIFF, little": b"II*\0\x8c\0\0\0",
    "TIFF, big": b"MM\0*\0\0\0\x8c",
    "BigTIFF, little": b"II+\0\x08\0\0\0\x90" + bytes(7),
    "BigTIFF, big": b"MM\0+\0\x08\0\0" + bytes(7) + b"\x90",
}


def _opened(preamble: bytes) -> bytes:
    return part10(encode(elements()), EXPLICIT, preamble)
