"""What a program gives for a path, a size or a place is refused by name where it is none; NaN is no place at all."""

import functools
import io

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import finer_core
import finer_image
import finer_nerf
import finer_ntk
import finer_sdf
from finer_core import InputError, differential, load_model, model_info
from finer_core.activations import FinerActivation, GaussFinerActivation, functional
from finer_core.training import Soap, build_optimizers, run_recorded
from finer_image import Image as Raster
from finer_ntk.kernel import as_row_function
from finer_ntk.plots import draw_kernels
from finer_ntk.spectrum import descend

SHORT = {"steps": 1, "log_every": 1, "device": "cpu"}
SMALL = {"hidden_features": 8, "hidden_layers": 1}
BALL = trimesh.creation.icosphere(subdivisions=1)
COLORED = trimesh.Trimesh(BALL.vertices, BALL.faces, vertex_colors=np.full((len(BALL.vertices), 3), 128, np.uint8))


@functools.cache
def models() -> dict:
    scene = finer_nerf.builtin_scene(size=8)
    rays = {"max_samples": 8, "grid_resolution": 8}
    return {
        "image": finer_image.fit(np.eye(6), network=SMALL, **SHORT)[0],
        "surface": finer_sdf.fit(BALL, samples=1000, batch_points=64, network=SMALL, **SHORT)[0],
        "scene": finer_nerf.fit(scene, network={"hidden_features": 8}, **rays, **SHORT)[0],
    }


@pytest.mark.parametrize("kind", ["image", "surface", "scene"])
@pytest.mark.parametrize(
    "path", [None, 3, b"model.safetensors", io.BytesIO(), ""], ids=["none", "number", "bytes", "file", "empty"]
)
def test_what_is_no_path(kind, path):
    model = models()[kind]
    uses = [model.save, type(model).load, load_model, model_info]
    if kind == "scene":
        scene = finer_nerf.builtin_scene(size=8)
        uses += [functools.partial(model.video, poses=model.orbit(1)), finer_nerf.read_scene]
        uses.append(functools.partial(finer_nerf.write_scene, scene))
    if kind == "surface":
        uses += [model.turntable, finer_sdf.read_shape]
    if kind == "image":
        uses += [finer_image.read_image, functools.partial(finer_image.write_image, Raster.from_pixels(np.eye(3)))]
    for use in uses:
        with pytest.raises(InputError, match=r"a path is (a text or a pathlib\.Path, got |empty)"):
            use(path)


def test_downloads_go_to_no_folder_without_a_name():
    for download, name in (
        (finer_image.download, "div2k"),
        (finer_sdf.download, "bunny"),
        (finer_nerf.download, "lego"),
    ):
        with pytest.raises(InputError, match="a path is empty"):
            download(name, folder="", url="http://127.0.0.1:9/nothing")


def test_what_is_neither_true_nor_false(tmp_path):
    """Python takes any value for one of them: `resume="no"` would resume."""
    image, surface, scene = models().values()
    given = finer_nerf.builtin_scene(size=8)
    config, coords = finer_core.NetworkConfig(method="finer", in_features=2, out_features=1, **SMALL), torch.rand(4, 2)
    verbs = {
        "progress": [
            functools.partial(finer_image.fit, np.eye(6)),
            functools.partial(finer_image.evaluate, image, np.eye(6)),
            functools.partial(finer_image.benchmark, {"eye": np.eye(6)}, ["finer"]),
            functools.partial(finer_sdf.fit, BALL),
            functools.partial(finer_sdf.evaluate, BALL, BALL),
            surface.mesh,
            surface.render,
            functools.partial(surface.turntable, tmp_path / "a.mp4"),
            functools.partial(finer_nerf.fit, given),
            functools.partial(finer_nerf.evaluate, scene, given.test),
            functools.partial(scene.video, tmp_path / "a.mp4", poses=scene.orbit(1)),
            functools.partial(finer_ntk.empirical_ntk, finer_core.build_network(config), coords),
            functools.partial(finer_ntk.sweep, {"a": config}, coords),
            functools.partial(finer_core.training.fit, torch.nn.Linear(2, 1), lambda network, step: 0, steps=1),
            functools.partial(run_recorded, None, name="fit", metrics_of=dict, figure=str),
        ],
        "resume": [
            functools.partial(package.fit, data, checkpoint=tmp_path / "a.safetensors")
            for package, data in ((finer_image, np.eye(6)), (finer_sdf, BALL), (finer_nerf, given))
        ],
        "lpips": [
            functools.partial(finer_nerf.evaluate, scene, given.test),
            functools.partial(finer_nerf.benchmark, {"a": given}, ["finer"]),
        ],
        "overwrite": [functools.partial(finer_nerf.write_scene, given, tmp_path / "scene")],
        "choice": [finer_core.activations.fuse_activations],
        "sparse": [functools.partial(surface.extract, resolution=8, memory=1 << 30)],
        "amsgrad": [functools.partial(build_optimizers, torch.nn.Linear(2, 1), name="adam", learning_rate=1e-3)],
        "nesterov": [functools.partial(Soap, torch.nn.Linear(2, 1, bias=False).parameters())],
        "exact": [functools.partial(descend, as_row_function(image), coords, coords, learning_rate=1.0, steps=1)],
        "normalize": [functools.partial(draw_kernels, {"a": np.eye(3)})],
        "bias": [functools.partial(finer_core.Siren, in_features=2, out_features=1)],
        "scale_req_grad": [
            FinerActivation,
            functools.partial(functional.finer, coords),
            functools.partial(functional.wire_finer, coords),
            functools.partial(finer_core.GaussFiner, in_features=2, out_features=1),
        ],
        "normalized": [GaussFinerActivation, functools.partial(functional.gauss_finer, coords)],
        "reuse_filters": [functools.partial(finer_core.Bacon, in_features=2, out_features=1)],
    }
    for name, uses in verbs.items():
        for use in uses:
            with pytest.raises(InputError, match=rf"{name} must be True(,| or) False.*, got 'no'"):
                use(**{name: "no"})
    assert not list(tmp_path.iterdir())
    assert len(finer_image.fit(np.eye(6), network=SMALL, progress=np.False_, **SHORT)[1]) == 1


