"""The report of a fit: its 3D view holds the true shapes, works in a browser, and needs nothing but the page."""

import base64
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
import trimesh

from finer_core import build_network
from finer_core.app.run_folder import RunFolder
from finer_core.networks.build import published_config
from finer_core.training import JsonlLogger
from finer_sdf.app.report import cut_by_plane, field_on_slice, flat, write_report
from finer_sdf.geometry import Mesh, PointCloud, unit_vectors
from finer_sdf.model import SdfModel
from finer_sdf.normalization import Normalization
from finer_sdf.rendering import viewer
from finer_sdf.rendering.viewer import reduce_mesh, viewer_markup

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "<script>alert('x')</script>.ply"


def ball(*, radius: float = 0.4, rows: int = 40, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """Make a closed sphere of 4 * rows * (rows - 1) faces, looking outwards."""
    columns = 2 * rows
    polar = np.linspace(0, np.pi, rows + 1)[1:-1, None]
    around = np.arange(columns) * (2 * np.pi / columns)
    ring = np.stack(np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)))
    vertices = np.concatenate([[[0, 0, 1]], ring.reshape(3, -1).T, [[0, 0, -1]]])
    j = np.arange(columns)
    k = (j + 1) % columns
    faces = [np.stack([0 * j, 1 + j, 1 + k], axis=1)]
    for i in range(rows - 2):
        a, b = 1 + i * columns, 1 + (i + 1) * columns
        faces += [np.stack([a + j, b + j, b + k], axis=1), np.stack([a + j, b + k, a + k], axis=1)]
    last = 1 + (rows - 2) * columns
    faces.append(np.stack([last + j, 0 * j + len(vertices) - 1, last + k], axis=1))
    return Mesh(vertices=vertices * radius + center, faces=np.concatenate(faces).astype(np.int64))


