"""A fitted image as a program that others run."""

import numpy as np
import pytest
import torch

from finer_image import ImageModel, export, fit
from finer_image.app.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ImageModel]:
    model, _ = fit(np.eye(16), steps=3, network={"hidden_features": 8, "hidden_layers": 1})
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    model.save(path)
    return str(path), model


def test_command_writes_what_the_model_computes(model, tmp_path, capsys):
    path, loaded = model
    assert main(["export", path, "--out", str(tmp_path / "eye.pt2")]) == 0
    assert "eye.pt2" in capsys.readouterr().out
    coords = torch.rand(9, 2) * 2 - 1
    program = torch.export.load(tmp_path / "eye.pt2").module()
    torch.testing.assert_close(program(coords), loaded(coords), rtol=1e-5, atol=1e-5)
    assert main(["export", path, "--out", str(tmp_path / "eye.pt2")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["export", path, "--out", str(tmp_path / "eye.txt")]) == 2
    assert ".onnx or .pt2" in capsys.readouterr().err


def test_onnx(model, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra finer-core[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime to read what was written")
    _, loaded = model
    export(loaded, tmp_path / "eye.onnx")
    coords = torch.rand(9, 2) * 2 - 1
    (found,) = runtime.InferenceSession(tmp_path / "eye.onnx").run(None, {"coords": coords.numpy()})
    np.testing.assert_allclose(found, loaded(coords.numpy()), rtol=1e-5, atol=1e-5)


def test_the_programs_autocast_and_default_device_are_no_matter(model, tmp_path):
    _, loaded = model
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        export(loaded, tmp_path / "eye.pt2")
    coords = torch.rand(9, 2) * 2 - 1
    found = torch.export.load(tmp_path / "eye.pt2").module()(coords)
    torch.testing.assert_close(found, loaded(coords), rtol=1e-5, atol=1e-5)
