"""Look for bytes that break the reading of files, guided by coverage; see `--help`.

A coverage-guided fuzzer (atheris, libFuzzer) changes small valid files, in every transfer syntax,
and keeps what reaches new lines of preprocessing/. Anything but slices or an ImageError is a find:
another exception, a value that is not finite, more than TIMEOUT_S or RSS_LIMIT_MB.
"""

from __future__ import annotations

import base64
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import click

TIMEOUT_S = 10  # for one input; a compressed frame may compute 0.4 s, and its process start again
RSS_LIMIT_MB = 1024
LARGEST_INPUT = 16_384
LARGEST_SEED = 2_500  # the larger an input, the longer a change takes to hit what matters
# What byte changes alone seldom hit (PS3.5 7.5, A.4): delimiters, undefined length, VRs, syntaxes.
WORDS = [
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"\xff\xff\xff\xff",
    b"\xe0\x7f\x10\x00",
    b"\xe0\x7f\x08\x00",
    b"\x00\x52\x30\x92",
    b"\x28\x00\x08\x00IS",
    b"\xff\xd8\xff\xf7",
    b"\xff\x4f\xff\x51",
    b"SQ\x00\x00",
    b"UN\x00\x00",
    b"OW\x00\x00",
    b"OB\x00\x00",
    b"US\x02\x00",
    b"DS",
    b"1.2.840.10008.1.2\x00",
    b"1.2.840.10008.1.2.1\x00",
    b"1.2.840.10008.1.2.2\x00",
    b"1.2.840.10008.1.2.1.99",
    b"1.2.840.10008.1.2.5\x00",
    b"1.2.840.10008.1.2.4.80",
    b"1.2.840.10008.1.2.4.90",
    b"nan",
    b"-inf",
    b"1e308",
]


def seeds() -> list[bytes]:
    """Small files: each transfer syntax, several frames, floats, sequences, and of the corpus."""
    import numpy as np
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    from tests.dicom_files import NATIVE, encapsulated, make_dicom
    from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
    from tests.security.files.corpus import cases

    measures = Dataset()
    measures.PixelSpacing = [0.5, 0.6]
    rescale = Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = "2", "-1"
    group = Dataset()
    group.PixelMeasuresSequence = Sequence([measures])
    group.PixelValueTransformationSequence = Sequence([rescale])
    files = [make_dicom(RAMP, syntax, RescaleSlope="2.5") for syntax in NATIVE.values()]
    files += [encapsulated(RAMP, syntax, [frame]) for syntax, frame in LOSSLESS.values()]
    files += [
        make_dicom(RAMP.astype(np.float32)),
        make_dicom(
            np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=Sequence([group, group])
        ),
        make_dicom(RAMP.astype(np.int16), PixelPaddingValue=0, PixelRepresentation=1),
        make_dicom((RAMP >> 4).astype(np.uint8), PhotometricInterpretation="MONOCHROME1"),
        make_dicom(RAMP)[128:],
    ]
    small = (case.build() for case in cases() if not case.is_expensive and not case.same_as)
    files += [data for data in small if len(data) <= LARGEST_SEED]
    return list(dict.fromkeys(files))


def fuzz(arguments: list[str]) -> None:
    """Run the fuzzer, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["preprocessing"], enable_loader_override=False):
        from tests.preprocessing.properties import assert_slices_or_error
    atheris.Setup(["fuzz_read_image", *arguments], assert_slices_or_error)
    atheris.Fuzz()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", default=60, show_default=True, help="How long to look.")
@click.option("--seed", default=1, show_default=True, help="Of the changes.")
@click.option(
    "--input", "again", metavar="BASE64", help="Read this input once, as printed by a find."
)
def main(seconds: int, seed: int, again: str | None) -> None:
    """Fuzz read_frames and to_input; exit 1 and print the input when one breaks them.

    Example: python -m tests.security.files.fuzz_read_image --seconds 600
    """
    if again is not None:
        from tests.preprocessing.properties import assert_slices_or_error

        assert_slices_or_error(base64.b64decode(again))
        return
    if importlib.util.find_spec("atheris") is None:
        raise click.ClickException("the fuzzer atheris is missing; it runs on Linux, x86_64")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        for number, file in enumerate(seeds()):
            (folder / "corpus" / f"seed-{number:04}").write_bytes(file)
        words = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS)
        (folder / "words").write_text("".join(f'"{word}"\n' for word in words))
        done = subprocess.run(  # noqa: S603 - ourselves
            [
                sys.executable,
                *(
                    "-c",
                    "import sys; from tests.security.files.fuzz_read_image import fuzz;"
                    " fuzz(sys.argv[1:])",
                ),
                str(folder / "corpus"),
                f"-max_total_time={seconds}",
                f"-seed={seed}",
                f"-timeout={TIMEOUT_S}",
                f"-rss_limit_mb={RSS_LIMIT_MB}",
                f"-max_len={LARGEST_INPUT}",
                f"-dict={folder / 'words'}",
                f"-artifact_prefix={folder}/found-",
                "-print_final_stats=1",
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        lines = done.stderr.splitlines()
        if done.returncode == 0:
            stats = [line for line in lines if line.startswith("stat::number_of_executed_units")]
            n_kept = len(list((folder / "corpus").iterdir()))
            click.echo(f"fuzzed for {seconds} s: {' '.join(stats)}, {n_kept} inputs kept, no find")
            return
        progress = ("#", "INFO:", "MS:", "stat::")
        output = [line for line in lines if line and not line.startswith(progress)]
        click.echo("\n".join(output[-60:]), err=True)
        for found in sorted(folder.glob("found-*")):
            click.echo(f"{found.name}: {base64.b64encode(found.read_bytes()).decode()}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
