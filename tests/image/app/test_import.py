"""`finer-image import`: checkpoints of the published image scripts become models that render and evaluate."""

import numpy as np
import pytest
import torch

from finer_core import load_model
from finer_image.app.cli import main
from finer_image.io.reader import read_image
from finer_image.model import ImageModel
from tests import refusals
from tests.core import golden

FOLDER = golden.FOLDER / "checkpoints"
METHODS = ("finer", "siren", "gauss", "wire", "pemlp")


def imported(tmp_path, method: str, *more: str, name: str | None = None):
    out = tmp_path / "model.safetensors"
    reference = FOLDER / f"ref_state_dict_{name or method}_image.pt"
    return ["import", str(reference), "--method", method, "--out", str(out), *more], out


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_becomes_a_model_that_renders_and_evaluates(tmp_path, capsys, method):
    command, out = imported(tmp_path, method, "--size", "20x30")
    assert main(command) == 0
    assert f"{method}, " in capsys.readouterr().out
    arrays = golden.load("checkpoints/expected_outputs")
    with torch.no_grad():
        outputs = load_model(out)(torch.from_numpy(arrays["coords_2d"]))
    expected = arrays[f"{method}_image.output"].reshape(outputs.shape)
    np.testing.assert_allclose(outputs.numpy(), expected, rtol=0, atol=2e-5)
    picture = tmp_path / "picture.png"
    assert main(["render", str(out), "--out", str(picture), "--quiet"]) == 0
    image = read_image(picture)
    assert (image.height, image.width, image.channels) == (20, 30, outputs.shape[1])
    assert main(["evaluate", str(out), str(picture), "--json"]) == 0
    capsys.readouterr()


def test_the_pixels_are_the_outputs_in_the_method_s_range(tmp_path):
    for method, (low, high) in {"siren": (-1.0, 1.0), "pemlp": (0.0, 1.0)}.items():
        command, out = imported(tmp_path, method, "--size", "2x2", "--overwrite")
        assert main(command) == 0
        assert main(["render", str(out), "--out", str(tmp_path / f"{method}.png"), "--quiet"]) == 0
        with torch.no_grad():
            corners = load_model(out)(torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]))
        unit = ((corners.double() - low) / (high - low)).clamp(0, 1).reshape(2, 2, -1).numpy()
        np.testing.assert_allclose(read_image(tmp_path / f"{method}.png").pixels / 255, unit, atol=0.51 / 255)


def test_size_and_range_have_defaults_and_can_be_named(tmp_path):
    command, out = imported(tmp_path, "finer")
    assert main(command) == 0
    model = ImageModel.load(str(out))
    assert (model.height, model.width, model.target_range) == (512, 512, (-1.0, 1.0))
    assert main([*command, "--target-range", "0", "1", "--overwrite"]) == 0
    assert ImageModel.load(str(out)).target_range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("method", "more", "word"),
    [
        ("siren", ("--size", "20"), "--size"),
        ("siren", ("--target-range", "1", "0"), "--target-range"),
        ("siren", ("--hidden-features", "999"), "hidden_features is"),
        ("bacon", (), "not weights of method 'bacon'"),
        ("sirene", (), "did you mean 'siren'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, capsys, method, more, word):
    command, out = imported(tmp_path, method, *more, name="siren")
    refusals.assert_refused(main, command, capsys, word)
    assert not out.exists()


def test_existing_files_and_missing_folders_are_refused(tmp_path, capsys):
    command, out = imported(tmp_path, "siren")
    out.write_text("mine")
    refusals.assert_refused(main, command, capsys, "already exists")
    command, _ = imported(tmp_path / "nowhere", "siren")
    refusals.assert_refused(main, command, capsys, "does not exist; make it")
    refusals.assert_refused(
        main,
        ["import", str(tmp_path / "absent.pt"), "--method", "siren", "--out", str(tmp_path / "m")],
        capsys,
        "absent.pt",
    )
