"""What a program gives as points, coordinates or signals: no mask, no imaginary part and no truth value is lost."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

import finer_image
import finer_nerf
import finer_ntk
import finer_sdf
from finer_core import InputError, build_network
from finer_core.casts import real_numbers, refuse_masked
from finer_nerf.arguments import points_and_directions

SHORT = {"steps": 2, "log_every": 1, "device": "cpu", "precision": "fp32"}
SMALL = {"hidden_features": 8, "hidden_layers": 1}
SURFACE = {"samples": 1000, "batch_points": 64, "network": SMALL, **SHORT}


def ask_image(given: Callable[[int], Any]) -> None:
    finer_image.fit(np.eye(6), network=SMALL, **SHORT)[0](given(2))


def ask_image_at(given: Callable[[int], Any]) -> None:
    finer_image.fit(np.eye(6), network=SMALL, **SHORT)[0].at(given(2)[:, 0], 1.0)


def ask_surface(given: Callable[[int], Any]) -> None:
    finer_sdf.fit(trimesh.creation.icosphere(subdivisions=1), **SURFACE)[0](given(3))


def query_surface(given: Callable[[int], Any]) -> None:
    finer_sdf.fit(trimesh.creation.icosphere(subdivisions=1), **SURFACE)[0].query(given(3))


def fit_points(given: Callable[[int], Any]) -> None:
    finer_sdf.fit(given(3), **SURFACE)


def fit_pair(given: Callable[[int], Any]) -> None:
    finer_sdf.fit((np.ones((6, 3)), given(3)), **SURFACE)


def fit_cloud(given: Callable[[int], Any]) -> None:
    finer_sdf.fit(finer_sdf.PointCloud(points=given(3), normals=np.ones((6, 3))), **SURFACE)


def ask_scene(given: Callable[[int], Any]) -> None:
    scene = finer_nerf.builtin_scene(size=8)
    model, _ = finer_nerf.fit(scene, network=SMALL, max_samples=8, grid_resolution=8, steps=2, device="cpu")
    model(given(3), np.ones((6, 3)))


def kernel(given: Callable[[int], Any]) -> None:
    network = build_network("finer", in_features=1, out_features=1, **SMALL)
    finer_ntk.empirical_ntk(network, given(1))


def target(given: Callable[[int], Any]) -> None:
    network = build_network("finer", in_features=1, out_features=1, **SMALL)
    finer_ntk.analyze(network, np.linspace(0, 1, 6)[:, None], given(1)[:, 0])


def masked(width: int) -> Any:
    table = np.random.default_rng(0).normal(size=(6, width))
    return np.ma.masked_array(table, mask=np.arange(6)[:, None].repeat(width, axis=1) == 2)


ASKED = [
    *(ask_image, ask_image_at, ask_surface, query_surface, fit_points, fit_pair, fit_cloud, ask_scene, kernel, target),
]


@pytest.mark.parametrize("ask", ASKED, ids=lambda ask: ask.__name__)
def test_masked_numbers_are_refused(ask):
    with pytest.raises(InputError, match=r": \d+ of \d+ numbers are masked; leave their rows out, as in") as caught:
        ask(masked)
    assert len(str(caught.value)) <= 300


def test_what_the_message_says_leaves_no_mask():
    x = masked(3)
    rows = x[~np.ma.getmaskarray(x).any(axis=-1)].data
    assert rows.shape == (5, 3) and type(rows) is np.ndarray
    assert real_numbers(np.ma.masked_array(rows), what="points").shape == (5, 3)


@pytest.mark.parametrize("ask", [real_numbers, refuse_masked], ids=lambda ask: ask.__name__)
def test_masked_numbers_in_lists_are_refused(ask):
    row = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    for given in ([1.0, np.ma.masked], ((1.0, np.ma.masked), (1.0, 2.0)), [row, row], [np.ma.masked_array([row, row])]):
        with pytest.raises(InputError, match="points: some are masked; leave their rows out"):
            ask(given, what="points")
    ask([np.ma.masked_array([1.0, 2.0]), [3.0, 4.0]], what="points")


@pytest.mark.parametrize("dtype", [complex, bool, "U1"])
@pytest.mark.parametrize("ask", [ask_image, ask_image_at, ask_surface, ask_scene], ids=lambda ask: ask.__name__)
def test_what_are_no_real_numbers_is_refused(ask, dtype):
    with pytest.raises(InputError, match="must be real numbers, got dtype"):
        ask(lambda width: np.ones((6, width)).astype(dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64])
def test_tensors_of_a_surface_are_real_numbers_too(dtype):
    with pytest.raises(InputError, match=rf"points must be real numbers, got dtype {dtype}"):
        ask_surface(lambda width: torch.ones(6, width, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64])
@pytest.mark.parametrize("other", [torch.ones(6, 3), np.ones((6, 3))], ids=["tensor", "array"])
def test_tensors_of_a_scene_are_real_numbers_too(dtype, other):
    wrong = torch.ones(6, 3, dtype=dtype)
    for name, given in (("points", (wrong, other)), ("directions", (other, wrong))):
        with pytest.raises(InputError, match=rf"{name} must be real numbers, got dtype {dtype}"):
            points_and_directions(*given)


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "backwards": lambda table: table[::-1].copy()[::-1],
    "of another byte order": lambda table: table.astype(table.dtype.newbyteorder()),
    "read-only": lambda table: np.frombuffer(table.tobytes()).reshape(table.shape),
    "of long numbers": lambda table: table.astype(np.longdouble),
}


def asked_of_arrays() -> dict[str, Callable[[Callable], Any]]:
    two, three = np.random.default_rng(0).uniform(-1, 1, size=(6, 2)), np.random.default_rng(0).normal(size=(6, 3))
    image, _ = finer_image.fit(np.eye(6), network=SMALL, **SHORT)
    surface, _ = finer_sdf.fit(trimesh.creation.icosphere(subdivisions=1), **SURFACE)
    scene, _ = finer_nerf.fit(
        finer_nerf.builtin_scene(size=8), network=SMALL, max_samples=8, grid_resolution=8, steps=2, device="cpu"
    )
    network = build_network("finer", in_features=2, out_features=1, **SMALL)
    return {
        "image": lambda form: image(form(two)),
        "places": lambda form: image.at(form(two[:, 0]), form(two[:, 1])),
        "surface": lambda form: surface(form(three)),
        "normals": lambda form: surface.normals(form(three)),
        "nearest": lambda form: surface.query(form(three)).nearest,
        "scene": lambda form: scene(form(three), form(three))[1],
        "scene with tensors": lambda form: scene(form(three), torch.ones(6, 3))[1].detach().numpy(),
        "kernel": lambda form: finer_ntk.empirical_ntk(network, form(two)),
        "products": lambda form: finer_ntk.ntk_operator(network, two).matvec(form(two)),
        "prediction": lambda form: finer_ntk.predict_training(network, form(two), form(two[:, 0]), steps=2).predicted,
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_arrays_however_they_lie_in_memory(form):
    for name, ask in asked_of_arrays().items():
        np.testing.assert_array_equal(ask(form), ask(np.array), err_msg=name)
