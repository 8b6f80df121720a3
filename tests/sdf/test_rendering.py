"""Rays meet surfaces where they are, cameras look where they say, and pictures show what was asked for."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from finer_core.errors import InputError
from finer_core.networks import Network
from finer_sdf.frame import THE_BOX_ITSELF
from finer_sdf.mesh_distance import MeshDistance
from finer_sdf.model import SdfModel
from finer_sdf.seeing.camera import OrbitCamera, sphere_around
from finer_sdf.seeing.render import (
    check_view_path,
    look_at_mesh,
    look_at_model,
    paint,
    parse_size,
    steepness_of,
    write_png,
    write_turntable,
)
from finer_sdf.seeing.shading import round_up, with_colour_bar
from finer_sdf.seeing.sphere_tracing import box_interval, trace
from finer_sdf.shapes import Mesh

RADIUS = 0.3


class Ball(Network):
    """The exact field of a sphere, with a parameter so that it has a device."""

    def __init__(self, *, radius: float = RADIUS, centre: tuple[float, float, float] = (0, 0, 0), slope: float = 1.0):
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(radius))
        self.centre, self.slope = torch.tensor(centre, dtype=torch.float32), slope

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        return self.slope * ((coords - self.centre).norm(dim=-1, keepdim=True) - self.radius)


def model_of(network: Network) -> SdfModel:
    return SdfModel(network=network, frame=THE_BOX_ITSELF)


def ball_mesh(radius: float) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    return Mesh(vertices=np.asarray(ball.vertices), faces=np.asarray(ball.faces, dtype=np.int64))


def rays(**camera: object) -> tuple[torch.Tensor, torch.Tensor]:
    origins, directions = OrbitCamera(**camera).rays(height=40, width=40)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)


def exact_depth(rays_o: torch.Tensor, rays_d: torch.Tensor) -> torch.Tensor:
    """Return where rays meet the ball, infinite where they miss it."""
    half = (rays_o * rays_d).sum(1)
    under = half**2 - (rays_o**2).sum(1) + RADIUS**2
    return torch.where(under > 0, -half - under.clamp(min=0).sqrt(), torch.inf)


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_depths_are_exact(slope):
    rays_o, rays_d = rays()
    hits = trace(Ball(slope=slope), rays_o, rays_d, lipschitz=max(1.0, slope))
    expected = exact_depth(rays_o, rays_d)
    to_axis = (rays_o - (rays_o * rays_d).sum(1, keepdim=True) * rays_d).norm(dim=1)
    sure = (to_axis - RADIUS).abs() > 0.004  # the others graze the ball
    assert torch.equal(hits.mask[sure], expected.isfinite()[sure])
    met = hits.mask & sure
    assert met.sum() > 100
    assert float((hits.points[met].norm(dim=1) - RADIUS).abs().max()) < 1.1e-4 / slope
    assert torch.allclose(hits.depth[met], expected[met], atol=2e-3)
    assert not hits.depth[~hits.mask].isfinite().any()


def test_a_steep_field_is_noticed_and_traced_right():
    of_true, of_steep = (look_at_model(model_of(Ball(slope=slope)), height=24, width=24) for slope in (1.0, 3.0))
    assert steepness_of(model_of(Ball(slope=3.0))) == pytest.approx(3.3, rel=0.01)
    assert (of_steep.mask != of_true.mask).mean() < 0.005
    np.testing.assert_allclose(np.linalg.norm(of_steep.points, axis=1), RADIUS, atol=1.1e-4)


def test_a_thin_wall_is_not_stepped_over():
    wall = lambda coords: coords[:, 2:].abs() - 0.002  # noqa: E731
    rays_o, rays_d = torch.tensor([[0.1, 0.1, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    hits = trace(wall, rays_o, rays_d)
    assert bool(hits.mask[0])
    assert float(hits.depth[0]) == pytest.approx(1.998, abs=2e-4)


def test_rays_that_miss_the_box_or_look_away_meet_nothing():
    rays_o = torch.tensor([[0.0, 0.0, 2.0], [2.0, 2.0, 2.0], [0.0, 0.0, 2.0]])
    rays_d = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [0.0, 0.0, -1.0]])
    near, far = box_interval(rays_o, rays_d)
    assert (near < far).tolist() == [False, False, True]
    assert trace(Ball(), rays_o, rays_d).mask.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("camera", "seen_from"),
    [
        ({"azimuth": 0, "elevation": 0}, (0, 0, 1)),
        ({"azimuth": 90, "elevation": 0}, (1, 0, 0)),
        ({"azimuth": 0, "elevation": 90}, (0, 1, 0)),
        ({"azimuth": 0, "elevation": 0, "up": "z"}, (1, 0, 0)),
        ({"azimuth": 90, "elevation": 0, "up": "z"}, (0, 1, 0)),
    ],
)
def test_cameras_stand_where_they_say(camera, seen_from):
    right, up, back = OrbitCamera(**camera).basis()
    np.testing.assert_allclose(back, seen_from, atol=1e-12)
    np.testing.assert_allclose(np.stack([right, up, back]) @ np.stack([right, up, back]).T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cross(right, up), back, atol=1e-12)


def test_up_is_up_and_right_is_right():
    above = look_at_model(model_of(Ball(radius=0.1, centre=(0, 0.3, 0))), height=48, width=48, azimuth=0, elevation=0)
    beside = look_at_model(model_of(Ball(radius=0.1, centre=(0.3, 0, 0))), height=48, width=48, azimuth=0, elevation=0)
    for seen, top, left in ((above, True, None), (beside, None, False)):
        rows, columns = np.nonzero(seen.mask.reshape(96, 96))
        if top is not None:
            assert rows.max() < 48
        if left is not None:
            assert columns.min() > 48


def test_the_camera_fits_the_shape():
    centre, radius = sphere_around(np.array([[-0.1, -0.2, -0.3], [0.3, 0.2, 0.1]]))
    assert centre == pytest.approx((0.1, 0.0, -0.1))
    origins, directions = OrbitCamera(centre=centre, radius=radius).rays(height=65, width=65)
    middle = directions[0, 32]  # the upper edge's ray touches the sphere
    offset = torch.tensor(centre) - origins[0, 0]
    across = (offset - (offset @ middle) * middle).norm()
    assert float(across) == pytest.approx(radius, rel=0.03)


def test_normals_and_silhouettes_of_model_and_mesh_agree():
    of_model = look_at_model(model_of(Ball()), height=32, width=32)
    np.testing.assert_allclose(of_model.normals, of_model.points / RADIUS, atol=2e-3)
    of_mesh = look_at_mesh(ball_mesh(RADIUS), height=32, width=32)
    np.testing.assert_allclose(of_mesh.normals, of_mesh.points / RADIUS, atol=0.05)
    for kind in ("shaded", "normals"):
        assert paint(of_model, kind).shape == (32, 32, 3)
        assert paint(of_model, kind)[0, 0].tolist() == [255, 255, 255]
    assert not np.array_equal(paint(of_model, "shaded"), paint(of_model, "normals"))


def test_the_error_picture_shows_the_distance_to_the_reference():
    seen = look_at_model(model_of(Ball()), height=64, width=64)
    near = paint(seen, "error", reference=MeshDistance(ball_mesh(RADIUS - 0.002)), largest_error=0.02)
    far = paint(seen, "error", reference=MeshDistance(ball_mesh(RADIUS - 0.018)), largest_error=0.02)
    assert near[32, 41].astype(int).sum() + 150 < far[32, 41].astype(int).sum()
    with pytest.raises(InputError, match="reference"):
        paint(seen, "error")
    with pytest.raises(InputError, match="'x'"):
        paint(seen, "x")


@pytest.mark.parametrize(("value", "rounded"), [(0.0011, 0.002), (0.002, 0.002), (3.0, 5.0), (7e-5, 1e-4), (0.0, 1.0)])
def test_colour_bars_end_at_round_numbers(value, rounded):
    assert round_up(value) == pytest.approx(rounded)


def test_a_colour_bar_is_drawn_into_the_corner():
    plain = np.full((120, 160, 3), 255, dtype=np.uint8)
    drawn = with_colour_bar(plain, largest=0.01, label="distance")
    assert (drawn[:60] == 255).all()
    assert (drawn[60:, :80] != 255).any()
    assert (plain == 255).all()


def frames_of(path: Path, *, height: int, width: int) -> np.ndarray:
    """Decode a film of a known size."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, height, width, 3)


def test_pictures_and_turntables_can_be_read_back(tmp_path):
    model = model_of(Ball(radius=0.2, centre=(0.2, 0, 0)))
    picture = paint(look_at_model(model, height=24, width=32))
    write_png(tmp_path / "view.png", picture)
    with Image.open(tmp_path / "view.png") as image:
        assert np.array_equal(np.asarray(image), picture)
    done: list[int] = []
    write_turntable(model, tmp_path / "turn.mp4", height=33, width=49, frames=6, on_frame=done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    frames = frames_of(tmp_path / "turn.mp4", height=32, width=48)
    assert len(frames) == 6
    assert np.abs(frames[0].astype(int) - frames[3]).mean() > 1
    assert {path.name for path in tmp_path.iterdir()} == {"view.png", "turn.mp4"}


@pytest.mark.parametrize("name", ["view.jpg", "view", "nowhere/view.png"])
def test_paths_that_cannot_be_written_are_refused(name, tmp_path):
    with pytest.raises(InputError, match=name.split("/")[0]):
        check_view_path(tmp_path / name)


@pytest.mark.parametrize("text", ["", "10", "0x5", "-3x4", "99999x10", "axb"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--size"):
        parse_size(text)
    assert parse_size("12x34") == (12, 34)
