"""Name what can be wrong with a phantom; apart from the drawing, so that --help is quick."""

from __future__ import annotations

FINDINGS = ("lesion", "fracture", "disc", "herniation", "oedema", "cord")
FAULTS = ("spike", "ghosting", "motion", "void", "noise")
KINDS = (*FINDINGS, *FAULTS, "axial")