def scene_of(markup: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', markup, re.S).group(1))


def decoded(text: str, dtype: str, columns: int = 1) -> np.ndarray:
    table = np.frombuffer(base64.b64decode(text), dtype=dtype)
    return table if columns == 1 else table.reshape(-1, columns)


def points_of(view: dict) -> np.ndarray:
    """Decode positions as the page does."""
    return decoded(view["positions"], "<u2", 3) / 65535 - 0.5


def write(folder, *, mesh, reference, errors=None, pictures=None, notes=(), metrics=None, weights=None) -> str:
    """Write a report with a tiny model; return the page."""
    run = RunFolder(folder)
    logger = JsonlLogger(run.metrics_log)
    for step in (1, 50, 100):
        logger.log(step, {"loss": 1.0 / step, "learning_rate": 1e-3, "seconds": 0.1 * step})
    logger.close()
    config = published_config(method="finer", task="sdf", in_features=3, out_features=1, hidden_features=16)
    network = build_network(config, generator=torch.Generator().manual_seed(0)).eval()
    for parameter in network.parameters() if weights is not None else ():
        torch.nn.init.constant_(parameter, weights)
    write_report(
        run,
        model=SdfModel(network=network, normalization=Normalization(scale=1.0, offset=(0.0, 0.0, 0.0))),
        mesh=mesh,
        reference=reference,
        errors=errors,
        pictures=pictures or {},
        metrics={"method": "finer", "device": "cpu", **(metrics or {})},
        config={
            "signal": NASTY,
            "settings": {"steps": 100},
            "network": config.to_dict(),
            "versions": {"finer-sdf": "0.1.0", "torch": "2"},
            "started": "2026-01-01T00:00:00+0000",
            "input_sha256": "ab" * 32,
            "shape": {"name": NASTY, "kind": "mesh", "elements": 12, "notes": list(notes)},
        },
    )
    return run.report.read_text(encoding="utf-8")


def test_positions_faces_and_errors_come_back():
    mesh = ball(rows=12, center=(0.01, -0.02, 0.03))
    errors = np.random.default_rng(0).uniform(0, 0.01, size=len(mesh.vertices))
    scene = scene_of(viewer_markup(mesh, ball(rows=8), errors=errors))
    result, reference = scene["views"]
    assert np.abs(points_of(result) - mesh.vertices).max() <= 0.5 / 65535 + 1e-12
    np.testing.assert_array_equal(decoded(result["faces"], "<u4", 3), mesh.faces)
    np.testing.assert_array_equal(decoded(reference["faces"], "<u4", 3), ball(rows=8).faces)
    shown = decoded(result["errors"], "u1") / 255 * scene["errorScale"]
    assert scene["errorScale"] == pytest.approx(np.quantile(errors, 0.99))
    assert np.abs(shown - np.minimum(errors, scene["errorScale"])).max() <= 0.5 / 255 * scene["errorScale"] + 1e-12
    assert "errors" not in reference


def test_what_lies_outside_the_box_is_moved_to_its_faces():
    mesh = ball(radius=0.7, rows=6)
    shown = points_of(scene_of(viewer_markup(mesh, None))["views"][0])
    np.testing.assert_allclose(shown, np.clip(mesh.vertices, -0.5, 0.5), atol=1e-5)


def test_the_camera_looks_at_the_reference():
    far = ball(radius=0.1, center=(0.3, 0.2, -0.1), rows=6)
    stray = Mesh(vertices=np.concatenate([far.vertices, [[-0.5, -0.5, -0.5]]]), faces=far.faces)
    for reference in (stray, PointCloud(points=far.vertices, normals=unit_vectors(far.vertices))):
        scene = scene_of(viewer_markup(ball(rows=6), reference))
        np.testing.assert_allclose(scene["center"], [0.3, 0.2, -0.1], atol=1e-9)
        assert scene["radius"] == pytest.approx(0.1)


def test_a_cloud_is_shown_as_points_with_normals(monkeypatch):
    points = ball(rows=10).vertices
    cloud = PointCloud(points=points, normals=unit_vectors(points))
    view = scene_of(viewer_markup(ball(rows=4), cloud))["views"][1]
    np.testing.assert_allclose(points_of(view), points, atol=1e-5)
    np.testing.assert_allclose(decoded(view["normals"], "i1", 3) / 127, unit_vectors(points), atol=0.5 / 127 + 1e-9)
    assert "faces" not in view
    monkeypatch.setattr(viewer, "MOST_FACES", 64)
    markup = viewer_markup(ball(rows=4), cloud)
    assert len(points_of(scene_of(markup)["views"][1])) <= 64
    assert f"reference: {len(points)} points; this view shows {-(-len(points) // 3)}, one of 3" in markup


@pytest.mark.parametrize("limit", [500, 5000])
def test_a_reduced_mesh_keeps_bounds_volume_and_the_largest_errors(limit):
    mesh = ball(rows=80)
    errors = np.zeros(len(mesh.vertices))
    errors[1234] = 0.5
    reduced = reduce_mesh(mesh, limit=limit, values=errors)
    assert limit / 2 < len(reduced.mesh.faces) <= limit
    assert np.abs(reduced.mesh.bounds - mesh.bounds).max() <= reduced.cell
    assert reduced.mesh.volume() == pytest.approx(mesh.volume(), rel=0.05)
    corners = np.sort(reduced.mesh.faces, axis=1)
    assert (np.diff(corners, axis=1) > 0).all()
    assert len(reduced.values) == len(reduced.mesh.vertices) == reduced.mesh.faces.max() + 1
    assert reduced.values.max() == 0.5
    nearest = reduced.mesh.vertices[reduced.values.argmax()]
    assert np.linalg.norm(nearest - mesh.vertices[1234]) <= np.sqrt(3) * reduced.cell


def test_a_small_mesh_is_not_reduced():
    mesh = ball(rows=6)
    reduced = reduce_mesh(mesh, limit=len(mesh.faces))
    assert reduced.mesh is mesh
    assert reduced.cell == 0


def test_the_caption_says_what_was_reduced(monkeypatch):
    monkeypatch.setattr(viewer, "MOST_FACES", 1000)
    mesh = ball(rows=40)
    markup = viewer_markup(mesh, None)
    shown = len(decoded(scene_of(markup)["views"][0]["faces"], "<u4", 3))
    assert shown <= 1000
    assert f"result: {len(mesh.faces):,} faces; this view is reduced to {shown:,} " in markup
    assert "largest error" not in markup


@pytest.mark.parametrize("errors", [np.zeros(3), np.full(26, np.nan), np.full(26, -1.0), np.zeros((26, 1))])
def test_errors_that_do_not_belong_to_the_mesh_are_refused(errors):
    mesh = ball(rows=4)
    assert len(mesh.vertices) == 26
    with pytest.raises(ValueError, match="26 finite distances"):
        viewer_markup(mesh, None, errors=errors)


def test_no_errors_at_all_still_make_a_scale():
    mesh = ball(rows=4)
    scene = scene_of(viewer_markup(mesh, None, errors=np.zeros(len(mesh.vertices))))
    assert scene["errorScale"] > 0
    assert not decoded(scene["views"][0]["errors"], "u1").any()


def test_the_error_view_is_offered_only_with_errors():
    mesh = ball(rows=4)
    assert 'data-mode="error"' not in viewer_markup(mesh, mesh)
    markup = viewer_markup(mesh, mesh, errors=np.linspace(0, 1, len(mesh.vertices)))
    assert 'data-mode="error"' in markup
    assert "box units; largest 1<" in markup
    assert markup.count("<canvas") == markup.count("aria-label=") - 1 == 2


def test_the_whole_page(tmp_path):
    mesh = ball(rows=10)
    errors = np.linspace(0, 1e-3, len(mesh.vertices))
    picture = np.full((4, 5, 3), 7, dtype=np.uint8)
    page = write(
        tmp_path,
        mesh=mesh,
        reference=ball(rows=12),
        errors=errors,
        pictures={"normals <n>": picture},
        notes=["3 faces & more were dropped."],
        metrics={"chamfer": {"l1": 0.25, "floor": {"l1": 0.125}}, "iou": None},
    )
    text = html.unescape(re.sub(r"<[^>]*>", "\n", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)))
    for expected in ("chamfer.l1", "0.25", "chamfer.floor.l1", "0.125", "iou", "-", "normals <n>"):
        assert expected in text.split("\n"), expected
    assert "3 faces & more were dropped." in text
    assert NASTY in text
    assert "SHA-256 " + "ab" * 32 in text
    assert page.count("data:image/png;base64,") == 2, "the picture and the slice"
    assert page.count("data:image/svg+xml;base64,") == 1, "the training curve"
    assert page.count("alert(") == text.count("alert("), "only as text"


