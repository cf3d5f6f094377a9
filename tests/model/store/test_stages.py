"""The stage of a version: given, moved, given back, and refused where it would be a guess."""

from __future__ import annotations

import itertools
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import bentoml
import pytest

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.store.find import STAGES, find_directory, read_holders, stages_of
from model.store.save import save_files
from model.store.stages import roll_back, tag_stage
from model.store.transfer import export_model, import_model
from tests.model.store.versions import save_version

N_RACERS = 6
_NUMBERS = itertools.count()


@pytest.fixture
def name(model_store: Path) -> str:
    """A model of three versions, of this test alone."""
    name = f"promoted_{next(_NUMBERS)}"
    for seed in (1, 2, 3):
        save_version(f"{name}:v{seed}", seed=seed)
    return name


def holder(name: str, stage: str = "production") -> str:
    return find_directory(f"{name}:{stage}").name


def stage_file(name: str) -> Path:
    return find_directory(name).parent / "production"


def test_a_stage_means_the_version_that_was_tagged_last(name: str) -> None:
    assert tag_stage(f"{name}:v1", "production") == f"{name}:v1"
    assert tag_stage(f"{name}:v2", "staging") == f"{name}:v2"
    assert (holder(name), holder(name, "staging")) == ("v1", "v2")
    assert tag_stage(f"{name}:staging", "production") == f"{name}:v2"
    versions = find_directory(name).parent
    assert stages_of(versions, "v1") == ()
    assert stages_of(versions, "v2") == ("production", "staging")
    assert find_directory(name).name == "v3", "the newest is what it was"


def test_a_rollback_goes_back_step_by_step_and_not_beyond_the_first(name: str) -> None:
    for version in ("v1", "v2", "v3", "v3"):
        tag_stage(f"{name}:{version}", "production")
    assert roll_back(name) == f"{name}:v2"
    assert roll_back(name) == f"{name}:v1"
    with pytest.raises(ModelError, match=f"no earlier production of {name} is left"):
        roll_back(name)
    assert holder(name) == "v1"


def test_a_rollback_passes_over_what_is_gone_or_damaged_and_says_so(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_version(f"{name}:v4", seed=4)
    for version in ("v1", "v2", "v3", "v4"):
        tag_stage(f"{name}:{version}", "production")
    (find_directory(f"{name}:v2") / "model.onnx").write_bytes(b"")
    bentoml.models.delete(f"{name}:v3")
    with caplog.at_level(logging.WARNING):
        assert roll_back(name) == f"{name}:v1"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "passed over v3",
        "passed over v2",
    ]


def test_a_model_that_is_not_fit_to_be_served_gets_no_stage(name: str) -> None:
    tag_stage(f"{name}:v1", "production")
    (find_directory(f"{name}:v2") / "weights.safetensors").write_bytes(b"")
    with pytest.raises(DamagedModel):
        tag_stage(f"{name}:v2", "production")
    with pytest.raises(ModelNotFound):
        tag_stage(f"{name}:v9", "production")
    with pytest.raises(ModelError, match="'canary' is not a stage; use production or staging"):
        tag_stage(f"{name}:v1", "canary")
    assert holder(name) == "v1"


def test_a_stage_that_nobody_holds_is_named_with_what_to_do(name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"model.store tag {name}:VERSION stage=production"):
        find_directory(f"{name}:production")
    with pytest.raises(ModelNotFound):
        find_directory("of_no_version:production")


def test_a_stage_whose_version_was_deleted_is_an_error_until_it_is_back(
    name: str, tmp_path: Path
) -> None:
    tag_stage(f"{name}:v2", "production")
    file = export_model(f"{name}:production", tmp_path / "two.bentomodel")
    bentoml.models.delete(f"{name}:v2")
    with pytest.raises(ModelError, match=r"production of .* is v2, which the store does not hold"):
        find_directory(f"{name}:production")
    import_model(file)
    assert holder(name) == "v2"


def test_another_model_under_the_version_of_the_holder_is_not_served(name: str) -> None:
    tag_stage(f"{name}:v2", "production")
    bentoml.models.delete(f"{name}:v2")
    save_version(f"{name}:v2", seed=99)
    with pytest.raises(ModelError, match="holds another model under this version"):
        find_directory(f"{name}:production")
    tag_stage(f"{name}:v2", "production")
    assert holder(name) == "v2"


@pytest.mark.parametrize("version", ["production", "staging", "latest"])
def test_no_version_can_be_called_like_a_stage(name: str, version: str) -> None:
    with pytest.raises(ModelError, match=f"{version} cannot be a version"):
        save_files(lambda _: pytest.fail("nothing is written"), name, version)


