"""Rays meet surfaces where they are, cameras look where they say, and pictures show what was asked for."""

import subprocess
import tracemalloc
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import trimesh
from matplotlib import colormaps
from PIL import Image

from finer_core.app.cli import parse_size
from finer_core.errors import InputError
from finer_core.networks import Network
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.model import SdfModel
from finer_sdf.normalization import THE_BOX_ITSELF
from finer_sdf.rendering import raycast
from finer_sdf.rendering.camera import BOX_RADIUS, FIELD_OF_VIEW, OrbitCamera, sphere_around
from finer_sdf.rendering.images import LARGEST_SIDE, check_size, check_view_path, paint, write_png, write_turntable
from finer_sdf.rendering.raycast import raycast_field, raycast_mesh, steepness_of
from finer_sdf.rendering.shading import ERROR_MAP, round_up, with_color_bar
from finer_sdf.rendering.sphere_tracing import box_interval, trace
from tests.sdf.analytic import SHAPES, Torus

RADIUS = 0.3
SMALL = {"height": 32, "width": 32}


class Ball(Network):
    """The exact field of a sphere, with a parameter so that it has a device."""

    def __init__(self, *, radius: float = RADIUS, center: tuple[float, float, float] = (0, 0, 0), slope: float = 1.0):
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(radius))
        self.center, self.slope = torch.tensor(center, dtype=torch.float32), slope

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        return self.slope * ((coords - self.center).norm(dim=-1, keepdim=True) - self.radius)


def model_of(network: Network) -> SdfModel:
    return SdfModel(network=network, normalization=THE_BOX_ITSELF)


def ball_mesh(radius: float) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    return Mesh(vertices=np.asarray(ball.vertices), faces=np.asarray(ball.faces, dtype=np.int64))


def rays(**camera: object) -> tuple[torch.Tensor, torch.Tensor]:
    origins, directions = OrbitCamera(**camera).rays(height=40, width=40)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)


def exact_depth(rays_o: torch.Tensor, rays_d: torch.Tensor) -> torch.Tensor:
    """Return where rays meet the ball, infinite where they miss it, (n,) float64."""
    rays_o, rays_d = rays_o.double(), rays_d.double()
    half = (rays_o * rays_d).sum(1)
    under = half**2 - (rays_o**2).sum(1) + RADIUS**2
    return torch.where(under > 0, -half - under.clamp(min=0).sqrt(), torch.inf)


@pytest.mark.parametrize(("slope", "lipschitz"), [(0.5, 1.0), (1.0, 1.0), (3.0, 3.0), (1.3, 1.0)])
def test_depths_are_exact_even_where_the_field_is_steeper_than_said(slope, lipschitz):
    rays_o, rays_d = rays()
    hits = trace(Ball(slope=slope), rays_o, rays_d, lipschitz=lipschitz)
    expected = exact_depth(rays_o, rays_d)
    to_axis = (rays_o - (rays_o * rays_d).sum(1, keepdim=True) * rays_d).norm(dim=1)
    sure = (to_axis - RADIUS).abs() > 1e-3  # the others graze the ball
    assert not (hits.mask & ~expected.isfinite())[sure].any()
    missed = (~hits.mask & expected.isfinite())[sure].sum()
    assert missed <= (0 if slope <= lipschitz else 0.05 * hits.mask.sum())  # steps too long may pass a thin edge
    met = hits.mask & sure
    assert 100 < met.sum() < len(met) / 2
    assert float((hits.depth - expected)[met].abs().max()) < 1e-4
    assert torch.equal(hits.points[met], (rays_o + hits.depth[:, None] * rays_d)[met])
    assert not hits.depth[~hits.mask].isfinite().any()


def test_a_field_of_changing_steepness_is_traced_right():
    warped = lambda coords: ball(coords) * (2 + torch.sin(40 * coords).mean(dim=1, keepdim=True))  # noqa: E731
    ball = Ball()
    rays_o, rays_d = rays()
    of_true, of_warped = (trace(field, rays_o, rays_d, lipschitz=3.5) for field in (ball, warped))
    assert (of_true.mask != of_warped.mask).sum() <= 2
    both = of_true.mask & of_warped.mask
    assert float((of_true.depth - of_warped.depth)[both].abs().quantile(0.99)) < 1e-4


