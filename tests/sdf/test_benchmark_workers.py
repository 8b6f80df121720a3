"""`benchmark` of surfaces on workers, from Python: the rows of a sequence, to the bit."""

from importlib.util import find_spec

import numpy as np
import pytest
import trimesh

from finer_sdf import PointCloud, benchmark

# Looked for and not loaded: that takes a second wherever tests are collected.
pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra [dask] is not installed")
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


@pytest.mark.slow
def test_the_rows_of_workers_are_those_of_a_sequence(tmp_path):
    ball = trimesh.creation.icosphere(radius=3.0, subdivisions=4).apply_translation([10.0, 0.0, 0.0])
    cloud = PointCloud(points=np.array(ball.vertices), normals=np.array(ball.vertex_normals))  # has no inside
    shapes = {"ball": cloud, "none": tmp_path / "none.ply"}
    calm = benchmark(shapes, "finer", **SMALL, threads=1)
    # The order of the rows of more workers is a matter of tests/core/test_benchmark.py.
    rows = benchmark(shapes, "finer", **SMALL, workers=1)
    for row in (*calm, *rows):
        row.pop("seconds")
    assert rows == calm and len(rows) == 2
    assert rows[0]["chamfer_l2_sum"] > 0 and "no such file" in rows[1]["error"]
