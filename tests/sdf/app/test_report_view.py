"""The report of a fit: its 3D view holds the true shapes, works in a browser, and needs nothing but the page."""

import base64
import html
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

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


def scene_of(markup: str) -> trimesh.Scene:
    """Return what the page draws."""
    content = re.search(r'base64_data="([^"]*)"', html.unescape(markup)).group(1)
    return trimesh.load_scene(io.BytesIO(base64.b64decode(content)), file_type="glb", process=False)


def drawn_in(markup: str) -> list[trimesh.Trimesh | trimesh.PointCloud]:
    """Return the result, and what stands beside it, where they stand."""
    return sorted(scene_of(markup).dump(), key=lambda shape: shape.bounds[:, 0].mean())


def test_the_result_has_the_colors_of_its_errors_and_the_reference_stands_beside_it():
    mesh, reference = ball(rows=12, center=(0.01, -0.02, 0.03)), ball(rows=8)
    errors = np.linspace(0, 0.01, len(mesh.vertices))
    markup = viewer_markup(mesh, reference, errors=errors)
    drawn, beside = drawn_in(markup)
    np.testing.assert_allclose(drawn.vertices, mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(drawn.faces, mesh.faces)
    assert drawn.bounds[1, 0] < beside.bounds[0, 0], "apart"
    np.testing.assert_allclose(np.ptp(beside.vertices, axis=0), np.ptp(reference.vertices, axis=0), atol=1e-6)
    green = drawn.visual.vertex_colors[:, 1].astype(int)
    assert green[0] > 250 and green[-1] < 10 and (np.diff(green) <= 0).all(), "from light to dark red"
    assert len(np.unique(beside.visual.vertex_colors, axis=0)) == 1
    assert "from light (0) to dark red (0.0099 box units or more)" in markup
    assert "colored" not in viewer_markup(mesh, reference)


def test_a_cloud_is_shown_as_points(monkeypatch):
    points = ball(rows=10).vertices
    cloud = PointCloud(points=points, normals=unit_vectors(points))
    _, beside = drawn_in(viewer_markup(ball(rows=4), cloud))
    np.testing.assert_allclose(beside.vertices - beside.vertices.mean(axis=0), points, atol=1e-6)
    monkeypatch.setattr(viewer, "MOST_FACES", 64)
    markup = viewer_markup(ball(rows=4), cloud)
    assert len(drawn_in(markup)[1].vertices) <= 64
    assert f"reference: {len(points)} points, of which one of 3 is shown" in markup


@pytest.mark.parametrize("limit", [500, 5000])
def test_a_reduced_mesh_keeps_bounds_volume_and_the_largest_errors(limit):
    mesh = ball(rows=80)
    errors = np.zeros(len(mesh.vertices))
    errors[1234] = 0.5
    reduced, values = reduce_mesh(mesh, limit=limit, values=errors)
    assert limit / 2 < len(reduced.faces) <= limit
    cell = 3 * np.sqrt(mesh.area() / limit)
    assert np.abs(reduced.bounds - mesh.bounds).max() <= cell
    assert reduced.volume() == pytest.approx(mesh.volume(), rel=0.05)
    corners = np.sort(reduced.faces, axis=1)
    assert (np.diff(corners, axis=1) > 0).all()
    assert len(values) == len(reduced.vertices) == reduced.faces.max() + 1
    assert values.max() == 0.5
    assert np.linalg.norm(reduced.vertices[values.argmax()] - mesh.vertices[1234]) <= np.sqrt(3) * cell


def test_a_small_mesh_is_not_reduced():
    mesh = ball(rows=6)
    assert reduce_mesh(mesh, limit=len(mesh.faces))[0] is mesh


def test_the_caption_says_what_was_reduced(monkeypatch):
    monkeypatch.setattr(viewer, "MOST_FACES", 1000)
    mesh = ball(rows=40)
    markup = viewer_markup(mesh, None)
    shown = len(drawn_in(markup)[0].faces)
    assert shown <= 1000
    assert f"result: {len(mesh.faces):,} faces, here reduced to {shown:,}" in markup


@pytest.mark.parametrize("errors", [np.zeros(3), np.full(26, np.nan), np.full(26, -1.0), np.zeros((26, 1))])
def test_errors_that_do_not_belong_to_the_mesh_are_refused(errors):
    mesh = ball(rows=4)
    assert len(mesh.vertices) == 26
    with pytest.raises(ValueError, match="26 finite distances"):
        viewer_markup(mesh, None, errors=errors)


def test_no_errors_at_all_are_light():
    mesh = ball(rows=4)
    (drawn,) = drawn_in(viewer_markup(mesh, None, errors=np.zeros(len(mesh.vertices))))
    assert (drawn.visual.vertex_colors[:, 1] > 250).all()


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
    page = re.sub(' srcdoc="[^"]*"', "", page)
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
    inner = html.unescape(re.search(' srcdoc="([^"]*)"', page).group(1))
    assert not re.search(r"<\w+[^>]*\b(?:src|href)=|@import", inner)
    page = page.replace(html.escape(inner), "")
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
    assert page.count("<iframe") == (case in ("no reference", "a cloud"))
    assert ("beside it the reference" in page) == (case == "a cloud")
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


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_a_browser_draws_both_shapes(tmp_path):
    mesh = ball(rows=16)
    markup = viewer_markup(mesh, mesh, errors=np.abs(mesh.vertices[:, 0]))
    (tmp_path / "view.html").write_text(f"<!doctype html><body style='margin: 0'>{markup}", encoding="utf-8")
    flags = "--headless=new --no-sandbox --disable-gpu-sandbox --use-gl=angle --use-angle=swiftshader"
    more = "--enable-unsafe-swiftshader --no-first-run --disable-extensions --window-size=900,600"
    own = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000"]
    own += [f"--screenshot={tmp_path / 'seen.png'}", (tmp_path / "view.html").as_uri()]
    subprocess.run([BROWSER, *flags.split(), *more.split(), *own], capture_output=True, timeout=300, check=True)
    pixels = np.asarray(Image.open(tmp_path / "seen.png").convert("RGB"), dtype=int)[5:400, 5:890]
    is_drawn, is_red = pixels.min(axis=2) < 200, pixels[..., 0] > pixels[..., 2] + 60
    for half, red in ((slice(0, 442), True), (slice(442, None), False)):
        assert 0.1 < is_drawn[:, half].mean() < 0.6
        assert bool((is_red & is_drawn)[:, half].mean() > 0.02) == red