@pytest.mark.parametrize(("sign", "lipschitz"), [(1, 40.0), (-1, 1.5)])
def test_a_long_step_through_a_bent_field_is_taken_back_to_its_zero(sign, lipschitz):
    bent = lambda coords: sign * torch.expm1(sign * 8 * (coords[:, 2:] - 0.1))  # noqa: E731
    hits = trace(bent, torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]]), lipschitz=lipschitz)
    assert float(hits.depth[0]) == pytest.approx(1.9, abs=1e-5)


def test_a_torus_is_met_at_its_front_and_seen_through_its_hole():
    torus = SHAPES["torus"]
    assert isinstance(torus, Torus)
    field = lambda coords: torch.from_numpy(torus.signed_distance(coords.double().numpy()))[:, None]  # noqa: E731
    rays_o = torch.tensor([[0.0, 0.0, 2.0], [0.28, 0.0, 2.0], [2.0, 0.0, 0.0], [2.0, 0.28, 0.0], [0.0, 0.43, 2.0]])
    rays_d = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    hits = trace(field, rays_o, rays_d)
    assert hits.mask.tolist() == [False, True, True, True, False]
    expected = [2 - 0.12, 2 - 0.4, 2 - np.sqrt(0.4**2 - 0.28**2)]
    np.testing.assert_allclose(hits.depth[1:4], expected, atol=1e-5)


@pytest.mark.parametrize("slope", [0.5, 3.0])
def test_a_models_steepness_is_measured(slope):
    assert steepness_of(model_of(Ball(slope=slope))) == pytest.approx(max(1.1, 1.1 * slope), rel=0.01)
    points = raycast_field(model_of(Ball(slope=slope)), height=24, width=24).points
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), RADIUS, atol=2e-5)


def test_a_thin_wall_is_not_stepped_over():
    wall = lambda coords: coords[:, 2:].abs() - 0.002  # noqa: E731
    rays_o, rays_d = torch.tensor([[0.1, 0.1, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    hits = trace(wall, rays_o, rays_d)
    assert bool(hits.mask[0])
    assert float(hits.depth[0]) == pytest.approx(1.998, abs=2e-4)


def test_a_shape_that_the_box_cuts_is_met_where_the_ray_enters():
    hits = trace(Ball(radius=2.0), torch.tensor([[0.1, 0.2, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]]))
    assert hits.mask.tolist() == [True]
    assert float(hits.depth[0]) == pytest.approx(1.5)


def test_rays_that_miss_the_box_or_look_away_meet_nothing():
    rays_o = torch.tensor([[0.0, 0.0, 2.0], [2.0, 2.0, 2.0], [0.0, 0.0, 2.0]])
    rays_d = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [0.0, 0.0, -1.0]])
    near, far = box_interval(rays_o, rays_d)
    assert (near < far).tolist() == [False, False, True]
    assert trace(Ball(), rays_o, rays_d).mask.tolist() == [False, False, True]
    assert trace(Ball(), rays_o[:2], rays_d[:2]).points.tolist() == [[0.0, 0.0, 0.0]] * 2


def test_values_that_are_no_numbers_meet_nothing():
    nothing = trace(lambda coords: coords[:, :1] * torch.nan, *rays())
    assert not nothing.mask.any()


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


@pytest.mark.parametrize(
    ("center", "up", "rows", "columns"),
    [
        ((0, 0.3, 0), "y", slice(0, 48), slice(24, 72)),
        ((0.3, 0, 0), "y", slice(24, 72), slice(48, 96)),
        ((0, 0, 0.3), "z", slice(0, 48), slice(24, 72)),
        ((0, 0.3, 0), "z", slice(24, 72), slice(48, 96)),
        ((0, -0.3, 0), "-y", slice(0, 48), slice(24, 72)),
        ((-0.3, 0, 0), "-y", slice(24, 72), slice(48, 96)),
        ((0, 0, -0.3), "-z", slice(0, 48), slice(24, 72)),
    ],
)
def test_up_is_up_and_right_is_right(center, up, rows, columns):
    model = model_of(Ball(radius=0.1, center=center))
    mask = raycast_field(model, height=48, width=48, azimuth=0, elevation=0, up=up).mask.reshape(96, 96)
    assert mask.any()
    assert mask[rows, columns].sum() == mask.sum()


def test_a_wide_picture_shows_more_at_its_sides():
    square, wide = (raycast_field(model_of(Ball()), height=40, width=width) for width in (40, 80))
    assert np.array_equal(square.mask.reshape(80, 80), wide.mask.reshape(80, 160)[:, 40:120])


def test_bands_of_rows_make_the_whole_picture(monkeypatch):
    done: list[int] = []
    whole = raycast_field(model_of(Ball()), height=30, width=20)
    of_mesh = raycast_mesh(ball_mesh(RADIUS), height=30, width=20)
    monkeypatch.setattr(raycast, "_RAYS_AT_ONCE", 7 * 20 * 4)
    in_bands = raycast_field(model_of(Ball()), height=30, width=20, on_rows=done.append)
    assert done == [7, 14, 21, 28, 30]
    for one, other in ((whole, in_bands), (of_mesh, raycast_mesh(ball_mesh(RADIUS), height=30, width=20))):
        assert np.array_equal(one.mask, other.mask)
        assert np.array_equal(paint(one), paint(other))


@pytest.mark.parametrize("kind", ["shaded", "normals", "error"])
def test_a_picture_takes_little_memory_beside_what_is_seen(kind):
    count = 4 * 300 * 300
    normals = np.tile(np.array([[0, 0.6, 0.8]], dtype=np.float32), (count, 1))
    seen = raycast.Raycast(
        mask=np.ones(count, dtype=bool),
        points=RADIUS * normals,
        normals=normals,
        camera=OrbitCamera(),
        height=300,
        width=300,
        supersample=2,
    )
    reference = MeshDistance(ball_mesh(RADIUS))
    tracemalloc.start()
    paint(seen, kind, reference=reference)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * count + 30e6


@pytest.mark.parametrize("camera", [{"up": "w"}, {"azimuth": float("nan")}])
def test_cameras_that_are_none_are_refused(camera):
    with pytest.raises(InputError, match=f"{next(iter(camera))} '?{next(iter(camera.values()))}") as caught:
        OrbitCamera(**camera).rays(height=2, width=2)
    assert len(str(caught.value)) < 150


def test_the_camera_fits_the_shape():
    center, radius = sphere_around(np.array([[-0.1, -0.2, -0.3], [0.3, 0.2, 0.1]]))
    assert center == pytest.approx((0.1, 0.0, -0.1))
    origins, directions = OrbitCamera(center=center, radius=radius).rays(height=65, width=65)
    middle = directions[0, 32]  # the upper edge's ray touches the sphere
    offset = torch.tensor(center) - origins[0, 0]
    across = (offset - (offset @ middle) * middle).norm()
    assert float(across) == pytest.approx(radius, rel=0.03)


def test_a_silhouette_has_the_right_area():
    height, distance = 200, BOX_RADIUS / np.sin(np.radians(FIELD_OF_VIEW / 2))
    pixels_a_unit = height / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    radius = pixels_a_unit * RADIUS / np.sqrt(distance**2 - RADIUS**2)
    mask = raycast_field(model_of(Ball()), height=height, width=height, supersample=1).mask
    assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.005)


