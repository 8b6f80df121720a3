"""Weights that the reference codes saved give the recorded outputs in our networks."""

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_core.io.reference_weights import network_of_reference, read_reference
from tests.core import golden

FOLDER = golden.FOLDER / "checkpoints"
SDF = {
    "finer_sdf": "finer",
    "finer_sdf_trained": "finer",
    "siren_sdf": "siren",
    "gauss_sdf": "gauss",
    "wire_sdf": "wire",
    "nerf_encoding_sdf": "pemlp",
    "fourier_features_sdf": "ff",
    "gauss_finer_sdf": "gauss-finer",
    "wire_finer_sdf": "wire-finer",
    "bacon_multiscale_sdf": "multiscale-bacon",
}
IMAGE = {
    "finer_image": "finer",
    "siren_image": "siren",
    "gauss_image": "gauss",
    "wire_image": "wire",
    "pemlp_image": "pemlp",
}


def imported(name: str, method: str, *, task: str, suffix: str, **overrides: object):
    path = FOLDER / f"ref_state_dict_{name}.{suffix}"
    coords = 3 if task == "sdf" else 2
    return network_of_reference(
        read_reference(path), method=method, task=task, in_features=coords, source=path.name, options=overrides
    )


@pytest.mark.parametrize(("name", "method"), SDF.items())
def test_distance_fields_give_the_recorded_outputs(name, method):
    arrays = golden.load("checkpoints/expected_outputs")
    with torch.no_grad():
        output = imported(name, method, task="sdf", suffix="pth")(torch.from_numpy(arrays["coords_3d"]))
    np.testing.assert_allclose(output.numpy(), arrays[f"{name}.output"].reshape(output.shape), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("name", "method"), IMAGE.items())
def test_images_give_the_recorded_outputs(name, method):
    arrays = golden.load("checkpoints/expected_outputs")
    with torch.no_grad():
        output = imported(name, method, task="image", suffix="pt")(torch.from_numpy(arrays["coords_2d"]))
    np.testing.assert_allclose(output.numpy(), arrays[f"{name}.output"].reshape(output.shape), rtol=0, atol=2e-5)


def test_every_tensor_is_taken_over_bit_for_bit():
    path = FOLDER / "ref_state_dict_finer_sdf.pth"
    network = imported("finer_sdf", "finer", task="sdf", suffix="pth")
    assert sorted(float(v.double().sum()) for v in network.state_dict().values()) == sorted(
        float(v.double().sum()) for v in read_reference(path).values()
    )


@pytest.mark.parametrize(
    ("name", "method", "overrides", "message"),
    [
        ("finer_sdf", "pemlp", {}, "pemlp"),
        ("finer_sdf", "wire", {}, "not weights of method 'wire'"),
        ("finer_sdf", "bacon", {}, "not weights of method 'bacon'"),
        ("fourier_features_sdf", "finer", {}, "finer"),
        ("bacon_multiscale_sdf", "finer", {}, "not weights of method 'finer'"),
        ("finer_sdf", "finer", {"hidden_features": 256}, "hidden_features is 64"),
        ("wire_sdf", "wire", {"scale": 30.0}, "scale is 10.0"),
        ("finer_nerf", "finer", {}, "no weights"),
    ],
)
def test_weights_of_something_else_are_refused(name, method, overrides, message):
    with pytest.raises(InputError, match=message):
        imported(name, method, task="sdf", suffix="pth", **overrides)


def test_files_that_hold_no_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="no weights"):
        read_reference(FOLDER / "ref_results_pp_script_without_weights.pt")
    with pytest.raises(InputError, match="cannot read"):
        read_reference(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="not a weights file"):
        read_reference(tmp_path / "text.pth")


def test_a_further_filter_is_refused_by_name():
    weights = read_reference(FOLDER / "ref_state_dict_bacon_multiscale_sdf.pth")
    weights["filters.extra.weight"] = torch.zeros(2, 2)
    with pytest.raises(InputError, match=r"does not have: filters\.extra\.weight"):
        network_of_reference(weights, method="multiscale-bacon", task="sdf", in_features=3, source="w.pth")


class Evil:
    def __reduce__(self):
        return (print, ("unpickled code ran",))


def test_code_in_a_file_does_not_run(tmp_path, capsys):
    torch.save({"net.0.linear.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="not a weights file"):
        read_reference(tmp_path / "evil.pth")
    assert "ran" not in capsys.readouterr().out
