"""Tables of meshes: what no mesh has is refused by name, and none of its formats holds it."""

import numpy as np
import pytest

from finer_core import InputError
from finer_core.io.meshes.parts import large_parts
from finer_core.io.meshes.writer import write_mesh

FACE = np.array([[0, 1, 2]])


def test_a_mesh_without_faces_has_no_parts():
    none = np.zeros((0, 3), dtype=np.int64)
    vertices, faces, parts, left_out = large_parts(np.eye(3), none, share=0.5)
    np.testing.assert_array_equal(vertices, np.eye(3))
    assert (faces.shape, parts, left_out) == ((0, 3), 0, 0)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
@pytest.mark.parametrize(
    ("vertices", "faces", "words"),
    [
        (np.zeros((0, 3)), FACE[:0], "a mesh without vertices is none"),
        (np.full((3, 3), np.nan), FACE, "vertices have values that are not finite"),
        (np.eye(3), FACE + 5, "faces name vertices 5 to 7, and there are 3"),
        (np.eye(3), -FACE, "faces name vertices -2 to 0"),
        (np.eye(3), FACE.astype(float), r"faces must be an array \(n, 3\) of integers, got float64 \(1, 3\)"),
        (np.eye(4), FACE, r"vertices must be an array \(n, 3\) of numbers, got float64 \(4, 4\)"),
        (np.eye(3).tolist(), FACE, "got list"),
    ],
)
def test_tables_that_no_mesh_has_are_refused_and_nothing_is_written(tmp_path, suffix, vertices, faces, words):
    with pytest.raises(InputError, match=words):
        write_mesh(tmp_path / f"mesh{suffix}", vertices, faces, package="finer-core")
    assert list(tmp_path.iterdir()) == []