def test_normals_and_points_of_model_and_mesh_agree():
    of_model, of_mesh = raycast_field(model_of(Ball()), **SMALL), raycast_mesh(ball_mesh(RADIUS), **SMALL)
    np.testing.assert_allclose(of_model.normals, of_model.points / RADIUS, atol=1e-4)
    # The mesh's camera fits the mesh, so the two pictures differ in scale.
    np.testing.assert_allclose(of_mesh.normals, of_mesh.points / RADIUS, atol=0.03)
    np.testing.assert_allclose(np.linalg.norm(of_mesh.points, axis=1), RADIUS, atol=2e-4)


def test_a_mesh_looks_the_same_with_its_faces_reversed():
    mesh = ball_mesh(RADIUS)
    reversed_mesh = Mesh(vertices=mesh.vertices, faces=np.ascontiguousarray(mesh.faces[:, ::-1]))
    assert np.array_equal(*(paint(raycast_mesh(each, **SMALL)) for each in (mesh, reversed_mesh)))


def test_a_normal_picture_shows_the_normal_in_the_middle():
    seen = raycast_field(model_of(Ball()), height=33, width=33, azimuth=90, elevation=0)
    np.testing.assert_allclose(paint(seen, "normals")[16, 16], [255, 127.5, 127.5], atol=1.5)
    assert paint(seen, "normals")[0, 0].tolist() == [255, 255, 255]