def test_what_numpy_holds_for_true_is_true():
    z = torch.linspace(-1, 1, 5, requires_grad=True)
    for flag in (True, False):
        (expected,) = torch.autograd.grad(functional.finer(z, scale_req_grad=flag).sum(), z)
        given = FinerActivation(scale_req_grad=np.bool_(flag))
        for found in (given(z), functional.finer(z, scale_req_grad=np.bool_(flag))):
            assert torch.equal(torch.autograd.grad(found.sum(), z)[0], expected)
        assert given.hyper_parameters["scale_req_grad"] is flag


def test_numpy_s_true_shows_progress(capsys):
    coords = torch.rand(4, 2)
    fits = {
        "fit siren": functools.partial(finer_image.fit, np.eye(6), method="siren", network=SMALL, **SHORT),
        "color": functools.partial(finer_sdf.fit, COLORED, samples=1000, batch_points=64, network=SMALL, **SHORT),
        "fit Linear": functools.partial(
            finer_core.training.fit, torch.nn.Linear(2, 1), lambda network, step: network(coords).sum(), steps=1
        ),
    }
    for words, verb in fits.items():
        verb(progress=np.True_)
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("package", [finer_image, finer_sdf, finer_nerf])
def test_a_seed_beyond_the_machine_s_whole_numbers(package):
    with pytest.raises(InputError, match=r"'seed' must be an integer between 1 - 2\^63 and 2\^63 - 1, got 11805916"):
        package.fit(None, seed=2**70)


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, "1"])
def test_a_seed_that_is_none(seed):
    config = finer_core.NetworkConfig(method="finer", in_features=2, out_features=1, **SMALL)
    with pytest.raises(InputError, match="seed must be"):
        finer_ntk.analyze(finer_core.build_network(config), torch.rand(20, 2), top=3, seed=seed)


@pytest.mark.parametrize("as_given", [np.array, torch.tensor], ids=["array", "tensor"])
def test_nowhere_is_no_place(as_given):
    image, surface, scene = models().values()
    nowhere = [[np.nan] * 3, [0.1, np.nan, 0.1], [0.1, 0.1, 0.1]]
    values = image(as_given([row[:2] for row in nowhere])), surface(as_given(nowhere))
    sigmas = scene(as_given(nowhere), as_given([[0.0, 0.0, 1.0]] * 3))[0]
    for found in (values[0][:, 0], values[1], sigmas):
        assert torch.as_tensor(found).isnan().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scale": "2"}, "--scale must be a number, got '2'"),
        ({"scale": None}, "--scale must be a number, got None"),
        ({"scale": (2, 2)}, "--scale must be a number, got"),
        ({"scale": 1e9}, r"an image of 6000000000x6000000000 pixels; a side has at most 10000000 pixels"),
        ({"size": (10**7, 10**7)}, r"an image of 10000000x10000000 pixels takes .* GB, more than there is"),
    ],
)
def test_a_size_of_an_image(given, words):
    with pytest.raises(InputError, match=words):
        models()["image"].render(**given)


def test_positions_in_an_image_that_do_not_go_together():
    with pytest.raises(InputError, match=r"rows and columns of shapes \(2,\) and \(3,\) do not go together"):
        models()["image"].at([1.0, 2.0], [1.0, 2.0, 3.0])


def test_pictures_that_cannot_be_read(tmp_path):
    closed = Image.new("L", (6, 6))
    closed.close()
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    cut = io.BytesIO((tmp_path / "cut.png").read_bytes()[:1500])
    for picture in (closed, Image.open(cut)):
        with pytest.raises(InputError, match="the image, a picture of Pillow's, cannot be read"):
            finer_image.fit(picture, network=SMALL, **SHORT)


def test_samples_of_a_surface():
    with pytest.raises(InputError, match="--samples must be an integer, got 'many'"):
        finer_sdf.evaluate(BALL, BALL, samples="many")


def test_coords_of_a_derivative():
    with pytest.raises(InputError, match="coords must be a tensor, got ndarray"):
        differential.gradient(torch.nn.Linear(2, 1), np.zeros((3, 2)))


def test_the_rate_of_a_predicted_training():
    with pytest.raises(InputError, match="learning_rate must be a number, got 'high'"):
        finer_ntk.predict_training(torch.nn.Linear(1, 1), np.ones((3, 1)), np.ones(3), learning_rate="high")


def test_coords_of_a_field_in_the_box():
    with pytest.raises(ValueError, match=r"expected coords of shape \(\.\.\., 3\), got \(6, 2\)"):
        models()["surface"].field(torch.zeros(6, 2))
