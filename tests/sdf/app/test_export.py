"""A fitted surface as a program that others run."""

import numpy as np
import pytest
import torch
import trimesh

from finer_sdf import SdfModel, export, fit
from finer_sdf.app.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, SdfModel]:
    ball = trimesh.creation.icosphere(radius=3.0, subdivisions=2).apply_translation([10, 0, 0])
    network = {"hidden_features": 8, "hidden_layers": 1}
    model, _ = fit(ball, steps=3, samples=1000, batch_points=100, network=network)
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    model.save(path)
    return str(path), model


def points() -> torch.Tensor:
    return torch.rand(9, 3, generator=torch.Generator().manual_seed(0)) * 6 + torch.tensor([7.0, -3.0, -3.0])


def test_command_writes_what_the_model_computes(model, tmp_path, capsys):
    path, loaded = model
    assert main(["export", path, "--out", str(tmp_path / "ball.pt2")]) == 0
    assert "ball.pt2" in capsys.readouterr().out
    program = torch.export.load(tmp_path / "ball.pt2").module()
    torch.testing.assert_close(program(points()), loaded(points()), rtol=1e-4, atol=1e-4)


def test_onnx(model, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra finer-core[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime to read what was written")
    _, loaded = model
    export(loaded, tmp_path / "ball.onnx")
    (found,) = runtime.InferenceSession(tmp_path / "ball.onnx").run(None, {"coords": points().numpy()})
    np.testing.assert_allclose(found, loaded(points().numpy()), rtol=1e-4, atol=1e-4)
