"""USD: read back by Pixar's library it is the same mesh, upright, with linear colors, and the same bytes each time."""

import signal
import zipfile

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_core.io.figures import png_bytes
from finer_core.io.glb import UPRIGHT, linear_from_srgb
from finer_core.io.usd import USD_SUFFIXES, check_usd_library, write_usd
from tests.usd_meshes import complaints, read

pytest.importorskip("pxr", reason="the extra finer-sdf[usd] is not installed")
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
COLORS = np.array([[0, 0, 0], [255, 0, 10], [188, 128, 1], [3, 250, 255]], dtype=np.uint8)
NORMALS = (CORNERS + [0, 0, 1]) / np.linalg.norm(CORNERS + [0, 0, 1], axis=1, keepdims=True)
UV = np.array([[0, 0], [1, 0], [0.25, 1], [0.5, 0.125]])
PICTURE = png_bytes(np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8))
KINDS = {
    "plain": {},
    "colored": {"normals": NORMALS, "colors": COLORS},
    "turned": {"colors": COLORS, "up": "z", "offset": np.array([4e6, -2e6, 0.5])},
    "textured": {"normals": NORMALS, "uv": UV, "texture": PICTURE},
}


def suffixes_of(kind: str) -> tuple[str, ...]:
    return (".usdz",) if kind == "textured" else USD_SUFFIXES


@pytest.mark.parametrize("suffix", [*USD_SUFFIXES, ".USDA"])
def test_what_is_written_is_there(tmp_path, suffix):
    from pxr import UsdGeom

    path = tmp_path / f"mesh{suffix}"
    write_usd(path, CORNERS, FACES, normals=NORMALS, colors=COLORS)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    back = read(path)
    np.testing.assert_array_equal(back.points, CORNERS)
    np.testing.assert_array_equal(back.placed, CORNERS)
    np.testing.assert_array_equal(back.faces, FACES)
    np.testing.assert_allclose(back.normals, NORMALS, atol=1e-7)
    np.testing.assert_allclose(back.colors, linear_from_srgb(COLORS / 255), atol=1e-7)
    mesh = UsdGeom.Mesh(back.prim)
    assert mesh.GetNormalsInterpolation() == mesh.GetDisplayColorPrimvar().GetInterpolation() == "vertex"
    assert (mesh.GetSubdivisionSchemeAttr().Get(), mesh.GetDoubleSidedAttr().Get()) == ("none", True)
    assert np.array(mesh.GetExtentAttr().Get()).tolist() == [[0, 0, 0], [1, 2, 3]]
    assert mesh.GetOrderedXformOps() == [] and back.st is None
    assert str(back.stage.GetDefaultPrim().GetPath()) == "/mesh" and str(back.prim.GetPath()) == "/mesh/surface"
    assert (UsdGeom.GetStageUpAxis(back.stage), UsdGeom.GetStageMetersPerUnit(back.stage)) == ("Y", 1.0)
    start = {".usda": b"#usda", ".usdz": b"PK\3\4"}.get(suffix.lower(), b"PXR-USDC")
    assert path.read_bytes().startswith(start)


def test_the_format_may_be_named_whatever_the_suffix(tmp_path):
    for name in ("mesh.bin", "mesh.usda"):
        write_usd(tmp_path / name, CORNERS, FACES, file_type=".usdc")
        assert (tmp_path / name).read_bytes()[:8] == b"PXR-USDC"


def test_a_plain_mesh_has_nothing_else(tmp_path):
    write_usd(tmp_path / "mesh.usda", CORNERS, FACES)
    back = read(tmp_path / "mesh.usda")
    assert back.normals is None and back.colors is None and back.st is None
    assert [str(prim.GetPath()) for prim in back.stage.Traverse()] == ["/mesh", "/mesh/surface"]


