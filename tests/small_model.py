"""A model of both networks that is small, whole and untrained, with a made-up calibration."""

from __future__ import annotations

import numpy as np
import torch

from model.calibration.calibration import Calibration
from model.calibration.strata import StratumKey
from model.export import Trained
from model.networks.autoencoder import Autoencoder
from model.networks.detector import Detector
from model.networks.inspector import Inspector
from model.scoring import (
    CHANNELS,
    Outputs,
    extended_features,
    fit_reference,
    reconstruction_mse,
    score,
)
from model.spec import AutoencoderConfig, Decision, InspectorConfig, Provenance
from preprocessing import InputSpec

N_PATIENTS = 24


def small_model(size: int = 64, seed: int = 1) -> Trained:
    """Real in every part, trained on nothing; its usual slices are noise of N_PATIENTS patients."""
    torch.manual_seed(seed)
    detector = Detector(
        Autoencoder(AutoencoderConfig(size=size // 2, channels=(4, 8, 16), latent=8)),
        Inspector(InspectorConfig(size=size, channels=(4, 8, 16), hidden=8)),
    ).eval()
    x = np.random.default_rng(seed).random((N_PATIENTS, 1, size, size), dtype=np.float32)
    with torch.inference_mode():
        outputs = Outputs(*(o.numpy() for o in detector(torch.from_numpy(x))))
    features = extended_features(outputs, reconstruction_mse(outputs.x_small, outputs.x_hat))
    reference = fit_reference(features, np.zeros(N_PATIENTS, np.int64), shrinkage=0.5)
    scores = score(x, outputs, reference)
    return Trained(
        detector=detector,
        reference=reference,
        calibration=Calibration(
            channels=CHANNELS,
            scores=scores[:, 1 : 1 + len(CHANNELS)],
            patients=np.arange(N_PATIENTS),
            kinds=(StratumKey("T2", "sagittal", "lumbar", "2D"),),
            kind=np.zeros(N_PATIENTS, np.int64),
            alarm_rate=0.05,
        ),
        input_spec=InputSpec(size=size),
        decision=Decision(threshold=0.05, percentile=95, n_images=20, n_patients=10),
        provenance=Provenance(
            data="noise",
            command="pytest",
            seed=seed,
            n_images=20,
            n_patients=10,
            n_removed=0,
            epochs=0,
        ),
        golden=x[:2],
    )
