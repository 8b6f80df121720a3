"""Wrong input: exit code 2, one line naming the file or value and the reason, and nothing left behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from finer_sdf.app.cli import main
from tests.refusals import assert_refused
from tests.sdf.shape_files import SMALL, ellipsoid, write_ellipsoid

GOOD_OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"


def picture(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, format="PNG")


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.ply": (lambda path: None, "no such file"),
    "empty.obj": (lambda path: path.write_text(""), "empty"),
    "no_faces.obj": (lambda path: path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nv 1 1 1\n"), "face"),
    "nan.obj": (lambda path: path.write_text(GOOD_OBJ.replace("v 0 0 1", "v nan 0 1")), ""),
    "picture.ply": (picture, ""),
    "flat_as_a_point.obj": (lambda path: path.write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n"), ""),
    "drawing.dxf": (lambda path: path.write_text("0\nSECTION"), "unknown format"),
}


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    assert_refused(main, arguments, capsys, *words)


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_leave_no_run(name, tmp_path, capsys):
    write, word = BAD_FILES[name]
    write(tmp_path / name)
    fails(["fit", str(tmp_path / name), "--out", str(tmp_path / "run"), *SMALL], capsys, name, word)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "finr"], ["'finr'", "did you mean 'finer'"]),
        (["--steps", "0"], ["--steps", "0"]),
        (["--resolution", "1"], ["--resolution", "1"]),
        (["--resolution", "6000"], ["6000", "--memory", "largest that fits"]),
        (["--resolution", "512", "--memory", "700MB"], ["512", "largest that fits"]),
        (["--memory", "100MB"], ["memory", "0.1"]),
        (["--samples", "10"], ["--samples", "10"]),
        (["--cloud-points", "2000"], ["--cloud-points 2000", "of preset paper", "nothing in preset fast"]),
        (["--first-bias-scale", "-1"], ["-1"]),
        (["--learning-rate", "nan"], ["--learning-rate", "nan"]),
        (["--optimizer", "adam", "--matrix-learning-rate", "1"], ["--matrix-learning-rate 1", "muon or soap"]),
        (["--option", "first_omega_0=3", "--first-omega-0", "4"], ["first_omega_0=3", "--first-omega-0", "both"]),
        (["--resume", "--overwrite"], ["--resume", "--overwrite"]),
    ],
)
def test_bad_settings(arguments, words, tmp_path, capsys):
    small = SMALL if "--resolution" not in arguments else SMALL[: SMALL.index("--resolution")]
    fails(["fit", "--out", str(tmp_path / "run"), *small, *arguments, "--quiet"], capsys, *words)
    assert not (tmp_path / "run").exists()


def test_settings_of_the_other_preset_are_refused_by_name(tmp_path, capsys):
    egg, out = write_ellipsoid(tmp_path / "egg.ply"), ["--out", str(tmp_path / "run"), "--device", "cpu", "--quiet"]
    paper = ["fit", str(egg), *out, "--preset", "paper"]
    fails([*paper, "--samples", "3000"], capsys, "--samples 3000", "of preset fast", "nothing in preset paper")
    fails([*paper, "--batch-points", "501"], capsys, "--batch-points", "501", "even")
    fails([*paper, "--matrix-learning-rate", "1"], capsys, "--matrix-learning-rate 1", "adam")
    np.savetxt(tmp_path / "cloud.xyz", np.random.default_rng(0).normal(size=(50, 6)))
    cloud = ["fit", str(tmp_path / "cloud.xyz"), *out, "--preset", "paper", "--cloud-points", "2000"]
    fails(cloud, capsys, "--cloud-points 2000", "a cloud of 50 points", "leave it out")
    assert not (tmp_path / "run").exists()


def test_a_mesh_inside_out_is_accepted_and_reported(tmp_path, capsys):
    mesh = ellipsoid()
    path = tmp_path / "inverted.ply"
    trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False).export(path)
    arguments = [argument for argument in SMALL if argument != "--quiet"]
    assert main(["fit", str(path), "--out", str(tmp_path / "run"), *arguments]) == 0
    assert "inward" in capsys.readouterr().err
    assert trimesh.load(tmp_path / "run" / "mesh.ply", process=False).volume == pytest.approx(mesh.volume(), rel=0.05)


def test_models_and_references_of_another_kind_are_refused(tmp_path, capsys):
    shape = write_ellipsoid(tmp_path / "egg.ply")
    (tmp_path / "not.safetensors").write_bytes(b"hello")
    fails(["mesh", str(tmp_path / "not.safetensors"), "--out", str(tmp_path / "m.ply")], capsys, "not.safetensors")
    fails(["mesh", str(tmp_path / "absent.safetensors"), "--out", str(tmp_path / "m.ply")], capsys, "absent")
    fails(["mesh", "x.safetensors", "--out", str(tmp_path / "m.jpg")], capsys, ".jpg")
    fails(["evaluate", str(shape), str(tmp_path / "absent.ply")], capsys, "absent.ply")
    fails(["evaluate", str(shape), str(shape), "--samples", "3"], capsys, "--samples")
    np.savetxt(tmp_path / "cloud.xyz", np.random.default_rng(0).normal(size=(50, 6)))
    fails(["evaluate", str(tmp_path / "cloud.xyz"), str(shape)], capsys, "cloud.xyz", "point cloud")
    fails(["render", "x.safetensors", "--out", str(tmp_path / "no" / "v.png")], capsys, "no")
    fails(["render", "x.safetensors", "--out", str(tmp_path / "v.bmp")], capsys, ".bmp")
    fails(["render", "x.safetensors", "--out", str(tmp_path / "v.png"), "--kind", "error"], capsys, "--reference")
    fails(["render", "x.safetensors", "--out", str(tmp_path / "v.png"), "--size", "0x5"], capsys, "0x5")
    for more, out, words in (
        (["--frames", "9"], "v.png", ["--frames 9 does nothing to a picture"]),
        (["--azimuth", "0"], "v.mp4", ["--azimuth 0.0 does nothing to a film"]),
        (["--reference", "egg.ply"], "v.png", ["--reference 'egg.ply' does nothing with --kind shaded"]),
    ):
        fails(["render", "x.safetensors", "--out", str(tmp_path / out), *more], capsys, *words)
    mesh_alone = ["evaluate", str(shape), str(shape), "--resolution", "64"]
    fails(mesh_alone, capsys, "--resolution 64 does nothing to a mesh")
    fails(["benchmark", str(tmp_path / "nowhere")], capsys, "nowhere")
    fails(["import", str(shape), "--method", "finer", "--out", str(tmp_path / "m.safetensors")], capsys, "egg.ply")


def test_a_download_that_fails_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("finer_core.io.download.WAIT", 0.01)
    unreachable = "http://127.0.0.1:9/armadillo.ply.gz"  # the discard port: nothing listens
    fails(["download", "armadillo", "--url", unreachable, "--out", str(tmp_path), "--quiet"], capsys, unreachable)
    assert not list(tmp_path.iterdir())


def test_a_model_of_an_image_is_no_surface(tmp_path, capsys):
    from finer_core import build_network
    from finer_core.io.model_file import save_model
    from finer_core.networks.build import published_config

    network = build_network(published_config(method="finer", task="image", in_features=2, out_features=3))
    save_model(network, tmp_path / "image.safetensors", task="image")
    fails(["mesh", str(tmp_path / "image.safetensors"), "--out", str(tmp_path / "m.ply")], capsys, "image")


def test_a_fit_without_a_surface_says_so_and_keeps_the_model(tmp_path, capsys):
    shape = write_ellipsoid(tmp_path / "egg.ply")
    out = tmp_path / "run"
    # A grid of two points an axis has only the corners of the box, all of them outside.
    assert main(["fit", str(shape), "--out", str(out), *SMALL, "--steps", "120", "--resolution", "2", "--json"]) == 0
    captured = capsys.readouterr()
    assert "no zero level set" in captured.err
    assert '"chamfer_l2_sum": null' in captured.out
    assert (out / "model.safetensors").is_file()
    assert (out / "report.html").is_file()
    assert not (out / "mesh.ply").exists()
