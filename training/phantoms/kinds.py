"""Name what can be wrong with a phantom; apart from the drawing, so that --help stays quick."""

from __future__ import annotations

FINDINGS = ("lesion", "fracture", "disc", "herniation", "oedema", "cord")
FAULTS = ("spike", "ghosting", "motion", "void", "noise")
TRUTH_FILE = "truth.csv"  # what `phantom` writes beside its images
KINDS = (*FINDINGS, *FAULTS, "axial")
