"""What comes in half precision, or computes in it, is taken; coordinates keep the digits of single precision."""

import copy
import functools
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import trimesh

import finer_image
import finer_nerf
import finer_ntk
import finer_sdf
from finer_core import InputError, build_network
from finer_core.casts import as_array
from tests.contracts.test_modes_of_the_caller import MODES
from tests.plain_figures import draw_small

SHORT = {"steps": 2, "log_every": 1, "device": "cpu", "precision": "fp32"}
SMALL = {"hidden_features": 8, "hidden_layers": 1}


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    draw_small(monkeypatch)
    monkeypatch.setattr("finer_sdf.rendering.images._PREVIEW_SIDE", 40)
    monkeypatch.setattr("finer_sdf.distance_field._STARTS_SIDE", 24)  # each query looks for starts on that grid


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int16, torch.bool])
def test_types_of_numpy_stay(dtype):
    values = torch.tensor([0, 1], dtype=dtype).requires_grad_(dtype.is_floating_point)
    assert torch.equal(torch.from_numpy(as_array(values)), values.detach())


def test_bfloat16_becomes_float32():
    found = as_array(torch.tensor([1.5, -2.0], dtype=torch.bfloat16, requires_grad=True))
    assert found.dtype == np.float32 and found.tolist() == [1.5, -2.0]


def test_an_image_and_the_values_of_its_model():
    image = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    model, _ = finer_image.fit(image, network=SMALL, **SHORT)
    expected = finer_image.fit(image.float(), network=SMALL, **SHORT)[0]
    np.testing.assert_array_equal(np.asarray(model), np.asarray(expected))
    before = model(np.zeros((3, 2)))
    for dtype in (torch.float16, torch.bfloat16):
        rounded = copy.deepcopy(model).to(dtype)
        single = copy.deepcopy(rounded).float()
        np.testing.assert_array_equal(rounded.render(size=(300, 2)), single.render(size=(300, 2)))
        np.testing.assert_array_equal(rounded.at(1.0, 2.0001), single.at(1.0, 2.0001))
        np.testing.assert_allclose(rounded(np.zeros((3, 2))), before, atol=0.1)
        assert finer_image.evaluate(rounded, image) == finer_image.evaluate(single, image)


def test_an_own_network_of_an_image_under_autocast():
    own = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    image = np.eye(6, dtype=np.float32)
    model, _ = finer_image.fit(image, network=own, **SHORT)
    plain = model.render()
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_allclose(model.render(), plain, atol=0.05)
        assert model(np.zeros((3, 2))).dtype == np.float32
        assert np.isfinite(finer_image.evaluate(model, image)["psnr"])


