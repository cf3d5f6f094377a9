"""Training, the library, HTTP and the SDK client give the same number for the same file."""

from pathlib import Path

import bentoml
import httpx
import numpy as np

from model.judge import judge_slices
from model.runtime import load_model
from model.store.find import find_directory
from preprocessing import read_image, to_input
from tests.serving.server import serve
from training.data.collection import load_images
from training.phantoms.phantom import make_phantom, phantom_bytes


def test_the_same_file_has_the_same_scores_on_every_path(model_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "slices" / "slice.dcm"
    file.parent.mkdir()
    file.write_bytes(phantom_bytes(make_phantom(5, 0), 5, 0))

    model = load_model(find_directory())
    by_library = judge_slices(model, [read_image(file.read_bytes())])[0]
    mse, verdict = by_library.reconstruction_mse, by_library.verdict
    kept = load_images([file.parent], model.spec.input).x.astype(np.float32)
    by_training = load_model(find_directory(), "torch").score(kept)[0]

    with serve(tmp_path / "log.txt", BENTOML_HOME=str(model_store)) as (url, _):
        raw = httpx.post(
            f"{url}/predict",
            content=file.read_bytes(),
            headers={"Content-Type": "application/dicom"},
        ).json()
        with bentoml.SyncHTTPClient(url) as client:
            by_client = client.predict(file=file)
        client._temp_dir.cleanup()  # BentoML leaves it to the garbage collector, which warns

    for answer in (raw, by_client):
        np.testing.assert_allclose(answer["reconstruction_mse"], mse, rtol=1e-6)
        assert (answer["p_value"], answer["channel"]) == (verdict.p_value, verdict.channel)
    # Training keeps its inputs in half precision: eleven bits.
    np.testing.assert_allclose(by_training[0], mse, rtol=1e-3)


def test_training_reads_a_slice_exactly_as_serving_does(model_store: Path, tmp_path: Path) -> None:
    model = load_model(find_directory())
    (tmp_path / "slice.dcm").write_bytes(content := phantom_bytes(make_phantom(5, 1), 5, 1))
    trained_on = load_images([tmp_path], model.spec.input).x[0]
    served = to_input(read_image(content), model.spec.input)
    np.testing.assert_array_equal(trained_on, served.astype(np.float16))  # as it is kept on disk
