"""Textures: each pixel has the color of the surface below it, and sizes that no texture can have are refused."""

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_core.io.texture_atlas import Atlas, bake, check_texture


def test_pixels_have_the_color_of_the_point_at_their_middle():
    square = np.array([[0.0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 1, 5]])
    atlas = Atlas(vertices=np.arange(4), faces=np.array([[0, 1, 2], [0, 2, 3]]), uv=square[:, :2])
    seen = []

    def look(points, normals):
        seen.append(normals)
        return np.rint(points[:, [1, 0, 2]] * 40).astype(np.uint8)

    texture = bake(look, square, np.tile([0.0, 0, 2], (4, 1)), atlas, size=8)
    middles = (np.arange(8) + 0.5) / 8 * 40
    np.testing.assert_allclose(texture[..., 0], np.rint(middles)[:, None] * np.ones(8))
    np.testing.assert_allclose(texture[..., 1], np.rint(middles) * np.ones((8, 1)))
    assert (texture[..., 2] == 200).all() and np.allclose(np.concatenate(seen), [0, 0, 1])


def test_what_no_chart_covers_has_the_color_of_the_nearest_that_is_painted():
    corner = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    atlas = Atlas(vertices=np.arange(3), faces=np.array([[0, 1, 2], [0, 1, 1]]), uv=corner[:, :2])
    texture = bake(lambda at, _: np.full((len(at), 3), 7, np.uint8), corner, corner + [0, 0, 1], atlas, size=16)
    assert (texture == 7).all()


@pytest.mark.parametrize(
    ("size", "memory", "word"),
    [(8, 10**10, "between 64 and 16384"), (20_000, 10**12, "got 20000"), (4096, 10**9, "--texture 4096")],
)
def test_sizes_that_do_not_do_are_refused(size, memory, word):
    with pytest.raises(InputError, match=word):
        check_texture(size, memory=memory, extra="finer-sdf[texture]")


def test_without_the_library_its_install_line_is_said(monkeypatch):
    monkeypatch.setattr("finer_core.io.texture_atlas.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "finer-sdf\[texture\]"'):
        check_texture(512, memory=10**9, extra="finer-sdf[texture]")