def test_points_of_a_surface():
    points = torch.nn.functional.normalize(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    cloud = points.bfloat16()
    small = {"samples": 1000, "batch_points": 64, "network": SMALL, **SHORT}
    model, _ = finer_sdf.fit((cloud, cloud), **small)
    expected = model.query(points[:4].numpy())
    for mode in (nullcontext, torch.inference_mode):
        with mode():
            found = model.query(cloud[:4])
            normals = model.normals(points[:4].numpy())
        assert found.distance.dtype == torch.bfloat16
        np.testing.assert_allclose(as_array(found.distance), expected.distance, atol=0.05)
        np.testing.assert_allclose(normals, expected.normal, atol=1e-5)


def test_density_and_color_at_arrays():
    settings = {"max_samples": 8, "grid_resolution": 8, "network": {"hidden_features": 8}}
    scene = finer_nerf.builtin_scene(size=8)
    model, _ = finer_nerf.fit(scene, steps=2, log_every=1, device="cpu", **settings)
    model.bfloat16()
    sigmas, colors = model(np.zeros((3, 3), dtype=np.float32), np.ones((3, 3), dtype=np.float32))
    assert sigmas.dtype == colors.dtype == np.float32
    images = scene.train.images.bfloat16()
    with pytest.raises(ValueError, match=r"uint8, got torch\.bfloat16"):
        finer_nerf.evaluate(model, type(scene.train)(**{**vars(scene.train), "images": images}))


def test_kernels():
    network = build_network("finer", in_features=1, out_features=1, **SMALL, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 1, 6)[:, None]
    expected = finer_ntk.empirical_ntk(network, x)
    rounded = finer_ntk.empirical_ntk(network, x.bfloat16())
    torch.testing.assert_close(rounded, finer_ntk.empirical_ntk(network, x.bfloat16().float()))
    near = torch.linspace(0.5, 0.501, 6)[:, None]
    for dtype in (torch.float16, torch.bfloat16):
        own = copy.deepcopy(network).to(dtype)
        found = finer_ntk.empirical_ntk(own, x.numpy())
        assert found.dtype == np.float32 and next(own.parameters()).dtype == dtype
        np.testing.assert_allclose(found, expected.numpy(), rtol=0.2, atol=0.1 * float(expected.max()))
        single = finer_ntk.empirical_ntk(copy.deepcopy(own).float(), near)
        torch.testing.assert_close(finer_ntk.empirical_ntk(own, near), single, rtol=0, atol=0)
        given = finer_ntk.empirical_ntk(own, near, params=dict(own.named_parameters()))
        torch.testing.assert_close(given, single, rtol=0, atol=0)


@functools.cache
def surface_model() -> tuple[finer_sdf.SdfModel, trimesh.Trimesh]:
    ball = trimesh.creation.icosphere(subdivisions=2)
    sizes = {"hidden_features": 32, "hidden_layers": 1, "first_omega_0": 8.0, "hidden_omega_0": 8.0}
    more = {"samples": 2000, "batch_points": 256, "learning_rate": 1e-2, "device": "cpu", "precision": "fp32"}
    return finer_sdf.fit(ball, network=sizes, steps=100, **more)[0], ball


@functools.cache
def scene_model() -> tuple[finer_nerf.NerfModel, finer_nerf.Scene]:
    scene = finer_nerf.builtin_scene(size=8)
    small = {"network": {"hidden_features": 8}, "max_samples": 8, "grid_resolution": 8, "device": "cpu"}
    return finer_nerf.fit(scene, steps=3, **small)[0], scene


def uses_of_a_surface(model, ball) -> dict:
    return {
        "array": lambda: model(ball.vertices),
        "tensor": lambda: model(torch.from_numpy(ball.vertices).float()).detach().numpy(),
        "normals": lambda: model.normals(ball.vertices),
        "query": lambda: model.query(ball.vertices[:9]).distance,
        "mesh": lambda: model.mesh(resolution=16).vertices,
        "render": lambda: model.render(size=(12, 12)),
        "evaluate": lambda: finer_sdf.evaluate(model, ball, resolution=16, samples=1000)["chamfer_l1"],
        "offset": lambda: finer_sdf.offset(model, 0.1)(ball.vertices),
    }


def uses_of_a_scene(model, scene) -> dict:
    pose, camera = scene.test.poses[0], scene.test.cameras[0]
    return {
        "density": lambda: model.density(torch.zeros(3, 3)).detach().numpy(),
        "array": lambda: model(np.full((3, 3), 0.3001), np.ones((3, 3)))[1],
        "tensor": lambda: model(torch.full((3, 3), 0.3001), torch.ones(3, 3))[1].detach().numpy(),
        "render": lambda: model.render(pose, camera)["rgb"],
        "evaluate": lambda: finer_nerf.evaluate(model, scene.test)["psnr"],
        "mesh": lambda: model.mesh(resolution=16, level=1e-3).vertices,
    }


KINDS = {"surface": (surface_model, uses_of_a_surface), "scene": (scene_model, uses_of_a_scene)}


@pytest.mark.usefixtures("coarse_overlap")
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_other_types_are_given_coordinates_of_full_precision(kind, tmp_path):
    make, uses_of = KINDS[kind]
    model, given = copy.deepcopy(make())
    expected = {name: use() for name, use in uses_of(model, given).items()}
    for name, use in uses_of(model.double(), given).items():
        np.testing.assert_allclose(use(), expected[name], rtol=1e-2, atol=1e-3, err_msg=name)
    for dtype in (torch.float16, torch.bfloat16):
        model.to(dtype).save(tmp_path / "half.safetensors")
        rounded = {name: use() for name, use in uses_of(model, given).items()}
        assert {each.dtype for each in model.parameters()} == {dtype}
        for same in (type(model).load(tmp_path / "half.safetensors"), model.float()):
            for name, use in uses_of(same, given).items():
                np.testing.assert_array_equal(use(), rounded[name], err_msg=f"{dtype} {name}")


@pytest.mark.usefixtures("coarse_overlap")
@pytest.mark.parametrize("kind", KINDS)
def test_models_are_used_in_every_mode_of_the_caller(kind, tmp_path):
    """Of these a program sets once, at its top: `torch.set_default_device("cuda")`, `torch.set_default_dtype`."""
    make, uses_of = KINDS[kind]
    model, given = copy.deepcopy(make())
    uses = uses_of(model, given)
    if kind == "scene":
        finer_nerf.write_scene(given, tmp_path / "scene")
        uses["read"] = lambda: finer_nerf.read_scene(tmp_path / "scene").train.images.numpy()
    uses["picture"] = lambda: np.frombuffer(model._repr_png_(), dtype=np.uint8)
    for name in {"density", "tensor"} & set(uses):  # of tensors, which have a type of their own
        del uses[name]
    expected = {name: use() for name, use in uses.items()}
    for mode in ("float64", "autocast", "meta"):
        for name, use in uses.items():
            if (mode, name) == ("autocast", "normals"):  # may be rounded, as is the gradient of any network
                continue
            with MODES[mode]():
                found = use()
            np.testing.assert_allclose(found, expected[name], rtol=1e-6, err_msg=f"{mode}, {name}")


def test_an_image_at_tensors_of_another_type():
    model, _ = finer_image.fit(np.eye(6), network=SMALL, **SHORT)
    coords = torch.zeros(3, 2)
    expected = model(coords).detach()
    found = model.double()(coords)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-4)
    for dtype in (torch.float16, torch.bfloat16):
        rounded = copy.deepcopy(model).to(dtype)
        near = torch.tensor([[0.8, 0.8], [0.8001, 0.8]])
        values = rounded(near)
        torch.testing.assert_close(values, copy.deepcopy(rounded).float()(near), rtol=0, atol=0)
        assert values[0] != values[1]
        values.sum().backward()
        assert all(each.grad is not None and each.grad.dtype == dtype for each in rounded.parameters())
        assert rounded(coords.to(dtype)).dtype == dtype


