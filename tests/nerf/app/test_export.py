"""A fitted scene as a program that others run."""

import numpy as np
import pytest
import torch

from finer_nerf import NerfModel, builtin_scene, export, fit
from finer_nerf.app.cli import main
from finer_nerf.normalization import Normalization


def fitted(method: str = "finer") -> NerfModel:
    sizes = {"hidden_features": 8, "hidden_layers": 1}
    model, _ = fit(builtin_scene(size=8), method=method, steps=2, max_samples=8, grid_resolution=8, network=sizes)
    return model


def rays() -> tuple[torch.Tensor, torch.Tensor]:
    """Return points in the box and around it, and directions of any length."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(40, 3, generator=generator) * 3 - 1.5, torch.randn(40, 3, generator=generator)


def close(found, expected) -> None:
    assert (expected[0] == 0).any() and (expected[0] > 0).any()  # outside of the box, and in it
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_command_writes_what_the_model_computes(tmp_path, capsys):
    model, path, out = fitted(), tmp_path / "model.safetensors", tmp_path / "scene.pt2"
    model.save(path)
    assert main(["export", str(path), "--out", str(out)]) == 0
    assert "scene.pt2" in capsys.readouterr().out
    program = torch.export.load(out).module()
    close([values.detach().numpy() for values in program(*rays())], model(*(each.numpy() for each in rays())))
    assert main(["export", str(path), "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["finer", "wire"])  # wire is complex inside
def test_onnx(method, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra finer-core[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime to read what was written")
    model = fitted(method)
    export(model, tmp_path / "scene.onnx")
    session = runtime.InferenceSession(tmp_path / "scene.onnx")
    assert {each.shape[0] for each in (*session.get_inputs(), *session.get_outputs())} == {"points"}
    assert [value.name for value in session.get_outputs()] == ["sigmas", "rgbs"]
    points, directions = (each.numpy() for each in rays())
    close(session.run(None, {"points": points, "directions": directions}), model(points, directions))


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_scene_far_from_the_origin_is_exported_in_double_precision(suffix, tmp_path, capsys):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="the extra finer-core[onnx] is not installed")
        runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime to read what was written")
    model, out = fitted(), tmp_path / f"far{suffix}"
    model.frame = Normalization.centered(np.array([500000.0, 5200000.0, 300.0]), scale=model.frame.scale)
    model.save(tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path / "model.safetensors"), "--out", str(out)]) == 0
    assert "takes float64 coordinates" in capsys.readouterr().out
    points, directions = (each.double().numpy() for each in rays())
    points += model.frame.to_input(np.zeros((1, 3)))
    if suffix == ".onnx":
        found = runtime.InferenceSession(out).run(None, {"points": points, "directions": directions})
    else:
        program = torch.export.load(out).module()
        found = [each.detach().numpy() for each in program(*map(torch.from_numpy, (points, directions)))]
    close(found, model(points, directions))
