"""A fitted surface as a program that others run."""

import numpy as np
import pytest
import torch
import trimesh

from finer_core import build_network
from finer_sdf import Normalization, SdfModel, export, fit, shell, union
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


@pytest.mark.parametrize("move", [0.0, 5e6])
def test_what_is_made_of_models_is_written_too(move, tmp_path):
    torch.manual_seed(0)
    network = build_network("finer", task="sdf", in_features=3, out_features=1, hidden_features=8)
    one, other = (
        SdfModel(network=network, normalization=Normalization(scale=0.3, offset=(-0.3 * (move + x), 0.0, 0.0)))
        for x in (0, 1)
    )
    made = union(one, shell(other, 0.2))
    export(made, tmp_path / "made.pt2")
    asked = points().double() + torch.tensor([move - 10, 0, 0], dtype=torch.float64)
    found = torch.export.load(tmp_path / "made.pt2").module()(asked if move else asked.float())
    torch.testing.assert_close(found.double(), made(asked), rtol=1e-4, atol=1e-4)


FAR = np.array([500000.0, 5200000.0, 300.0])
"""A corner of a shape in a national grid; float32 is half a unit coarse there."""


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("method", ["finer", "wire"])  # wire is complex inside
def test_a_shape_far_from_the_origin_is_exported_in_double_precision(method, suffix, tmp_path, capsys):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="the extra finer-core[onnx] is not installed")
        runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime to read what was written")
    torch.manual_seed(0)
    network = build_network(method, task="sdf", in_features=3, out_features=1, hidden_features=8)
    place = Normalization(scale=0.3, offset=tuple(-0.3 * (FAR + 1.5)))
    far, out = SdfModel(network=network, normalization=place), tmp_path / f"far{suffix}"
    far.save(tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path / "model.safetensors"), "--out", str(out)]) == 0
    assert "takes float64 coordinates" in capsys.readouterr().out
    table = FAR + np.random.default_rng(0).random((50, 3)) * 3
    if suffix == ".onnx":
        (found,) = runtime.InferenceSession(out).run(None, {"coords": table})
    else:
        found = torch.export.load(out).module()(torch.from_numpy(table)).detach().numpy()
    np.testing.assert_allclose(found, far(table), atol=1e-5 / place.scale)


def test_a_shape_near_the_origin_is_exported_in_single_precision(model, tmp_path, capsys):
    assert main(["export", model[0], "--out", str(tmp_path / "ball.pt2")]) == 0
    assert "float64" not in capsys.readouterr().out
    assert torch.export.load(tmp_path / "ball.pt2").module()(points()).dtype == torch.float32
