"""Triangle meshes as USD: normals, linear vertex colors or a texture, y up; by Pixar's library usd-core, an extra."""

import os
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import NO_ROOM, InputError
from finer_core.io.files import output_path
from finer_core.io.glb import UPRIGHT, check_tables, linear_from_srgb
from finer_core.shapes import Real, Shaped, UInt8

USD_SUFFIXES = (".usd", ".usdc", ".usda", ".usdz")
"""Binary (the first two), text, and a package that holds a texture too."""
_TURNS = {"x": (0, 0, 90), "z": (-90, 0, 0), "-x": (0, 0, -90), "-y": (180, 0, 0), "-z": (90, 0, 0)}
"""The rotations of `UPRIGHT` in degrees about x, y and z, of which no more than one turns."""
_ROOT, _TEXTURE = "/mesh", "texture.png"
_ALIGNMENT, _LOCAL_HEADER = 64, 30
"""Of a package: each file in it begins at such a multiple, behind its header, its name and what fills the gap."""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest date of a ZIP file, so that the same mesh is the same file tomorrow."""


def check_usd_library(path: str | os.PathLike[str], *, extra: str) -> None:
    """Refuse to write a file as USD, before any work, where the library is missing.

    Args:
        path: The file, for the message.
        extra: What installs the library, "finer-sdf[usd]" for example.

    Raises:
        InputError: If so; with the line that installs it.
    """
    if find_spec("pxr") is None:
        raise InputError(f'{path}: USD files need the package usd-core: pip install "{extra}"')


def write_usd(
    path: str | os.PathLike[str],
    vertices: Real[np.ndarray, "vertices 3"],
    faces: Shaped[np.ndarray, "faces 3"],
    *,
    file_type: str | None = None,
    normals: Real[np.ndarray, "vertices 3"] | None = None,
    colors: UInt8[np.ndarray, "vertices 3"] | None = None,
    uv: Real[np.ndarray, "vertices 2"] | None = None,
    texture: bytes | None = None,
    offset: Real[np.ndarray, "3"] | None = None,
    up: str = "y",
) -> None:
    """Write a USD file of one mesh, atomically; the same mesh makes the same bytes.

    The default prim, `/mesh`, holds the mesh, `/mesh/surface`, whose numbers stay those of the vertices. As in a .glb
    file of ours, y is up: the stage says so, and the mesh's own transform turns what is up in its coordinates there,
    p = R (v + offset), with the offset as a translation in double precision. So it stands upright in usdview and
    Blender, which read the stage's axis, and in programs that take y for granted. The mesh has the transform and not
    the default prim, whose own is lost where it is referenced and placed anew. A unit is called a meter, as glTF has
    it: USD knows no "unknown", and would take centimeters.

    Vertex colors are linear in USD, with Rec. 709's primaries; see `finer_core.io.glb.glb_bytes`. Only a texture needs
    a material.

    Args:
        path: The file; its folder exists.
        vertices: (n, 3), rounded to single precision.
        faces: (m, 3), indices of vertices, counter-clockwise seen from outside.
        file_type: ".usd" or ".usdc" (binary), ".usda" (text) or ".usdz" (a package); None to go by the suffix.
        normals: (n, 3) of length 1.
        colors: (n, 3) uint8, sRGB.
        uv: (n, 2), places of the vertices in the texture: (0, 0) is its first row and column, (1, 1) behind its last.
        texture: A PNG file, sRGB; needs `uv`, and has the place of vertex colors. Only a package holds one.
        offset: (3,), what was subtracted from the vertices.
        up: Axis that is up in the mesh's coordinates: "x", "y", "z", "-x", "-y" or "-z".

    Raises:
        ValueError: If there is not one normal, color or place a vertex, colors beside a texture, or no such axis.
        InputError: If the format is none of those, holds no texture, or the file cannot be written.
        ImportError: If usd-core is not installed; see `check_usd_library`.

    Example:
        >>> import numpy as np
        >>> corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
        >>> write_usd("triangle.obj", corners, np.array([[0, 1, 2]]))
        Traceback (most recent call last):
        finer_core.errors.InputError: triangle.obj: USD is written as .usd .usdc .usda .usdz, got '.obj'
    """
    kind = (Path(path).suffix if file_type is None else file_type).lower()
    if kind not in USD_SUFFIXES:
        raise InputError(f"{path}: USD is written as {' '.join(USD_SUFFIXES)}, got {kind!r}")
    if texture is not None and kind != ".usdz":
        raise InputError(f"{path}: {kind} files hold no texture; use .usdz, a package of both, or .glb")
    check_tables(len(vertices), normals=normals, colors=colors, uv=uv, texture=texture, up=up)
    stage = _new_stage()
    mesh = _add_mesh(stage, vertices, faces, normals=normals, colors=colors)
    _place(mesh, up=up, offset=offset)
    if uv is not None:
        _add_texture(stage, mesh, uv)
    with output_path(path) as temporary:
        # USD chooses the format by the suffix, which the file need not have.
        layer = temporary.with_name(temporary.name + (".usdc" if kind == ".usdz" else kind))
        try:
            _export(stage, layer)
            if kind == ".usdz":
                pictures = {} if texture is None else {_TEXTURE: texture}
                _write_package(temporary, {"mesh.usdc": layer.read_bytes(), **pictures})
            else:
                os.replace(layer, temporary)
        finally:
            layer.unlink(missing_ok=True)


def _new_stage() -> Any:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, _ROOT).GetPrim())
    return stage


def _add_mesh(
    stage: Any, vertices: np.ndarray, faces: np.ndarray, *, normals: np.ndarray | None, colors: np.ndarray | None
) -> Any:
    from pxr import UsdGeom, Vt

    mesh = UsdGeom.Mesh.Define(stage, f"{_ROOT}/surface")
    points = _floats(vertices)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
    mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, dtype=np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.astype(np.int32).reshape(-1)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)  # or it would be smoothed, and the normals not looked at
    mesh.CreateDoubleSidedAttr(True)
    if normals is not None:
        mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(_floats(normals)))
        mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    if colors is not None:
        shown = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
        shown.Set(Vt.Vec3fArray.FromNumpy(_floats(linear_from_srgb(colors / 255))))
    return mesh


def _place(mesh: Any, *, up: str, offset: np.ndarray | None) -> None:
    """Give the mesh its transform, in the order that every program edits: rotated first, then translated."""
    from pxr import Gf, UsdGeom

    if offset is not None and offset.any():
        moved = np.array(UPRIGHT[up]) @ offset + 0.0  # no -0
        mesh.AddTranslateOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Vec3d(*moved.tolist()))
    if up in _TURNS:
        mesh.AddRotateXYZOp().Set(Gf.Vec3f(*_TURNS[up]))


def _add_texture(stage: Any, mesh: Any, uv: np.ndarray) -> None:
    """Bind a dull material whose color is the texture's; its places are counted from below in USD."""
    from pxr import Sdf, UsdGeom, UsdShade, Vt

    of, upwards = Sdf.ValueTypeNames, np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1)
    places = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", of.TexCoord2fArray, UsdGeom.Tokens.vertex)
    places.Set(Vt.Vec2fArray.FromNumpy(_floats(upwards)))
    material = UsdShade.Material.Define(stage, f"{_ROOT}/material")
    shaders = {}
    for name, identifier in (("surface", "PreviewSurface"), ("texture", "UVTexture"), ("st", "PrimvarReader_float2")):
        shaders[name] = UsdShade.Shader.Define(stage, f"{_ROOT}/material/{name}")
        shaders[name].CreateIdAttr(f"Usd{identifier}")
    surface, texture, st = shaders["surface"], shaders["texture"], shaders["st"]
    st.CreateInput("varname", of.String).Set("st")
    texture.CreateInput("file", of.Asset).Set(Sdf.AssetPath(f"./{_TEXTURE}"))
    texture.CreateInput("sourceColorSpace", of.Token).Set("sRGB")
    for name in ("wrapS", "wrapT"):
        texture.CreateInput(name, of.Token).Set("clamp")
    texture.CreateInput("st", of.Float2).ConnectToSource(st.CreateOutput("result", of.Float2))
    surface.CreateInput("diffuseColor", of.Color3f).ConnectToSource(texture.CreateOutput("rgb", of.Float3))
    surface.CreateInput("metallic", of.Float).Set(0.0)
    surface.CreateInput("roughness", of.Float).Set(0.8)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", of.Token))
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _floats(table: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(table, dtype=np.float32)


def _export(stage: Any, path: Path) -> None:
    """Write a layer, and say as the system does why it cannot be written."""
    from pxr import Tf

    try:
        stage.GetRootLayer().Export(str(path))
    except Tf.ErrorException as error:
        first = error.args[0] if error.args else error
        reason = getattr(first, "commentary", str(first)).rpartition(": ")[2]
        number = next((number for number in NO_ROOM if os.strerror(number) == reason), None)
        raise (OSError(reason) if number is None else OSError(number, reason)) from error


def _write_package(path: Path, files: dict[str, bytes]) -> None:
    """Write a .usdz: a ZIP file of what is not compressed, each at a multiple of 64 bytes, and the layer first."""
    try:
        with open(path, "wb") as file, zipfile.ZipFile(file, "w", allowZip64=False) as package:
            for name, content in files.items():
                info = zipfile.ZipInfo(name, date_time=_LONG_AGO)
                # A field of its own in the header, of four bytes and more, fills the gap.
                gap = -(file.tell() + _LOCAL_HEADER + len(name) + 4) % _ALIGNMENT
                info.extra = b"\x86\x19" + gap.to_bytes(2, "little") + bytes(gap)
                package.writestr(info, content)
    except zipfile.LargeZipFile as error:
        raise OSError("a .usdz file is written up to 2 GB; name a .usdc file") from error