def test_the_page_loads_nothing(tmp_path):
    mesh = ball(rows=6)
    page = write(tmp_path, mesh=mesh, reference=mesh, errors=np.zeros(len(mesh.vertices)))
    assert not re.search(r"https?:|//\w+\.|fetch\(|XMLHttpRequest|import\(|@import|url\(|WebSocket", page)
    sources = re.findall(r'\b(?:src|href)="([^"]{0,20})', page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)


@pytest.mark.parametrize("case", ["no reference", "a cloud", "no surface", "an empty mesh", "nothing at all"])
def test_what_is_missing_is_left_out(tmp_path, case):
    mesh = ball(rows=6)
    cloud = PointCloud(points=mesh.vertices, normals=unit_vectors(mesh.vertices))
    empty = Mesh(vertices=np.zeros((0, 3)), faces=np.zeros((0, 3), dtype=np.int64))
    result, reference = {
        "no reference": (mesh, None),
        "a cloud": (mesh, cloud),
        "no surface": (None, mesh),
        "an empty mesh": (empty, mesh),
        "nothing at all": (None, None),
    }[case]
    page = write(tmp_path, mesh=result, reference=reference)
    assert page.count("<canvas") == {"no reference": 1, "a cloud": 2}.get(case, 0)
    assert ("no surface to show" in page) == (case in ("no surface", "an empty mesh", "nothing at all"))
    assert ("orange: the reference" in page) == (case in ("no surface", "an empty mesh"))


@pytest.mark.parametrize("weights", [0.0, 1.0, float("nan")])
def test_a_field_without_a_surface_still_has_its_slice(tmp_path, weights):
    page = write(tmp_path, mesh=None, reference=None, weights=weights)
    assert page.count("data:image/png;base64,") == 1


def test_flat_names():
    assert flat({"a": 1, "b": {"c": None, "d": {"e": 2.5}}}) == {"a": 1, "b.c": "-", "b.d.e": 2.5}


def test_the_cut_of_a_ball_is_a_closed_circle():
    mesh = ball(radius=0.4, rows=50)
    for height in (0.0, 0.1, float(mesh.vertices[200, 2])):  # a ring of vertices lies on the first and the last
        segments = cut_by_plane(mesh, height=height)
        radii = np.linalg.norm(segments, axis=2)
        np.testing.assert_allclose(radii, np.sqrt(0.4**2 - height**2), rtol=3e-3)
        length = np.linalg.norm(segments[:, 0] - segments[:, 1], axis=1).sum()
        assert length == pytest.approx(2 * np.pi * np.sqrt(0.4**2 - height**2), rel=3e-3)
    assert cut_by_plane(mesh, height=0.41).shape == (0, 2, 2)


