"""List every image that cleaning touched, with the reason: audit.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from training.cleaning.outliers import JOINT, BoolArray, IndexArray, Members
from training.cleaning.rca import Round
from training.data.headers import Source
from training.writing import write_csv

AUDIT_TABLE = "audit.csv"
REMOVED, RETURNED = "removed", "returned"
KEPT_BY_PERSON, DROPPED_BY_PERSON = "kept by a person", "dropped by a person"


@dataclass(frozen=True)
class AuditRow:
    """One image that was quarantined, for a time or until the end, or that a person decided about.

    Args:
        path: of its file, relative to the folder that was named.
        frame: from 1.
        sop_hash: salted hash of its SOPInstanceUID.
        state: removed, returned, kept by a person, dropped by a person.
        round: in which it was first quarantined, from 1; 0 if it never was.
        fold: whose network scored it, from 0.
        channel: the one with the highest z, in the last round that quarantined the image.
        z: that robust z, rounded; empty in the plain loop.
        judged_as: image or series, whichever has this z.
        reconstruction_mse: by the last round's network.
        history: one letter per round: Q in quarantine, K kept.
        decision: empty; a person writes keep or drop and hands the file back as overrides.csv.
        index: in the arrays of the cleaning; not in the file.
    """

    path: str
    frame: int
    sop_hash: str
    state: str
    round: int
    fold: int
    channel: str
    z: float | None
    judged_as: str
    reconstruction_mse: float
    history: str
    decision: str
    index: int


def audit_rows(
    sources: Sequence[Source],
    rounds: Sequence[Round],
    members: Members,
    channels: Sequence[str],
) -> list[AuditRow]:
    """Collect what happened to the images, the worst first.

    Args:
        sources: of the images that were cleaned, [N].
        rounds: of the cleaning.
        members: folds and human decisions.
        channels: names of the scores' columns.
    """
    if not rounds:
        return []
    quarantined = np.stack([~done.keep for done in rounds])
    touched = np.flatnonzero(quarantined.any(axis=0) | (members.human_decision != 0))
    reasons = [_reasons(done, touched, channels) for done in rounds]
    rows = []
    for place, index in enumerate(touched.tolist()):
        in_quarantine = quarantined[:, index]
        ever = np.flatnonzero(in_quarantine)
        # An image that came back is listed with the reason for which it was quarantined.
        reason = reasons[int(ever[-1]) if len(ever) else -1][place]
        error = float(rounds[-1].scores[index, 0])
        rows.append(_row(index, sources[index], in_quarantine, members, reason, error))
    return sorted(rows, key=lambda row: (-(row.z or 0.0), -row.reconstruction_mse, row.index))


def write_audit(path: Path, rows: Sequence[AuditRow]) -> None:
    """Write audit.csv."""
    columns = [field.name for field in fields(AuditRow) if field.name != "index"]
    write_csv(
        path,
        columns,
        (["" if (v := getattr(row, name)) is None else v for name in columns] for row in rows),
    )


def count_changes(rounds: Sequence[Round]) -> list[dict[str, int]]:
    """Count what each round newly quarantined, what came back, and what is in quarantine."""
    counts, before = [], np.ones(len(rounds[0].keep) if rounds else 0, dtype=bool)
    for number, done in enumerate(rounds, 1):
        counts.append(
            {
                "round": number,
                "quarantined": int((before & ~done.keep).sum()),
                "returned": int((~before & done.keep).sum()),
                "in_quarantine": int((~done.keep).sum()),
            }
        )
        before = done.keep
    return counts


def _reasons(
    done: Round, touched: IndexArray, channels: Sequence[str]
) -> list[tuple[str, float | None, str]]:
    """Return the channel with the highest z of some images, this z, and whose it is."""
    if done.z is None:
        return [(channels[0], None, "image")] * len(touched)
    names = (*channels, JOINT)
    return [
        (names[channel], round(z, 3), "series" if by_series else "image")
        for channel, z, by_series in zip(
            done.z.channel()[touched].tolist(),
            done.z.highest()[touched].tolist(),
            done.z.is_by_series()[touched].tolist(),
            strict=True,
        )
    ]


def _row(
    index: int,
    source: Source,
    quarantined: BoolArray,
    members: Members,
    reason: tuple[str, float | None, str],
    error: float,
) -> AuditRow:
    channel, z, judged_as = reason
    state = REMOVED if quarantined[-1] else RETURNED
    return AuditRow(
        path=source.path,
        frame=source.frame,
        sop_hash=source.sop_hash,
        state={1: KEPT_BY_PERSON, -1: DROPPED_BY_PERSON}.get(
            int(members.human_decision[index]), state
        ),
        round=int(np.argmax(quarantined)) + 1 if quarantined.any() else 0,
        fold=int(members.fold[index]),
        channel=channel,
        z=z,
        judged_as=judged_as,
        reconstruction_mse=float(f"{error:.6g}"),
        history="".join("Q" if q else "K" for q in quarantined),
        decision="",
        index=index,
    )
