"""The plain path: FastAPI, pydicom, and the released model as a torch module, eager."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, UploadFile
from pydicom import Dataset, dcmread

from benchmarks.contenders.answers import Answer, answer
from model.runtime import LoadedModel, load_model
from model.store.served import choose_served
from preprocessing import Slice, SliceFacts, to_input
from serving.settings import settings


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = load_model(choose_served(settings().model).folder, "torch")
    yield


app = FastAPI(lifespan=_lifespan)


@app.get("/readyz")
def readyz() -> str:
    """Answer once the model is loaded."""
    return "ready"


@app.post("/predict")
def predict(file: UploadFile) -> Answer:
    """Score one DICOM file, in a thread of the pool: the work would block the event loop."""
    model: LoadedModel = app.state.model
    ds = dcmread(file.file)
    image = read_slice(ds)
    row = model.score(to_input(image, model.spec.input)[None])[0]
    return answer(model.calibration, row, image.facts)


def read_slice(ds: Dataset) -> Slice:
    """Take the first frame's pixels, in modality units, and the facts from a data set."""
    pixels = ds.pixel_array.astype(np.float32)
    pixels *= np.float32(ds.get("RescaleSlope") or 1)
    pixels += np.float32(ds.get("RescaleIntercept") or 0)
    rows_mm, columns_mm = ds.get("PixelSpacing") or (1.0, 1.0)
    return Slice(
        pixels=pixels,
        spacing_mm=(float(rows_mm), float(columns_mm)),
        frame=1,
        frames=1,
        facts=_facts(ds),
    )


def _facts(ds: Dataset) -> SliceFacts:
    """Take what distinguishes kinds of slices, and leave out the rest."""
    orientation: Any = ds.get("ImageOrientationPatient")
    return SliceFacts(
        patient_id=None,
        study_instance_uid=None,
        series_instance_uid=None,
        sop_instance_uid=None,
        modality=ds.get("Modality"),
        sop_class_uid=ds.get("SOPClassUID"),
        transfer_syntax_uid=ds.file_meta.TransferSyntaxUID,
        photometric_interpretation=ds.get("PhotometricInterpretation"),
        series_description=None,
        repetition_time=_number(ds.get("RepetitionTime")),
        echo_time=_number(ds.get("EchoTime")),
        manufacturer=None,
        body_part_examined=ds.get("BodyPartExamined"),
        mr_acquisition_type=ds.get("MRAcquisitionType"),
        image_orientation_patient=tuple(map(float, orientation)) if orientation else None,
        inversion_time=_number(ds.get("InversionTime")),
        is_fat_suppressed="FS" in str(ds.get("ScanOptions")),
        is_synthetic=ds.get("SyntheticData") == "YES",
        is_quality_control=ds.get("QualityControlImage") == "YES",
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
