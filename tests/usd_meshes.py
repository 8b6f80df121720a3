"""Read the mesh of a USD file by Pixar's library, as what the tests of all writers compare."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class UsdMesh:
    """Hold what a file says: `points` as stored, `placed` by the transforms in double precision, colors linear."""

    stage: Any
    prim: Any
    points: np.ndarray
    placed: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    colors: np.ndarray | None
    st: np.ndarray | None


def read(path: Path) -> UsdMesh:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(path))
    (prim,) = [each for each in stage.Traverse() if each.IsA(UsdGeom.Mesh)]
    mesh, primvars = UsdGeom.Mesh(prim), UsdGeom.PrimvarsAPI(prim)
    points = np.array(mesh.GetPointsAttr().Get())
    matrix = np.array(mesh.ComputeLocalToWorldTransform(Usd.TimeCode.Default()))  # of rows: p M
    assert set(mesh.GetFaceVertexCountsAttr().Get()) == {3}
    tables = [mesh.GetNormalsAttr(), *(primvars.GetPrimvar(name).GetAttr() for name in ("displayColor", "st"))]
    found = [np.array(table.Get()) if table and table.HasAuthoredValue() else None for table in tables]
    return UsdMesh(
        stage=stage,
        prim=prim,
        points=points,
        placed=points.astype(np.float64) @ matrix[:3, :3] + matrix[3, :3],
        faces=np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3),
        normals=found[0],
        colors=found[1],
        st=found[2],
    )


def complaints(path: Path) -> list[str]:
    """Return what the validators of the library, those of usdchecker, say of a file."""
    from pxr import Usd, UsdValidation

    registry = UsdValidation.ValidationRegistry()
    context = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators())
    return [error.GetMessage() for error in context.Validate(Usd.Stage.Open(str(path)))]
