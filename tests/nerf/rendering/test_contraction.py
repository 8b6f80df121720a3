"""All space in a box: its formulas, and a scene that is seen outwards."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from finer_core.errors import InputError
from finer_nerf import NerfModel, builtin_scene, evaluate, export, fit, read_scene
from finer_nerf.app.cli import main
from finer_nerf.rendering.contraction import (
    FARTHEST,
    contract,
    density_factor,
    depths_at,
    expand,
    gradient_in_space,
    steps_at,
)
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.unbounded import march_unbounded, open_ball
from finer_nerf.scenes.auto_scale import look_outwards, place_scene
from tests.nerf.outward_scene import WALL, outward_scene
from tests.nerf.small_scenes import ball_scene, write_transforms

SMALL = {
    **{"steps": 80, "log_every": 80, "batch_samples": 5000, "max_samples": 64, "grid_resolution": 32},
    **{"network": {"hidden_features": 32}, "device": "cpu"},
}


@pytest.fixture(scope="module")
def model() -> NerfModel:
    return fit(outward_scene(size=20), **SMALL)[0]


def some_points(count: int = 60) -> torch.Tensor:
    """Return points at radii from 0.01 to 100, in double precision."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    radii = 10 ** (4 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 2)
    return radii * points / points.norm(dim=-1, keepdim=True)


def test_space_is_contracted_and_expanded_again():
    points = some_points()
    small = contract(points)
    torch.testing.assert_close(expand(small), points)
    far, radius = points.norm(dim=-1) > 1, points.norm(dim=-1)
    torch.testing.assert_close(small.norm(dim=-1)[far], 2 - 1 / radius[far])
    assert torch.equal(small[~far], points[~far]) and bool(far.any()) and bool((~far).any())
    assert float(expand(torch.tensor([[0.0, 0.0, 2.5]]))[0, 2]) == pytest.approx(FARTHEST, rel=1e-5)


def test_gradients_and_densities_follow_the_jacobian():
    points = some_points().requires_grad_()
    weights = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
    (expected,) = torch.autograd.grad((contract(points) * weights).sum(), points)
    found = gradient_in_space(points.detach(), weights.expand(len(points), 3))
    torch.testing.assert_close(found, expected)
    outwards = torch.nn.functional.normalize(points.detach(), dim=-1)
    _, along = torch.autograd.functional.jvp(contract, points.detach(), outwards)
    torch.testing.assert_close(density_factor(points.detach()), along.norm(dim=-1))


def test_samples_reach_from_the_camera_to_the_end_of_space():
    grid = OccupancyGrid(resolution=16, bound=2.0, threshold=1.0, contracted=True)
    eyes, ahead = (
        torch.zeros(2, 3),
        torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [0.3, -0.5, 0.8]]), dim=-1),
    )
    samples = march_unbounded(eyes, ahead, grid=grid, min_near=0.2, steps=256)
    first = samples.ray == 0
    assert float(samples.depths[first][0]) < 0.25 and float(samples.depths[first][-1]) > 100
    assert bool((samples.depths[first].diff() > 0).all())
    # From the middle outwards the lengths are those of the contracted path, from 0.2 to nearly 2.
    assert float(samples.step[first].sum()) == pytest.approx(1.8, abs=0.03)
    assert float(samples.points(eyes, ahead).norm(dim=-1).max()) < 2
    grid.occupied[:] = False
    assert len(march_unbounded(eyes, ahead, grid=grid, min_near=0.2, steps=256)) == 0
    steps = torch.tensor([0.1, 1.9, 2.5, 3.9])
    assert [steps_at(float(depth)) for depth in depths_at(steps)] == pytest.approx(steps.tolist(), rel=1e-5)
    share = float(open_ball(grid).float().mean())  # the ball's share of the cube, and the cells that it touches
    assert np.pi / 6 < share < 0.75


def test_which_cameras_look_outwards():
    assert look_outwards(outward_scene(size=4).train.poses)
    assert not look_outwards(ball_scene().train.poses)
    assert not look_outwards(builtin_scene(size=8).train.poses)
    line = np.tile(np.eye(4), (9, 1, 1))
    line[:, 0, 3] = np.arange(9)
    assert not look_outwards(line) and not look_outwards(line[:1])


