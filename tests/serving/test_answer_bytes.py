"""The bytes of an answer are those that its model gives, however they are made."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from serving.contract import Prediction
from tests.dicom_files import make_dicom, noise

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("query", ["", "?threshold=1e-9", "?threshold=0.25", "?alarm_rate=0.5"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, {"BodyPartExamined": "BRAIN"}],
    ids=["in scope", "axial", "brain"],
)
async def test_the_answer_is_the_json_of_the_model(
    client: httpx.AsyncClient, query: str, changes: dict[str, Any]
) -> None:
    data = make_dicom(noise((80, 60)), **changes)
    answer = await client.post(f"/predict{query}", files={"file": data})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert (
        answer.content == Prediction.model_validate_json(answer.content).model_dump_json().encode()
    )
    assert set(answer.json()) == set(Prediction.model_fields)
