"""Poses, rays and the box, held by the published code's vectors."""

import numpy as np
import torch

from finer_nerf.cameras import Camera, all_pixels, camera_rays, distort, undistort
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.aabb import box_interval

from .golden import load, tensor


def camera_of(arrays, name: str) -> Camera:
    fx, fy, cx, cy = (float(value) for value in arrays[name])
    return Camera(width=int(arrays["width"]), height=int(arrays["height"]), fx=fx, fy=fy, cx=cx, cy=cy)


def test_poses():
    arrays = load("poses_and_rays")
    found = Normalization(scale=0.8).poses_to_box(arrays["pose_input"])
    np.testing.assert_allclose(found, arrays["pose_scale0_8"], rtol=1e-6, atol=1e-6)
    offset = tuple(float(value) for value in arrays["offset"])
    found = Normalization(scale=0.33, offset=offset).poses_to_box(arrays["pose_input"])
    np.testing.assert_allclose(found, arrays["pose_scale0_33_offset"], rtol=1e-6, atol=1e-6)


def test_poses_and_points_come_back():
    arrays = load("poses_and_rays")
    frame = Normalization(scale=0.33, offset=(0.1, -0.2, 0.3))
    back = frame.poses_to_input(frame.poses_to_box(arrays["pose_input"]))
    np.testing.assert_allclose(back, arrays["pose_input"], atol=1e-5)
    points = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(frame.to_input(frame.to_box(points)), points, atol=1e-12)
    camera = frame.poses_to_box(arrays["pose_input"])[:, :3, 3]
    np.testing.assert_allclose(frame.to_box(arrays["pose_input"][:, :3, 3]), camera, atol=1e-6)


def test_rays_of_all_pixels():
    arrays = load("poses_and_rays")
    for names, intrinsics in ((("rays_origin", "rays_direction"), "intrinsics"),
                              (("rays_origin_general", "rays_direction_general"), "intrinsics_general")):  # fmt: skip
        camera = camera_of(arrays, intrinsics)
        for i in range(len(arrays[names[0]])):
            pose = tensor(arrays["pose_scale0_8"][i if intrinsics == "intrinsics" else _general(arrays)])
            rays_o, rays_d = camera_rays(pose, camera, all_pixels(camera))
            torch.testing.assert_close(rays_o, tensor(arrays[names[0]][i]), rtol=0, atol=1e-6)
            torch.testing.assert_close(rays_d, tensor(arrays[names[1]][i]), rtol=0, atol=1e-6)


def _general(arrays) -> int:
    origins = arrays["pose_scale0_8"][:, :3, 3]
    return int(np.abs(origins - arrays["rays_origin_general"][0, 0]).sum(axis=1).argmin())


def test_rays_of_drawn_pixels():
    arrays = load("poses_and_rays")
    camera = camera_of(arrays, "intrinsics")
    pixels = torch.randint(
        camera.width * camera.height, (40,), generator=torch.Generator().manual_seed(int(arrays["random_seed"]))
    )
    assert torch.equal(pixels, tensor(arrays["random_pixel_index"][0]))
    rays_o, rays_d = camera_rays(tensor(arrays["pose_scale0_8"][0]), camera, pixels)
    torch.testing.assert_close(rays_o, tensor(arrays["random_rays_origin"][0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(rays_d, tensor(arrays["random_rays_direction"][0]), rtol=0, atol=1e-6)


def test_box_is_entered_and_left_where_published_and_a_box_behind_is_missed():
    arrays = load("poses_and_rays")
    assert arrays["box"].tolist() == [-1, -1, -1, 1, 1, 1]
    near, far, hit = box_interval(
        tensor(arrays["box_origin"]), tensor(arrays["box_direction"]), bound=1.0, min_near=float(arrays["min_near"])
    )
    published_near, published_far = tensor(arrays["box_near"]), tensor(arrays["box_far"])
    missed = tensor(arrays["box_miss"])
    behind = ~missed & (published_far <= published_near)
    assert torch.equal(hit, ~missed & ~behind)
    assert bool(missed.any()) and bool(behind.any()) and bool(hit.any())
    torch.testing.assert_close(near[hit], published_near[hit], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(far[hit], published_far[hit], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(near[missed], published_near[missed])


def test_a_ray_in_the_plane_of_a_face_has_no_nan():
    near, far, hit = box_interval(
        torch.tensor([[1.0, 0.0, -3.0]]), torch.tensor([[0.0, 0.0, 1.0]]), bound=1.0, min_near=0.2
    )
    assert hit.tolist() == [True]
    assert (near.item(), far.item()) == (2.0, 4.0)


def test_undistortion_inverts_distortion():
    distortion = (0.0578421, -0.0805099, -0.000980296, 0.00015575)
    x, y = (axis.reshape(-1) for axis in torch.meshgrid(*[torch.linspace(-0.7, 0.7, 15)] * 2, indexing="ij"))
    back = undistort(*distort(x, y, distortion=distortion), distortion=distortion)
    torch.testing.assert_close(torch.stack(back), torch.stack([x, y]), rtol=0, atol=1e-6)
    assert float((distort(x, y, distortion=distortion)[0] - x).abs().max()) > 1e-3


def test_a_resized_camera_sees_the_same_rays():
    camera = Camera(width=40, height=20, fx=30.0, fy=31.0, cx=19.0, cy=11.0, distortion=(0.1, 0.0, 0.0, 0.0))
    half = camera.resized(width=20, height=10)
    _, whole = camera_rays(torch.eye(4), camera, torch.tensor([0, 1, 40, 41]))
    _, one = camera_rays(torch.eye(4), half, torch.tensor([0]))
    torch.testing.assert_close(whole.mean(dim=0) / whole.mean(dim=0).norm(), one[0], rtol=0, atol=1e-4)
