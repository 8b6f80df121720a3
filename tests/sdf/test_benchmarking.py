"""What a benchmark of surfaces sends to workers comes out whole: there a fit has the figures that it has here."""

import pickle
from functools import partial

import numpy as np
import pytest
import trimesh

from finer_core.distributed.by_dask import packed
from finer_sdf import PointCloud
from finer_sdf.benchmarking import _metrics_of

SIZES = {"hidden_features": 16, "hidden_layers": 1, "first_omega_0": 8.0, "hidden_omega_0": 8.0}
SMALL = {
    **{"steps": 60, "device": "cpu", "precision": "fp32", "samples": 2000, "batch_points": 256, "learning_rate": 1e-2},
    **{"network": {**SIZES, "first_bias_scale": 1.0}, "resolution": 16, "eval_samples": 1000},
}


def test_a_cloud_and_its_settings_may_be_sent():
    pytest.importorskip("cloudpickle")
    ball = trimesh.creation.icosphere(radius=3.0, subdivisions=4).apply_translation([10.0, 0.0, 0.0])
    cloud = PointCloud(points=np.array(ball.vertices), normals=np.array(ball.vertex_normals))  # has no inside
    metrics_of, shape, settings = pickle.loads(packed((partial(_metrics_of, config=None), cloud, SMALL), extra=""))
    there, here = metrics_of(shape, settings), _metrics_of(cloud, dict(SMALL), config=None)
    assert {**there, "seconds": 0} == {**here, "seconds": 0} and there["chamfer_l2_sum"] > 0