@pytest.mark.parametrize("up", UPRIGHT)
@pytest.mark.parametrize("offset", [np.zeros(3), np.array([1e7, 2e7 + 0.125, -3e7])])
def test_the_axis_that_is_up_becomes_y_and_nothing_is_mirrored(tmp_path, up, offset):
    write_usd(tmp_path / "mesh.usdc", CORNERS, FACES, up=up, offset=offset)
    back = read(tmp_path / "mesh.usdc")
    np.testing.assert_array_equal(back.points, CORNERS)
    expected = (CORNERS + offset) @ np.array(UPRIGHT[up]).T
    np.testing.assert_allclose(back.placed, expected, rtol=0, atol=1e-14 if not offset.any() else 2**-28)
    a, b, c = (back.placed[back.faces[:, i]] - back.placed.mean(axis=0) for i in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(1.0)  # of the tetrahedron; a mirrored one has -1


def test_a_package_has_the_texture_as_it_was_given(tmp_path):
    from pxr import Sdf, Usd, UsdShade

    path = tmp_path / "mesh.usdz"
    write_usd(path, CORNERS, FACES, uv=UV, texture=PICTURE)
    back = read(path)
    np.testing.assert_allclose(back.st, np.stack([UV[:, 0], 1 - UV[:, 1]], axis=1))  # counted from below
    package = getattr(Sdf, "ZipFile", getattr(Usd, "ZipFile", None)).Open(str(path))  # it moved
    assert package.GetFileNames() == ["mesh.usdc", "texture.png"]
    infos = [package.GetFileInfo(name) for name in package.GetFileNames()]
    assert all(info.dataOffset % 64 == 0 and info.size == info.uncompressedSize for info in infos)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("texture.png") == PICTURE and archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    material, _ = UsdShade.MaterialBindingAPI(back.prim).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0]
    (color,), _ = surface.GetInput("diffuseColor").GetConnectedSources()
    texture = UsdShade.Shader(color.source)
    assert texture.GetInput("file").Get().resolvedPath.endswith("mesh.usdz[texture.png]")
    assert texture.GetInput("sourceColorSpace").Get() == "sRGB" and surface.GetInput("metallic").Get() == 0
    (places,), _ = texture.GetInput("st").GetConnectedSources()
    assert UsdShade.Shader(places.source).GetInput("varname").Get() == "st"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_mesh_is_the_same_file_and_no_validator_complains(tmp_path, kind):
    pytest.importorskip("pxr.UsdValidation", reason="this usd-core has no validators")
    for suffix in suffixes_of(kind):
        for name in ("a", "another"):
            write_usd(tmp_path / f"{name}{suffix}", CORNERS, FACES, **KINDS[kind])
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"another{suffix}").read_bytes()
        assert complaints(tmp_path / f"a{suffix}") == []


def test_the_validators_see(tmp_path):
    pytest.importorskip("pxr.UsdValidation", reason="this usd-core has no validators")
    write_usd(tmp_path / "mesh.usda", CORNERS, FACES)
    text = (tmp_path / "mesh.usda").read_text()
    (tmp_path / "mesh.usda").write_text(text.replace('    upAxis = "Y"\n', ""))
    (complaint,) = complaints(tmp_path / "mesh.usda")
    assert "upAxis" in complaint


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("mesh.obj", {}, r"mesh\.obj: USD is written as \.usd \.usdc \.usda \.usdz, got '\.obj'"),
        ("mesh.usdc", {"uv": UV, "texture": PICTURE}, r"mesh\.usdc: \.usdc files hold no texture; use \.usdz"),
        ("mesh.usdc", {"colors": COLORS[:3]}, r"vertex colors must be \(4, 3\), got \(3, 3\)"),
        ("mesh.usdz", {"texture": PICTURE}, "a texture needs uv"),
        ("mesh.usda", {"up": "w"}, "up must be one of x, y, z, -x, -y, -z, got 'w'"),
        ("no/mesh.usda", {}, r"mesh\.usda: cannot be written \(No such file or directory\)"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, given, words):
    with pytest.raises(ValueError, match=words):
        write_usd(tmp_path / name, CORNERS, FACES, **given)
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_its_install_line_is_said(monkeypatch):
    check_usd_library("mesh.usda", extra="finer-sdf[usd]")
    monkeypatch.setattr("finer_core.io.usd.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'^mesh\.usda: USD .* usd-core: pip install "finer-sdf\[usd\]"$'):
        check_usd_library("mesh.usda", extra="finer-sdf[usd]")


@pytest.mark.parametrize("suffix", USD_SUFFIXES)
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, suffix):
    """A limit on the size of files stands for the disk."""
    resource = pytest.importorskip("resource")
    path = tmp_path / f"mesh{suffix}"
    path.write_text("old")
    many = np.random.default_rng(0).random((3000, 3))
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        with pytest.raises(OSError, match=rf"File too large: .*mesh\{suffix}") as caught:
            write_usd(path, many, FACES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert len(str(caught.value)) < 300 + len(str(path))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_package_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr("zipfile.ZIP64_LIMIT", 1000)
    with pytest.raises(InputError, match=r"up to 2 GB; name a \.usdc file"):
        write_usd(tmp_path / "mesh.usdz", np.zeros((3000, 3)), FACES)
    assert list(tmp_path.iterdir()) == []
