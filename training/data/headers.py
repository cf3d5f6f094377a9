"""Read the headers of files before any pixels: whose each frame is, and whether it is left out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from sys import intern

from preprocessing import ImageError, ImageFile, SliceFacts, open_image
from preprocessing.dicom import tags, values
from training.data.files import InputFile
from training.data.in_order import THREADS, in_order
from training.data.patients import Identity, same_text

UNREADABLE = "unreadable_file"


@dataclass(frozen=True)
class Source:
    """One image's origin.

    Args:
        path: relative to what the user named.
        frame: counted from 1.
        group: its patient's key.
        series: its series' key; the same in no other patient.
        sop_hash: salted hash of SOPInstanceUID and frame: identifies an image without naming it.
        facts: what the header says, without identifiers and free text.
    """

    path: str
    frame: int
    group: str = field(repr=False)
    series: str = field(repr=False)
    sop_hash: str
    facts: SliceFacts


@dataclass(frozen=True)
class LeftOut:
    """A frame that is not a plain slice by its header, and why."""

    path: str
    frame: int
    reason: str


@dataclass(frozen=True)
class FileHeader:
    """What the header of one file says.

    Args:
        file: where it is.
        sha256: of its content; empty if it cannot be read.
        code: why it was refused; empty if it was not.
        identity: whose it is; None if it was refused.
        sources: the frames to decode; their patient is not known yet.
        left_out: the other frames.
    """

    file: InputFile
    sha256: str = ""
    code: str = ""
    identity: Identity | None = None
    sources: tuple[Source, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def read_headers(files: Sequence[InputFile], salt: str, *, all_kinds: bool) -> list[FileHeader]:
    """Read the headers of files, in their order.

    Args:
        files: to read.
        salt: of the hashes that replace SOPInstanceUIDs.
        all_kinds: leave out no frame for what its header says that it is.
    """
    # Thousands of frames share a few sets of facts.
    shared: dict[SliceFacts, SliceFacts] = {}

    def with_shared(source: Source) -> Source:
        return replace(source, facts=shared.setdefault(source.facts, source.facts))

    with ThreadPoolExecutor(THREADS) as pool:
        found = in_order(pool, lambda file: _read(file, salt, all_kinds), files)
        return [
            replace(header, sources=tuple(map(with_shared, header.sources))) for header in found
        ]


def _read(file: InputFile, salt: str, all_kinds: bool) -> FileHeader:
    try:
        content = file.path.read_bytes()
    except OSError:
        return FileHeader(file, code=UNREADABLE)
    header = FileHeader(file, hashlib.sha256(content).hexdigest())
    try:
        image = open_image(content)
    except ImageError as error:
        return replace(header, code=error.code)
    sources, left_out = [], []
    for number in range(1, image.layout.frames + 1):
        facts = image.facts(number)
        if facts.other_kind and not all_kinds:
            left_out.append(LeftOut(file.name, number, facts.other_kind))
        else:
            sources.append(_source(file, number, facts, salt))
    return replace(
        header,
        identity=_identity(file, image),
        sources=tuple(sources),
        left_out=tuple(left_out),
    )


def _identity(file: InputFile, image: ImageFile) -> Identity:
    ds = image.header.values
    folders = PurePosixPath(file.name).parts[:-1]
    return Identity(
        patient_id=intern(same_text(values.text(ds, tags.PATIENT_ID))),
        issuer=intern(same_text(values.text(ds, tags.ISSUER_OF_PATIENT_ID))),
        study=intern(same_text(values.text(ds, tags.STUDY_INSTANCE_UID))),
        folder="/".join((file.base, *folders[:1])),
        path=PurePosixPath(file.path.absolute()),
    )


def _source(file: InputFile, number: int, facts: SliceFacts, salt: str) -> Source:
    series = facts.series_instance_uid
    image = f"{salt}/{facts.sop_instance_uid or file.name}/{number}"
    return Source(
        path=file.name,
        frame=number,
        group="",
        series=f"series:{series}" if series else f"series:{file.base}/{file.name}",
        sop_hash=hashlib.sha256(image.encode()).hexdigest()[:16],
        facts=replace(
            facts,
            patient_id=None,
            study_instance_uid=None,
            series_instance_uid=None,
            sop_instance_uid=None,
            series_description=None,
        ),
    )
