"""Write the phantoms of samples/: one spine three times; python -m training.phantoms.samples."""

from __future__ import annotations

from pathlib import Path

import click

# Chosen by eye: T2, with a ghost and a lesion that a reader sees.
SEED, INDEX = 13, 4
# Name of the file -> what is wrong with it.
SAMPLES = {"usual": "none", "ghosted": "ghosting", "lesion": "lesion"}


def sample_bytes(name: str) -> bytes:
    """Make the DICOM file of a sample; the same on every machine but for rounding."""
    from training.phantoms.phantom import make_phantom, phantom_bytes

    return phantom_bytes(make_phantom(SEED, INDEX, SAMPLES[name]), SEED, INDEX)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
def main(out: Path) -> None:
    """Write the samples into the folder OUT.

    Example: python -m training.phantoms.samples samples
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        (out / f"{name}.dcm").write_bytes(sample_bytes(name))


if __name__ == "__main__":
    main()
