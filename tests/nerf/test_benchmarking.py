"""What a benchmark of scenes sends to workers comes out whole: there a training has the figures that it has here."""

import pickle
from functools import partial

import pytest

from finer_core.distributed.by_dask import packed
from finer_nerf import NerfConfig
from finer_nerf.benchmarking import _metrics_of

from .small_scenes import ball_scene

SMALL = {
    **{"steps": 12, "device": "cpu", "precision": "fp32", "max_samples": 16, "grid_resolution": 8},
    **{"batch_samples": 600, "batch_rays": 64, "network": {"hidden_features": 8, "hidden_layers": 1}},
}


def test_a_scene_and_its_settings_may_be_sent():
    pytest.importorskip("cloudpickle")
    scene = ball_scene(size=12, train=6)
    how = partial(_metrics_of, config=NerfConfig(**SMALL), lpips=False)
    metrics_of, sent = pickle.loads(packed((how, scene), extra=""))
    there, here = metrics_of(sent, {"method": "siren"}), how(scene, {"method": "siren"})
    assert {**there, "seconds": 0} == {**here, "seconds": 0} and there["psnr"] > 0
