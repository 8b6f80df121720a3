"""`benchmark` of scenes on workers, from Python: the rows of a sequence, to the bit."""

from importlib.util import find_spec

import pytest

from finer_nerf import NerfConfig, benchmark

from .small_scenes import ball_scene

# Looked for and not loaded: that takes a second wherever tests are collected.
pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra [dask] is not installed")
SMALL = {
    **{"steps": 12, "device": "cpu", "precision": "fp32", "max_samples": 16, "grid_resolution": 8},
    **{"batch_samples": 600, "batch_rays": 64, "network": {"hidden_features": 8, "hidden_layers": 1}},
}


@pytest.mark.slow
def test_the_rows_of_workers_are_those_of_a_sequence(tmp_path):
    scenes = {"lego": ball_scene(size=12, train=6), "none": tmp_path / "none"}
    calm = benchmark(scenes, ["finer", "siren"], NerfConfig(**SMALL), threads=1)
    # The order of the rows of more workers is a matter of tests/core/test_benchmark.py.
    rows = benchmark(scenes, ["finer", "siren"], NerfConfig(**SMALL), workers=1)
    for row in (*calm, *rows):
        row.pop("seconds")
    assert rows == calm and len(rows) == 4
    assert rows[0]["psnr"] != rows[1]["psnr"] > 0 and "no such file" in rows[3]["error"]
