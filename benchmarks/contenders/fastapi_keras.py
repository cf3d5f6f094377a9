"""The original's design: FastAPI around `model.predict` of a Keras autoencoder at 256 x 256.

Its architecture (32-64-128 channels, 332,801 parameters), its min-max scaling and its squashing to
a square, rebuilt; the weights are random, since only the cost is measured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, UploadFile
from PIL import Image
from pydicom import dcmread

SIDE = 256
N_PARAMETERS = 332_801


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = autoencoder()
    score(app.state.model, np.zeros((1, SIDE, SIDE, 1), np.float32))  # traces the graph
    yield


app = FastAPI(lifespan=_lifespan)


@app.get("/readyz")
def readyz() -> str:
    """Answer once the model is built."""
    return "ready"


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, float | bool]:
    """Score one DICOM file on the event loop: one at a time, as `model.predict` wants it."""
    pixels = dcmread(file.file).pixel_array.astype(np.float32)
    pixels = (pixels - pixels.min()) / max(float(np.ptp(pixels)), 1e-8)
    squashed = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    mse = score(app.state.model, np.asarray(squashed)[None, :, :, None])
    return {"reconstruction_mse": mse, "is_anomaly": mse > 0.02}


def score(model: Any, x: np.ndarray) -> float:
    """Rebuild a slice [1, S, S, 1] and return the mean squared error."""
    return float(np.mean((model.predict(x, verbose=0) - x) ** 2))


def autoencoder() -> Any:
    """Build the network of the original; weights are random."""
    from keras import Sequential, layers

    def convolution(channels: int) -> Any:
        return layers.Conv2D(channels, 3, padding="same", activation="relu")

    model = Sequential([layers.Input((SIDE, SIDE, 1))])
    for channels in (32, 64, 128):
        model.add(convolution(channels))
        model.add(layers.MaxPooling2D(2))
    for channels in (128, 64, 32):
        model.add(convolution(channels))
        model.add(layers.UpSampling2D(2))
    model.add(layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    if model.count_params() != N_PARAMETERS:
        raise ValueError(f"the network has {model.count_params()} parameters, not {N_PARAMETERS}")
    return model
