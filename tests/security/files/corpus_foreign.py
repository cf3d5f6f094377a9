"""Bytes that are not DICOM, programs in the preamble, and unsupported transfer syntaxes."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial

import jpeg_ls
import numpy as np
from openjpeg.utils import encode_array as encode_jpeg_2000
from pydicom._uid_dict import UID_dictionary

from preprocessing.transfer_syntaxes import COMPRESSED
from preprocessing.transfer_syntaxes import NATIVE as NATIVE_SYNTAXES
from tests.security.files.corpus import Build, Case
from tests.security.files.corpus_files import (
    EXPLICIT,
    MARKER,
    STORAGE,
    Pixels,
    encapsulated,
    encode,
    mr_elements,
    native,
    part10,
)
from tests.security.files.corpus_valid import picture

Refusal = tuple[str, Build, str]
_PROGRAMS = {
    "PE": b"MZ\x90\0\x03",
    "ELF": b"\x7fELF\x02\x01\x01",
    "Mach-O": b"\xcf\xfa\xed\xfe",
    "Mach-O of 32 bit": b"\xce\xfa\xed\xfe",
    "Mach-O, big endian": b"\xfe\xed\xfa\xcf",
    "Mach-O of 32 bit, big endian": b"\xfe\xed\xfa\xce",
    "universal Mach-O": b"\xca\xfe\xba\xbe",
    "universal Mach-O, little endian": b"\xbe\xba\xfe\xca",
    "universal Mach-O of 64 bit": b"\xca\xfe\xba\xbf\0\0\0\1",
    "universal Mach-O of 64 bit, little endian": b"\xbf\xba\xfe\xca",
    "COFF object": b"\x64\x86\3\0",
    "a.out": b"\x07\x01\x64\0",
    "XCOFF": b"\x01\xf7\0\4",
    "Windows shortcut": b"L\0\0\0\1\x14\2\0",
    "compound document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "jump of a COM program": b"\xeb\x3c\x90",
    "shell script": b"#!/bin/sh\nid\n#",
    "shell script without #!": b"id;exit\n",
    "batch file": b"@echo off\r\ndir\r\n",
    "batch file in capitals": b"@ECHO OFF\r\nREM ",
    "PowerShell script": b"Write-Output 1\n<#",
    "Visual Basic script": b"WScript.Echo 1\n'",
    "script of a web page": b"<script>alert(1)</script>",
    "HTML application": b"<HTA:APPLICATION>",
    "LLVM bitcode": b"BC\xc0\xde",
    "Lua program": b"\x1bLua",
    "Python program": b"\xa7\r\r\n",
    "WebAssembly module": b"\0asm\1\0\0\0",
    "Android program": b"dex\n035\0",
    "PHP script": b"<?php system($_GET[0]);",
    "PHP script, short": b"<?=`$_GET[0]`?>",
    "PHP script, shortest": b"<? system(1);",
    "PHP script in capitals": b"<?PHP system(1);",
    "PHP script after a TIFF header": b"II*\0\x08\0\0\0" + b"\0" * 8 + b"<?php system(1);",
    "PHP script after zeros": b"\0" * 16 + b"<?php system(1);",
    "batch file after a line": b"\r\n@echo off\r\n",
    "script after a byte order mark": b"\xef\xbb\xbf#!/bin/sh\n",
    "Python script": b"#!/usr/bin/env python3\n",
    "PDF": b"%PDF-1.7\n",
    "Java archive": b"PK\x03\x04\x14\0",
    "GIF that is a script": b"GIF89a=1;alert(1)//",
    "gzip archive": b"\x1f\x8b\x08",
    "name": (MARKER * 12).encode(),
    "cabinet": b"MSCF\0\0\0\0",
    "blank and a program": b" MZ",
    "random program": bytes(range(1, 129)),
}


def cases(seed: int) -> Iterator[Case]:
    """List them."""
    pixels = picture(seed).astype(np.uint16)
    for made in (_programs, _syntaxes, _foreign):
        for name, build, code in made(pixels):
            yield Case("refused", name, build, frozenset({code}))


def _programs(pixels: Pixels) -> Iterator[Refusal]:
    data_set = encode(mr_elements(pixels))
    for name, magic in _PROGRAMS.items():
        yield (
            f"preamble of a {name}",
            partial(part10, data_set, preamble=magic),
            "executable_preamble",
        )


def _syntaxes(pixels: Pixels) -> Iterator[Refusal]:
    code = "unsupported_transfer_syntax"
    known = [uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"]
    for uid in known:
        if uid not in COMPRESSED | NATIVE_SYNTAXES:
            yield f"transfer syntax {uid}", partial(encapsulated, pixels, uid, [b"\0\0"]), code
    data_set = encode(mr_elements(pixels))
    named: dict[str, str | bytes] = {
        "in letters": MARKER,
        "of another root": "1.2.3.4",
        "of GE": "1.2.840.113619.5.2",
        "of Papyrus": "1.2.840.10008.1.20",
        "of 5000 digits": "1." + "2" * 4998,
        "of bytes": b"\xff\xfe\0\1",
        "that is a SOP class": STORAGE + "4",
        "with a digit more": EXPLICIT + "1",
    }
    for name, syntax in named.items():
        yield f"transfer syntax {name}", partial(part10, data_set, syntax), code


def _foreign(pixels: Pixels) -> Iterator[Refusal]:
    """What people send by mistake, with real contents where a few lines make them."""
    data = native(pixels)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo(f"{MARKER}.dcm"), data)
    array = io.BytesIO()
    np.save(array, pixels)
    ihdr = struct.pack(">LLBBBBB", 96, 80, 8, 0, 0, 0, 0)
    chunk = struct.pack(">L", 13) + b"IHDR" + ihdr + struct.pack(">L", zlib.crc32(b"IHDR" + ihdr))
    foreign: dict[str, bytes] = {
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk + b"\0" * 500,
        "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\0" * 500,
        "JPEG 2000 codestream": encode_jpeg_2000(pixels),
        "JPEG-LS codestream": bytes(jpeg_ls.encode_array(pixels)),
        "JP2": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 100,
        "GIF": b"GIF89a" + b"\0" * 100,
        "BMP": b"BM" + b"\0" * 100,
        "TIFF": b"II*\0\x08\0\0\0" + b"\0" * 100,
        "WebP": b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 100,
        "ZIP": archive.getvalue(),
        "gzip": gzip.compress(data, mtime=0),
        "zlib": zlib.compress(data),
        "bzip2": b"BZh91AY&SY" + b"\0" * 100,
        "xz": b"\xfd7zXZ\0" + b"\0" * 100,
        "7z": b"7z\xbc\xaf\x27\x1c" + b"\0" * 100,
        "zstd": b"\x28\xb5\x2f\xfd" + b"\0" * 100,
        "RAR": b"Rar!\x1a\x07\x01\0" + b"\0" * 100,
        "tar": f"{MARKER}.dcm".encode().ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 500,
        "PDF": b"%PDF-1.7\n" + MARKER.encode() * 20,
        "ELF": b"\x7fELF\x02\x01\x01" + b"\0" * 200,
        "PE": b"MZ\x90\0" + b"\0" * 200,
        "WebAssembly": b"\0asm\1\0\0\0" + b"\0" * 100,
        "script": b"#!/bin/sh\nrm -rf /\n",
        "pickle": pickle.dumps({"patient": MARKER}),
        "old pickle": pickle.dumps([MARKER], protocol=0),
        "pickle that calls": b"cos\nsystem\n(S'touch marker'\ntR.",
        "NumPy": array.getvalue(),
        "HDF5": b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
        "NIfTI": struct.pack("<l", 348) + b"\0" * 340 + b"n+1\0" + b"\0" * 100,
        "NRRD": b"NRRD0005\n# " + MARKER.encode(),
        "JSON": json.dumps({"00100010": {"vr": "PN", "Value": [MARKER]}}).encode(),
        "XML": f'<?xml version="1.0"?><patient>{MARKER}</patient>'.encode(),
        "XML with an entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "HTML": f"<!doctype html><title>{MARKER}</title>".encode(),
        "CSV": f"name,id\n{MARKER},1\n".encode(),
        "text": (MARKER + " was here\n").encode() * 50,
        "URL": b"http://127.0.0.1:9/slice.dcm",
        "file URL": b"file:///etc/passwd",
        "UTF-16 text": MARKER.encode("utf-16"),
        "zeros": b"\0" * 2000,
        "0xFF": b"\xff" * 2000,
        "a megabyte of zeros": b"\0" * 1_000_000,
        "128 bytes": b"\0" * 128,
        "preamble without prefix": b"\0" * 128 + encode(mr_elements(pixels)),
        "prefix in lower case": b"\0" * 128 + b"dicm" + data[132:],
        "prefix one byte late": b"\0" + data,
        "prefix one byte early": data[1:],
    }
    for length in range(1, 8):
        foreign[f"{length} bytes"] = b"\x08\0\x05\0CS\x0a\0"[:length]
    for name, content in foreign.items():
        yield f"foreign: {name}", partial(bytes, content), "not_dicom"
    yield "foreign: nothing", bytes, "empty_file"
