"""Draw a slice, its reconstruction and its anomaly map: the picture in the README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from model.runtime import LoadedModel


def draw_example(model: LoadedModel, path: Path, seed: int = 6, kind: str = "void") -> None:
    """Draw a phantom with a planted anomaly as the model sees it.

    Args:
        model: reconstructs it.
        path: of the PNG.
        seed: of the phantom.
        kind: of the anomaly.
    """
    from model.scoring import anomaly_map, reconstruction_mse
    from preprocessing import to_input
    from training.evaluation.plots import plot_pictures
    from training.phantoms.phantom import phantom_slice

    x = to_input(phantom_slice(seed, 0, kind), model.spec.input)[None]
    outputs = model.compute(x)
    mse = reconstruction_mse(outputs.x_small, outputs.x_hat)[0]
    panels = [
        (f"slice (phantom, {kind})", x[0, 0], "gray"),
        (f"reconstruction, MSE {mse:.3f}", outputs.x_hat[0, 0], "gray"),
        ("anomaly map", anomaly_map(x, outputs)[0, 0], "inferno"),
    ]
    plot_pictures(path, panels, per_row=3, side=3.0)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("tag")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def main(tag: str, path: Path) -> None:
    """Draw a phantom, as the model TAG sees it, into the PNG file PATH.

    Example: python -m training.evaluation.picture spine_autoencoder example.png
    """
    from model.runtime import load_model
    from model.store.find import find_directory

    draw_example(load_model(find_directory(tag)), path)


if __name__ == "__main__":
    main()