def test_a_version_called_like_a_stage_by_another_program_is_never_guessed(name: str) -> None:
    folder = find_directory(name).parent / "production"
    folder.mkdir()
    with pytest.raises(ModelError, match="has a version called production, which is a stage"):
        find_directory(f"{name}:production")
    with pytest.raises(ModelError, match="has a version called production, which is a stage"):
        tag_stage(f"{name}:v1", "production")


@pytest.mark.parametrize(
    "text",
    ["", "\n", "v1", "v1\n", f"v1 {'0' * 63}", f".. {'0' * 64}", f"v1 {'0' * 64}\n\n", "v1 \xff"],
)
def test_a_damaged_stage_is_one_line_that_says_what_to_do(name: str, text: str) -> None:
    stage_file(name).write_text(text, "latin-1")
    with pytest.raises(DamagedModel, match=f"production of {name} is damaged; delete"):
        find_directory(f"{name}:production")
    assert find_directory(name).name == "v3", "a version without a stage needs no such file"


def test_stages_as_older_releases_wrote_them_are_not_passed_over(name: str) -> None:
    tag_stage(f"{name}:v1", "production")
    (find_directory(name).parent / "stages.json").write_text("{}")
    with pytest.raises(ModelError, match=r"stages\.json is of an older release; note the stages"):
        find_directory(f"{name}:production")


def test_one_flipped_bit_in_the_stages_never_means_another_version(name: str) -> None:
    tag_stage(f"{name}:v1", "production")
    tag_stage(f"{name}:v2", "production")
    path = stage_file(name)
    content = path.read_bytes()
    meant = set()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            meant.add(holder(name))
        except ModelError:
            continue
    assert meant == {"v2"}


def test_bentoml_itself_reads_and_deletes_beside_the_stages(name: str) -> None:
    for stage in STAGES:
        tag_stage(f"{name}:v1", stage)
    assert {str(model.tag) for model in bentoml.models.list(name)} == {
        f"{name}:v{n}" for n in (1, 2, 3)
    }
    for n in (1, 2, 3):
        bentoml.models.delete(f"{name}:v{n}")


def test_promotions_at_the_same_time_are_all_kept_one_after_the_other(name: str) -> None:
    code = (
        "import sys; from model.store.stages import tag_stage; print('ready', flush=True);"
        f"sys.stdin.readline(); tag_stage('{name}:' + sys.argv[1], 'production')"
    )
    racers = [
        subprocess.Popen(  # noqa: S603 (our own code)
            [sys.executable, "-c", code, f"v{1 + n % 3}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for n in range(N_RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate()
        assert racer.returncode == 0
    history = [one.version for one in read_holders(find_directory(name).parent, "production")]
    assert set(history) == {"v1", "v2", "v3"}
    assert all(a != b for a, b in itertools.pairwise(history))


def test_a_promotion_killed_anywhere_leaves_the_old_holder_or_the_new(name: str) -> None:
    tag_stage(f"{name}:v1", "production")
    path = stage_file(name)
    code = (
        "import itertools; from pathlib import Path;"
        "from model.store.find import Holder; from model.store.stages import write_holders;"
        f"versions = Path({str(path.parent)!r});\n"
        "for n in itertools.count():\n"
        "    one = Holder(f'v{1 + n % 3}', '0' * 64)\n"
        "    write_holders(versions, 'production', [one] * 20)\n"
        "    n or print('begun', flush=True)\n"
    )
    for n in range(5):
        with subprocess.Popen(  # noqa: S603 (our own code)
            [sys.executable, "-c", code], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            time.sleep(0.003 * n)
            writer.send_signal(signal.SIGKILL)
        assert len(read_holders(path.parent, "production")) == 20
    tag_stage(f"{name}:v2", "production")
    assert holder(name) == "v2"


def test_a_stage_goes_with_an_export_into_a_store_that_has_none(name: str, tmp_path: Path) -> None:
    tag_stage(f"{name}:v1", "production")
    file = export_model(f"{name}:v1", tmp_path / "one.bentomodel")
    for n in (1, 2, 3):
        bentoml.models.delete(f"{name}:v{n}")
    assert str(import_model(file)) == f"{name}:v1"
    assert holder(name) == "v1"
    assert not list(find_directory(name).glob("exported*"))


def test_an_import_never_takes_a_stage_from_another_version(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tag_stage(f"{name}:v1", "production")
    tag_stage(f"{name}:v1", "staging")
    file = export_model(f"{name}:v1", tmp_path / "one.bentomodel")
    tag_stage(f"{name}:v2", "production")
    bentoml.models.delete(f"{name}:v1")
    with caplog.at_level(logging.WARNING):
        import_model(file)
    assert (holder(name), holder(name, "staging")) == ("v2", "v1")
    assert [record.getMessage() for record in caplog.records] == [
        f"{name}:v1 was production where it was exported; here another version is, and stays"
    ]