def test_what_cannot_be_copied_says_what_helps():
    model, _ = finer_image.fit(np.eye(6), network=torch.nn.Linear(2, 1), **SHORT)
    locked, scripted = copy.deepcopy(model), copy.deepcopy(model)
    locked.network.lock = threading.Lock()
    scripted.network = torch.jit.script(scripted.network)  # copies of which have tensors of their own
    for each in (locked, scripted):
        with pytest.raises(InputError, match=r"the model computes in bfloat16, .* call \.float\(\) on it first"):
            each.bfloat16().render()


def test_points_of_whole_numbers_or_few_digits_in_a_scene():
    model, _ = copy.deepcopy(scene_model())
    model.frame = type(model.frame)(scale=0.5, offset=(0.25, -0.3, 0.1))
    model.grid.occupied[:] = True
    ahead = torch.ones(2, 3)
    expected = model(np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), ahead.numpy())
    for dtype in (torch.int64, torch.float16, torch.bfloat16, torch.float64):
        found = model(torch.tensor([[1, 0, 1], [0, 1, 0]]).to(dtype), ahead)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.detach().numpy(), other, err_msg=str(dtype))


class Fog(torch.nn.Module):
    """A field of a user's own, asked for densities and colors together."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 4)

    def forward(self, points, directions):
        out = self.inner(points)
        return out[:, 0].exp(), torch.sigmoid(out[:, 1:] + directions)


def test_a_field_of_the_user_s_own_in_other_types():
    scene = scene_model()[1]
    model, _ = finer_nerf.fit(scene, steps=1, max_samples=8, grid_resolution=8, device="cpu", network=Fog())
    pose, camera = scene.test.poses[0], scene.test.cameras[0]
    expected = model.render(pose, camera)["rgb"]
    np.testing.assert_allclose(model.double().render(pose, camera)["rgb"], expected, atol=1e-4)
    rounded = model.bfloat16().render(pose, camera)["rgb"]
    np.testing.assert_array_equal(rounded, model.float().render(pose, camera)["rgb"])


def test_a_surface_in_double_precision_keeps_the_digits_of_points():
    model, ball = copy.deepcopy(surface_model())
    model.double()
    points = torch.from_numpy(ball.vertices[:5])
    np.testing.assert_allclose(model(points.numpy()), model(points).detach().numpy(), rtol=0, atol=1e-13)


def test_a_surface_of_the_user_s_own_network_under_autocast():
    field = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    model, _ = finer_sdf.fit(surface_model()[1], network=field, steps=1, device="cpu", samples=2000, batch_points=256)
    points = np.linspace(-0.3, 0.3, 9).reshape(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(points)
    np.testing.assert_allclose(found, model(points), atol=0.05)