def test_the_cut_of_a_box_is_its_outline():
    solid = trimesh.creation.box(extents=(0.6, 0.4, 0.2))
    box = Mesh(vertices=np.asarray(solid.vertices) + 0.1, faces=np.asarray(solid.faces, dtype=np.int64))
    low, high = box.bounds
    segments = cut_by_plane(box, height=float(0.3 * low[2] + 0.7 * high[2]))
    np.testing.assert_allclose(segments.reshape(-1, 2).min(axis=0), low[:2])
    np.testing.assert_allclose(segments.reshape(-1, 2).max(axis=0), high[:2])
    length = np.linalg.norm(segments[:, 0] - segments[:, 1], axis=1).sum()
    assert length == pytest.approx(2 * (high - low)[:2].sum())


def test_the_slice_has_x_along_columns_and_y_along_rows():
    class Plane(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([[1.0], [10.0], [100.0]]))

        def forward(self, coords):
            return coords @ self.weight

    model = SdfModel(network=Plane(), normalization=Normalization(scale=1.0, offset=(0.0, 0.0, 0.0)))
    values = field_on_slice(model, height=0.25, points=200)
    assert values.shape == (200, 200)
    corners = [values[0, 0], values[0, -1], values[-1, 0], values[-1, -1]]
    np.testing.assert_allclose(corners, [25 - 5.5, 25 - 4.5, 25 + 4.5, 25 + 5.5], rtol=1e-6)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Let a browser open a report and use it; return what was drawn after each act, and the page it left."""
    if BROWSER is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    folder = tmp_path_factory.mktemp("browser")
    result, reference = ball(rows=16, center=(0.03, 0.0, 0.0)), ball(rows=16)
    bent = result.vertices * [1.0, 0.6, 0.8]  # no symmetry that would hide a turn
    mesh = Mesh(vertices=bent, faces=result.faces)
    write(folder, mesh=mesh, reference=reference, errors=np.abs(mesh.vertices[:, 0]))
    flags = "--headless=new --no-sandbox --disable-gpu-sandbox --use-gl=angle --use-angle=swiftshader"
    more = "--enable-unsafe-swiftshader --no-first-run --disable-extensions --window-size=900,900"
    address = (folder / "report.html").as_uri() + "#selftest"
    own = [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run(
        [BROWSER, *flags.split(), *more.split(), *own, address], capture_output=True, text=True, timeout=300
    )
    found = re.search(r'data-selftest="([^"]*)"', done.stdout)
    assert found, f"exit {done.returncode}: the page did not finish\n{done.stderr[-2000:]}"
    return json.loads(html.unescape(found.group(1))), done.stdout


def hashes(seen, act: str) -> list[int]:
    return [picture["hash"] for picture in seen[0][act]]


def test_a_browser_draws_both_shapes(seen):
    for picture in seen[0]["first"]:
        assert picture["failed"] == 0
        assert picture["pixels"] == 398**2, "400 pixels with a border of one: whatever the layout"
        assert 0.15 < picture["drawn"] / picture["pixels"] < 0.85
    assert len(set(hashes(seen, "first"))) == 2
    assert 'class="view3d-missing" hidden' in seen[1]


@pytest.mark.parametrize("act", ["dragged", "zoomed", "pinched", "key", "normals"])
def test_using_one_view_changes_both(seen, act):
    assert all(now != before for now, before in zip(hashes(seen, act), hashes(seen, "first"), strict=True))


def test_a_drag_ends_when_the_button_is_released(seen):
    assert hashes(seen, "released") == hashes(seen, "dragged")


def test_a_double_click_restores_the_first_picture(seen):
    assert hashes(seen, "reset") == hashes(seen, "first")


def test_the_wheel_and_two_fingers_zoom(seen):
    first, zoomed, pinched = (seen[0][act][1]["drawn"] for act in ("first", "zoomed", "pinched"))
    assert zoomed > 1.3 * first, "turned away from the visitor: larger"
    assert pinched < 0.6 * first, "fingers that close: smaller"


def test_the_error_view_colours_the_result_alone(seen):
    error, first = hashes(seen, "error"), hashes(seen, "first")
    assert error[0] != first[0]
    assert error[1] == first[1]
    assert hashes(seen, "shaded") == first
