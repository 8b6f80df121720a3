"""`benchmark` of surfaces on workers, from Python: the rows of a sequence, to the bit."""

import pytest
import trimesh

from finer_sdf import benchmark

pytest.importorskip("distributed")
SIZES = {
    "hidden_features": 16,
    "hidden_layers": 1,
    "first_omega_0": 8.0,
    "hidden_omega_0": 8.0,
    "first_bias_scale": 1.0,
}
SMALL = {
    **{"steps": 60, "device": "cpu", "precision": "fp32", "samples": 2000, "batch_points": 256, "learning_rate": 1e-2},
    **{"network": SIZES, "resolution": 16, "eval_samples": 1000},
}


@pytest.fixture(scope="module")
def coarse_overlap() -> None:
    """Leave the points of the insides as they are: workers know nothing of what tests replace."""


@pytest.mark.slow
def test_the_rows_of_workers_are_those_of_a_sequence(tmp_path):
    ball = trimesh.creation.icosphere(radius=3.0, subdivisions=2).apply_translation([10.0, 0.0, 0.0])
    shapes = {"ball": ball, "none": tmp_path / "none.ply"}
    calm = benchmark(shapes, "finer", **SMALL, threads=1)
    rows = benchmark(shapes, "finer", **SMALL, workers=2)
    for row in (*calm, *rows):
        row.pop("seconds")
    assert rows == calm and len(rows) == 2
    assert rows[0]["chamfer_l2_sum"] > 0 and 0 < rows[0]["iou"] < 1 and "no such file" in rows[1]["error"]
