"""POST /predict as the README describes it, against the real application."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from model.judge import judge_slices
from model.runtime import load_model
from model.store.find import find_directory
from preprocessing import read_image
from preprocessing.decoding import process as decode_process
from preprocessing.dicom.notes import SQUARE, UNKNOWN_ORIENTATION
from serving.errors import BadThreshold
from serving.http.upload import parse_threshold
from tests.dicom_files import make_dicom, noise
from tests.serving.problems import assert_problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL_RATE = 0.05


async def post(client: httpx.AsyncClient, data: bytes, url: str = "/predict") -> httpx.Response:
    return await client.post(url, files={"file": ("slice.dcm", data)})


async def test_an_upload_gets_the_score_of_the_shared_pipeline(
    client: httpx.AsyncClient, dicom: bytes, model_store: Path
) -> None:
    answer = (await post(client, dicom)).json()
    model = load_model(find_directory("spine_autoencoder"))
    judged = judge_slices(model, [read_image(dicom)])[0]
    verdict = judged.verdict
    assert answer["reconstruction_mse"] == pytest.approx(judged.reconstruction_mse, rel=1e-9)
    assert answer["p_value"] == verdict.p_value
    assert answer["anomaly_score"] == pytest.approx(verdict.anomaly_score, abs=1e-4)
    assert answer["channel"] == verdict.channel
    assert answer["channel"] in model.calibration.channels
    assert answer["is_anomaly"] == (answer["p_value"] <= MODEL_RATE)
    assert (answer["alarm_rate"], answer["threshold"]) == (MODEL_RATE, None)
    assert (answer["in_scope"], answer["scope_reason"]) == (True, None)
    assert answer["pooled"] == verdict.is_pooled
    assert (answer["frame"], answer["frames"], answer["frames_in_scope"]) == (1, 1, 1)
    assert answer["notes"] == list(read_image(dicom).notes)
    assert answer["model"] == f"spine_autoencoder:{find_directory('spine_autoencoder').name}"
    assert 0 < answer["inference_time_ms"] < 10_000


@pytest.mark.parametrize("media_type", ["application/dicom", "Application/DICOM; x=y"])
async def test_a_raw_body_gets_the_same_answer_as_a_form(
    client: httpx.AsyncClient, dicom: bytes, media_type: str
) -> None:
    form = (await post(client, dicom)).json()
    raw = await client.post("/predict", content=dicom, headers={"content-type": media_type})
    assert raw.json()["reconstruction_mse"] == form["reconstruction_mse"]


async def test_the_form_is_recognised_in_any_letter_case(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    request = client.build_request("POST", "/predict", files={"file": ("a", dicom)})
    boundary = request.headers["content-type"].partition("=")[2]
    answer = await client.post(
        "/predict",
        content=request.read(),
        headers={"content-type": f'MultiPart/Form-Data; Boundary="{boundary}"'},
    )
    assert answer.status_code == 200


async def test_the_threshold_works_in_the_query_and_in_the_form(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    in_query = (await post(client, dicom, "/predict?threshold=1e-9")).json()
    assert (in_query["threshold"], in_query["is_anomaly"]) == (1e-9, True)
    assert in_query["alarm_rate"] is None
    in_form = await client.post("/predict", files={"file": dicom}, data={"threshold": "1e9"})
    assert (in_form.json()["threshold"], in_form.json()["is_anomaly"]) == (1e9, False)
    both = await client.post(
        "/predict?threshold=0.5", files={"file": dicom}, data={"threshold": "0.50"}
    )
    assert both.json()["threshold"] == 0.5


async def test_the_alarm_rate_works_in_the_query_and_in_the_form(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    high = (await post(client, dicom, "/predict?alarm_rate=0.999999")).json()
    assert (high["alarm_rate"], high["threshold"]) == (0.999999, None)
    assert high["is_anomaly"] == (high["p_value"] <= 0.999999)
    in_form = await client.post("/predict", files={"file": dicom}, data={"alarm_rate": "0.25"})
    assert in_form.json()["alarm_rate"] == 0.25
    assert in_form.json()["is_anomaly"] == (in_form.json()["p_value"] <= 0.25)
    # The rate moves the decision and nothing else.
    assert in_form.json()["p_value"] == high["p_value"]


async def test_an_alarm_rate_that_the_calibration_cannot_hold_says_how_many_patients_it_takes(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    answer = await post(client, dicom, "/predict?alarm_rate=0.0001")
    detail = assert_problem(answer, 400, "alarm_rate_invalid")["detail"]
    assert "takes 9999 calibration patients" in detail
    # Before any work: the file is not looked at.
    assert_problem(
        await post(client, b"x", "/predict?alarm_rate=0.0001"), 400, "alarm_rate_invalid"
    )


async def test_only_one_can_decide(client: httpx.AsyncClient, dicom: bytes) -> None:
    answer = await client.post(
        "/predict?threshold=0.5", files={"file": dicom}, data={"alarm_rate": "0.1"}
    )
    assert_problem(answer, 400, "deciders_conflict")


async def test_a_slice_of_a_kind_that_was_not_calibrated_is_answered_out_of_scope(
    client: httpx.AsyncClient,
) -> None:
    brain = make_dicom(noise((80, 60)), BodyPartExamined="BRAIN")
    answer = (await post(client, brain)).json()
    assert answer["in_scope"] is False
    assert answer["scope_reason"] == (
        "the region is other; the calibration has only lumbar (BodyPartExamined)"
    )
    assert answer["pooled"] is True
    assert 0 < answer["p_value"] <= 1


async def test_two_thresholds_that_differ_are_refused(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    answer = await client.post(
        "/predict?threshold=0.5", files={"file": dicom}, data={"threshold": "0.4"}
    )
    assert_problem(answer, 400, "threshold_invalid")
    answer = await post(client, dicom, "/predict?threshold=0.5&threshold=0.4")
    assert_problem(answer, 400, "threshold_invalid")


@pytest.mark.parametrize(
    "threshold",
    ["much", "nan", "NaN", "inf", "-inf", "1e999", "-0.1", "", "0x1", "1_0", "\u0661", "0,5"],
)
async def test_a_threshold_that_is_no_number_of_0_or_more_is_refused(
    client: httpx.AsyncClient, dicom: bytes, threshold: str
) -> None:
    in_query = await client.post("/predict", params={"threshold": threshold}, files={"file": dicom})
    assert_problem(in_query, 400, "threshold_invalid")
    in_form = await client.post("/predict", files={"file": dicom}, data={"threshold": threshold})
    assert_problem(in_form, 400, "threshold_invalid")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        *(("treshold", "threshold"), ("Threshold", "threshold"), ("threshold[]", "threshold")),
        *(("alarmrate", "alarm_rate"), ("alarm-rate", "alarm_rate"), ("rate", None)),
        *(("", None), ("patient", None), ("threshold" * 300, None)),
    ],
)
async def test_a_name_that_is_not_taken_is_refused_with_the_nearest_that_is(
    client: httpx.AsyncClient, dicom: bytes, name: str, nearest: str | None
) -> None:
    hint = f"did you mean '{nearest}'? It" if nearest else "it"
    text, file = "Doe^John", {"file": dicom}
    in_query = await client.post("/predict", params={name: text}, files=file)
    in_form = await client.post("/predict", files=file, data={name: text})
    for where, known, answer in (
        ("the query has a parameter", "threshold and alarm_rate", in_query),
        ("the form has a field", "threshold, alarm_rate and file", in_form),
    ):
        problem = assert_problem(answer, 400, "parameter_unknown")
        assert problem["detail"] == (f"{where} that /predict does not take; {hint} takes {known}")
        assert "Doe" not in answer.text


@pytest.mark.parametrize("name", ["filee", "files", "File", "file[]"])
async def test_a_misspelt_file_field_is_named_before_the_file_is_missed(
    client: httpx.AsyncClient, dicom: bytes, name: str
) -> None:
    for fields in ({"files": {name: dicom}}, {"files": {"file": dicom}, "data": {name: "3"}}):
        answer = await client.post("/predict", **fields)
        detail = assert_problem(answer, 400, "parameter_unknown")["detail"]
        assert "did you mean 'file'?" in detail


@pytest.mark.parametrize("rate", ["five", "-1", "0", "1"])
async def test_an_alarm_rate_is_refused_with_its_range(
    client: httpx.AsyncClient, dicom: bytes, rate: str
) -> None:
    answer = await post(client, dicom, f"/predict?alarm_rate={rate}")
    detail = assert_problem(answer, 400, "alarm_rate_invalid")["detail"]
    assert "above 0 and below 1" in detail


@pytest.mark.parametrize("threshold", ["0." + "1" * 63, " " * 61 + "0.05", "1" * 100_000 + "x"])
async def test_a_threshold_above_64_characters_is_refused_and_not_cut(
    client: httpx.AsyncClient, dicom: bytes, threshold: str
) -> None:
    with pytest.raises(BadThreshold, match="64 characters"):
        parse_threshold([threshold])
    in_form = await client.post("/predict", files={"file": dicom}, data={"threshold": threshold})
    assert "64 characters" in assert_problem(in_form, 400, "threshold_invalid")["detail"]


async def test_a_threshold_of_64_characters_is_read() -> None:
    assert parse_threshold(["0." + "1" * 62]) == pytest.approx(1 / 9)


async def test_a_worker_starts_where_the_decoder_process_does_not(
    app: Any, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    from service import SpineAnomaly

    decode_process.stop()
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    worker = SpineAnomaly.inner()  # type: ignore[attr-defined]  # the decorator makes it a Service
    critical = [record.message for record in logged.records if record.levelname == "CRITICAL"]
    assert critical == ["compressed slices get 503: the decoder process does not start"]
    assert await worker.__is_ready__()
    await worker.close()


async def test_a_multi_frame_object_answers_for_its_most_anomalous_frame(
    client: httpx.AsyncClient,
) -> None:
    frames = np.tile(np.linspace(0, 1000, 64).astype(np.uint16), (20, 64, 1))
    frames[12] = noise((64, 64))
    each = [(await post(client, make_dicom(f))).json() for f in frames]
    by_rate = (await post(client, make_dicom(frames))).json()
    worst = min(each, key=lambda answer: (answer["p_value"], -answer["anomaly_score"]))
    assert (by_rate["frame"], by_rate["frames"]) == (each.index(worst) + 1, 20)
    assert by_rate["p_value"] == worst["p_value"]
    by_threshold = (await post(client, make_dicom(frames), "/predict?threshold=0.1")).json()
    scores = [answer["reconstruction_mse"] for answer in each]
    assert by_threshold["frame"] == int(np.argmax(scores)) + 1
    assert by_threshold["reconstruction_mse"] == pytest.approx(max(scores), rel=1e-6)


async def test_frames_of_other_kinds_do_not_answer_for_a_mixed_object(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    def group(component: str) -> Dataset:
        kind, whole = Dataset(), Dataset()
        kind.ComplexImageComponent = component
        whole.MRImageFrameTypeSequence = Sequence([kind])
        return whole

    magnitude = read_image(dicom).pixels.astype(np.uint16)
    plain: dict[str, Any] = {
        "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
        "BodyPartExamined": "LSPINE",
    }
    mixed = make_dicom(
        np.stack([magnitude] * 3),  # of equal rank, so that the first would answer
        PerFrameFunctionalGroupsSequence=Sequence(map(group, ("PHASE", "MAGNITUDE", "PHASE"))),
        **plain,
    )
    alone = (await post(client, make_dicom(magnitude, **plain))).json()
    for path in ("/predict", "/predict?threshold=0.01"):
        answer = (await post(client, mixed, path)).json()
        assert (answer["frame"], answer["frames"], answer["frames_in_scope"]) == (2, 3, 1)
        assert (answer["in_scope"], answer["p_value"]) == (True, alone["p_value"])
    other = make_dicom(
        np.stack([magnitude] * 2),
        PerFrameFunctionalGroupsSequence=Sequence(map(group, ("PHASE", "PHASE"))),
        **plain,
    )
    answer = (await post(client, other)).json()
    assert (answer["frame"], answer["frames_in_scope"], answer["in_scope"]) == (1, 0, False)
    assert answer["scope_reason"] == (
        "ComplexImageComponent says that this is a phase image (PHASE)"
    )


async def test_what_was_assumed_is_in_the_notes(client: httpx.AsyncClient) -> None:
    answer = (await post(client, make_dicom(noise((40, 40)), PixelSpacing=None))).json()
    assert answer["notes"] == [UNKNOWN_ORIENTATION, SQUARE]


async def test_every_bad_file_gets_its_own_code(client: httpx.AsyncClient, dicom: bytes) -> None:
    for data, status, code in [
        (b"", 400, "empty_file"),
        (b"not an image", 415, "not_dicom"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), 415, "not_dicom"),
        (make_dicom(noise((8, 8)), Modality="CT"), 422, "wrong_modality"),
        (make_dicom(noise((8, 8)), PhotometricInterpretation="RGB"), 422, "not_grayscale"),
    ]:
        assert_problem(await post(client, data), status, code)
    answer = await post(client, dicom[:-100])
    assert answer.status_code == 422
    assert (await post(client, dicom)).status_code == 200


async def test_the_file_must_come_exactly_once_and_as_a_file(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    upload = ("a.dcm", dicom)
    for files, code in [
        ([("image", upload)], "parameter_unknown"),
        ([("file", upload), ("file", upload)], "file_repeated"),
        ([("file", upload), ("other", upload)], "file_unexpected"),
        ([("file", (None, "http://127.0.0.1:9/slice.dcm"))], "file_not_uploaded"),
        ([("file", (None, "/etc/passwd"))], "file_not_uploaded"),
    ]:
        assert_problem(await client.post("/predict", files=files), 400, code)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "text/plain", "image/png", "", "multipart/mixed; boundary=a"),
        *("application/vnd.bentoml+pickle", "Application/Vnd.BentoML+Pickle"),
    ],
)
async def test_other_content_types_are_refused(client: httpx.AsyncClient, media_type: str) -> None:
    body = json.dumps({"file": "http://127.0.0.1:9/"})
    answer = await client.post("/predict", content=body, headers={"content-type": media_type})
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_body_above_the_limit_is_refused_announced_or_not(
    client: httpx.AsyncClient,
) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield bytes(1_000_000)

    headers = {"content-type": "application/dicom"}
    announced = await client.post(
        "/predict", content=b"x", headers=headers | {"content-length": "32000001"}
    )
    problem = assert_problem(announced, 413, "body_too_large")
    assert "SPINE_MAX_UPLOAD_MB" in problem["detail"]
    answer = await client.post("/predict", content=unannounced(), headers=headers)
    assert_problem(answer, 413, "body_too_large")


async def test_a_limit_of_the_file_names_the_setting_that_raises_it(
    client: httpx.AsyncClient,
) -> None:
    many = make_dicom(noise((8, 8)), NumberOfFrames="3000")
    wide = make_dicom(noise((8, 8)), Rows=5000, Columns=5000)
    for data, setting in ((many, "SPINE_MAX_FRAMES"), (wide, "SPINE_MAX_PIXELS")):
        detail = assert_problem(await post(client, data), 413, "limit_exceeded")["detail"]
        assert detail.endswith(f" are read. An operator raises it with {setting}.")


async def test_frames_that_no_byte_pays_for_are_refused_with_what_is_allowed(
    client: httpx.AsyncClient,
) -> None:
    tiny = make_dicom(np.zeros((300, 1, 1), np.uint8))
    assert len(tiny) < 1000
    detail = assert_problem(await post(client, tiny), 413, "limit_exceeded")["detail"]
    assert detail.endswith(" at most 16 are read from so few: 16, and one for each 1000 bytes.")


async def test_openapi_shows_the_file_and_what_may_decide(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/docs.json")).json()
    operation = document["paths"]["/predict"]["post"]
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "threshold",
        "alarm_rate",
    ]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert (set(form["properties"]), form["required"]) == ({"file"}, ["file"])
    assert operation["parameters"][1]["description"].startswith("is_anomaly is p_value <=")
    assert "application/dicom" in operation["requestBody"]["content"]
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert (await client.get("/")).status_code == 200


async def test_nothing_is_written_for_a_request(
    client: httpx.AsyncClient, dicom: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)
    assert (await post(client, dicom)).status_code == 200