def test_clay_is_lit_from_above_and_stands_on_white():
    picture = paint(raycast_field(model_of(Ball()), height=65, width=65, elevation=0)).astype(int)
    assert picture[0, 0].tolist() == [255, 255, 255]
    brightness = picture.sum(axis=2)
    rows = np.flatnonzero(brightness[:, 32] < 740)
    assert brightness[rows[0] + 4, 32] > brightness[rows[-1] - 4, 32] + 150
    assert (picture[brightness < 700] > 30).all()  # nothing is lost in black


@pytest.mark.parametrize(("azimuth", "distance"), [(90, 0.01), (0, 0.0)])
def test_the_error_picture_shows_the_distance_to_the_reference(azimuth, distance):
    shifted = raycast_field(model_of(Ball(center=(0.01, 0, 0))), height=201, width=201, azimuth=azimuth, elevation=0)
    picture = paint(shifted, "error", reference=MeshDistance(ball_mesh(RADIUS)), largest_error=0.02)
    expected = 255 * np.asarray(colormaps[ERROR_MAP](distance / 0.02)[:3])
    np.testing.assert_allclose(picture[100, 100], expected, atol=5)


def test_an_error_picture_needs_a_reference_and_a_known_kind(tmp_path):
    model = model_of(Ball())
    seen = raycast_field(model, height=4, width=4)
    for kind, named in (("error", "reference"), ("x", "'x'")):
        with pytest.raises(InputError, match=named):
            paint(seen, kind)
        with pytest.raises(InputError, match=named):
            write_turntable(model, tmp_path / "turn.mp4", height=4, width=4, kind=kind)
    assert not list(tmp_path.iterdir())


def test_a_field_without_a_surface_gives_an_empty_picture():
    seen = raycast_field(model_of(Ball(radius=-0.1)), height=40, width=40)
    assert (paint(seen) == 255).all()
    assert paint(seen, "error", reference=MeshDistance(ball_mesh(RADIUS))).shape == (40, 40, 3)


@pytest.mark.parametrize(("value", "rounded"), [(0.0011, 0.002), (0.002, 0.002), (3.0, 5.0), (7e-5, 1e-4), (0.0, 1.0)])
def test_color_bars_end_at_round_numbers(value, rounded):
    assert round_up(value) == pytest.approx(rounded)


def test_a_color_bar_is_drawn_into_the_corner():
    plain = np.full((120, 160, 3), 255, dtype=np.uint8)
    drawn = with_color_bar(plain, largest=0.01, label="distance")
    assert (drawn[:60] == 255).all()
    assert (drawn[60:, :80] != 255).any()
    assert (plain == 255).all()


def frames_of(path: Path, *, height: int, width: int) -> np.ndarray:
    """Decode a film of a known size."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, height, width, 3)


def test_pictures_and_turntables_can_be_read_back(tmp_path):
    model = model_of(Ball(radius=0.2, center=(0.2, 0, 0)))
    picture = paint(raycast_field(model, height=24, width=32))
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


def test_a_turntable_that_is_interrupted_leaves_nothing(tmp_path):
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_turntable(model_of(Ball()), tmp_path / "turn.mp4", height=16, width=16, frames=3, on_frame=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["view.jpg", "view", "nowhere/view.png"])
def test_paths_that_cannot_be_written_are_refused(name, tmp_path):
    with pytest.raises(InputError, match=name.split("/")[0]):
        check_view_path(tmp_path / name)


@pytest.mark.parametrize(("name", "named"), [("turn.png", "turn.png"), ("nowhere/turn.mp4", "nowhere")])
def test_a_turntable_is_refused_before_any_work(name, named, tmp_path):
    class Unused(Ball):
        def forward(self, coords: torch.Tensor) -> torch.Tensor:
            raise AssertionError("the field was asked")

    with pytest.raises(InputError, match=named):
        write_turntable(model_of(Unused()), tmp_path / name, height=8, width=8)
    with pytest.raises(InputError, match="at least 1 frame, got 0"):
        write_turntable(model_of(Unused()), tmp_path / "turn.mp4", height=8, width=8, frames=0)
    with pytest.raises(InputError, match=r"view\.mp4"):
        write_png(tmp_path / "view.mp4", np.zeros((2, 2, 3), dtype=np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_size_may_be_an_array():
    assert check_size(np.array([3, 4])) == check_size((3, 4)) == (3, 4)


@pytest.mark.parametrize("text", ["", "10", "0x5", "-3x4", "99999x10", "axb", "9" * 5000 + "x1"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--size"):
        parse_size(text, most=LARGEST_SIDE)
    assert parse_size("12x34") == (12, 34)