def test_where_a_scene_goes_and_which_is_contracted():
    scene = outward_scene(size=4)
    frame, bound, _ = place_scene(scene, contract=True)
    assert bound == 2.0 and frame.scale == pytest.approx(1.0)  # the ring has a radius of 0.5
    inwards = place_scene(ball_scene(), contract=True)
    assert np.linalg.norm(inwards.frame.poses_to_box(ball_scene().train.poses)[:, :3, 3], axis=1).max() <= 0.9 + 1e-6
    with pytest.raises(InputError, match="--bound 3 says nothing with --contract"):
        place_scene(scene, bound=3.0, contract=True)
    still = dataclasses.replace(scene.train, poses=scene.train.poses.copy())
    still.poses[:, :3, 3] = 0
    with pytest.raises(InputError, match="one place; give --scene-scale"):
        place_scene(dataclasses.replace(scene, train=still), contract=True)
    short = {**SMALL, "steps": 1, "log_every": 1}
    assert not fit(scene, **short, contract=False)[0].grid.contracted
    assert not fit(scene, **short, bound=3.0)[0].grid.contracted
    assert not fit(ball_scene(), **short)[0].grid.contracted
    assert fit(ball_scene(), **short, contract=True)[0].grid.contracted


def test_surroundings_are_learnt_better_than_in_a_box(model):
    scene = outward_scene(size=20)
    assert model.grid.contracted and "all space" in repr(model)
    plain, _ = fit(scene, **SMALL, contract=False)
    assert evaluate(model, scene.test)["psnr"] > evaluate(plain, scene.test)["psnr"] + 3


def test_a_contracted_model_is_saved_seen_meshed_and_exported(model, tmp_path):
    scene, path = outward_scene(size=20), tmp_path / "model.safetensors"
    model.save(path)
    loaded = NerfModel.load(path)
    pose, camera = scene.test.poses[0], scene.test.cameras[0]
    for name, values in model.render(pose, camera).items():
        np.testing.assert_array_equal(loaded.render(pose, camera)[name], values)
    depth = model.render(pose, camera)["depth"]
    assert 1.0 < np.nanmedian(depth) < 20 * WALL
    points, ahead = some_points().float().numpy(), np.tile([0.0, 0.0, 1.0], (60, 1))
    sigmas, _ = model(points, ahead)
    box = torch.from_numpy(model.frame.to_box(points)).float()
    inside = model.field.density(contract(box)) * density_factor(box) * model.frame.scale
    known = model.grid.at(contract(box))
    np.testing.assert_allclose(sigmas, torch.where(known, inside, 0.0).detach(), rtol=1e-4, atol=1e-6)
    export(model, tmp_path / "room.pt2")
    found = torch.export.load(tmp_path / "room.pt2").module()(torch.from_numpy(points), torch.from_numpy(ahead).float())
    np.testing.assert_allclose(found[0].detach(), sigmas, rtol=1e-3, atol=1e-5)
    mesh = model.mesh(resolution=32, level=0.05)
    assert np.isfinite(mesh.vertices).all() and np.linalg.norm(mesh.vertices, axis=1).max() > 2
    model.video(tmp_path / "frames", model.orbit(1), kind="normals")
    assert (tmp_path / "frames" / "frame_0000.png").is_file()


def test_the_command_contracts_says_so_and_goes_on(tmp_path, capsys):
    views = outward_scene(size=16, train=8).train
    folder = write_transforms(
        tmp_path / "s", 8, size=(16, 16), each=lambda i: {"transform_matrix": views.poses[i].tolist()}
    )
    for i, image in enumerate(views.images):
        Image.fromarray(image.numpy()).save(folder / f"images/{i}.png")
    assert look_outwards(read_scene(folder).train.poses)
    options = [
        "--steps",
        "4",
        "--max-samples",
        "16",
        "--grid-resolution",
        "8",
        "--hidden-features",
        "8",
        "--log-every",
        "2",
    ]
    options += ["--orbit-frames", "0", "--quiet", "--device", "cpu", "--checkpoint-seconds", "0"]
    out = tmp_path / "run"
    assert main(["train", str(folder), *options, "--out", str(out)]) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["contract"] is True
    assert "--no-contract takes a box" in config["notes"][0] and "a learned color" in config["notes"][1]
    first = (out / "model.safetensors").read_bytes()
    for name in ("model.safetensors", "metrics.json"):
        (out / name).unlink()
    assert main(["train", "--resume", "--quiet", "--out", str(out)]) == 0
    assert (out / "model.safetensors").read_bytes() == first
    assert main(["train", str(folder), *options, "--contract", "--bound", "2", "--out", str(tmp_path / "b")]) == 2
    assert "--bound 2 says nothing with --contract" in capsys.readouterr().err
