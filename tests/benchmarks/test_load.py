"""Batch sizes, read from /metrics as they are written by our service and by BentoML."""

import click
import pytest

from benchmarks.load import Batches, parse_batches, read_batches
from benchmarks.processes import free_port

# Two workers of BentoML's own runner; a label's value holds a blank.
STOCK = """
# TYPE bentoml_service_adaptive_batch_size histogram
bentoml_service_adaptive_batch_size_sum{service_version="not available",worker_index="1"} 98.0
bentoml_service_adaptive_batch_size_bucket{le="1.0",service_version="not available",worker="1"} 31.0
bentoml_service_adaptive_batch_size_bucket{service_version="not available",le="+Inf"} 54.0
bentoml_service_adaptive_batch_size_count{service_version="not available",worker_index="1"} 54.0
bentoml_service_adaptive_batch_size_sum{service_version="not available",worker_index="2"} 71.0
bentoml_service_adaptive_batch_size_bucket{service_version="not available",le="1.0"} 36.0
bentoml_service_adaptive_batch_size_count{service_version="not available",worker_index="2"} 52.0
"""
OURS = """
spine_batch_size_sum 71.0
spine_batch_size_bucket{le="1.0"} 36.0
spine_batch_size_bucket{le="2.0"} 49.0
spine_batch_size_count 52.0
spine_p_value_count 9.0
"""


@pytest.mark.parametrize(
    ("text", "batches"), [(STOCK, Batches(106, 169, 67)), (OURS, Batches(52, 71, 36))]
)
def test_batches_are_summed_over_workers(text: str, batches: Batches) -> None:
    assert parse_batches(text) == batches


def test_a_server_that_counts_none_has_none() -> None:
    assert parse_batches("process_cpu_seconds_total 3.0\n") == Batches()


def test_a_run_is_what_came_since_the_look_before() -> None:
    # 10 batches of 25 slices, 4 of them of one slice.
    since = Batches(30, 65, 14).since(Batches(20, 40, 10))
    assert since == {"batches": 10, "mean_batch": 2.5, "batches_above_1": 6}
    assert Batches(3, 3, 3).since(Batches(3, 3, 3))["mean_batch"] == 0.0


def test_a_port_on_which_nobody_answers_is_named() -> None:
    port = free_port()
    with pytest.raises(click.ClickException, match=f"no service answers on port {port}"):
        read_batches(port)
