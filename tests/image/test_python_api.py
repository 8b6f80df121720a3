"""What finer_image exports: pure, in the same bits as the command, and open to code of the user's own."""

import io
import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from torch import nn

import finer_image
from finer_core import Finer, training
from finer_core.errors import InputError
from finer_core.resources import parse_memory
from finer_core.training import Callback, TrainingHistory
from finer_image import Image, ImageConfig, ImageModel, benchmark, evaluate, fit, read_image, write_image
from finer_image.app.cli import main
from finer_image.inputs import as_image

from .image_files import noise

PICTURE = noise(24, 20, 3)
SIZES = {"hidden_features": 16, "hidden_layers": 1}
SMALL = {"steps": 12, "log_every": 4, "device": "cpu", "precision": "fp32", "batch_pixels": 100, "network": SIZES}
OPTIONS = [
    *("--steps", "12", "--log-every", "4", "--device", "cpu", "--precision", "fp32", "--batch-pixels", "100"),
    *("--hidden-features", "16", "--hidden-layers", "1", "--quiet"),
]


class Squares(nn.Module):
    """A network of a user's own, with something beside parameters."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.last = nn.Linear(2, 32), nn.Linear(32, 3)
        self.register_buffer("scale", torch.tensor(3.0))

    def forward(self, coords):
        return self.last(torch.sin(self.scale * self.first(coords)).square())


def square_wave(z):
    return torch.tanh(2 * torch.sin(10 * z))


def bits(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """Stand in a folder that takes no file and must stay empty, whoever runs the tests."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []


class LessItsMean(nn.Linear):
    def forward(self, x):
        return super().forward(x) - super().forward(x).mean(0)


@pytest.fixture(scope="module")
def fitted():
    return fit(PICTURE, **SMALL)


def test_the_command_does_the_same(tmp_path, fitted):
    Pillow.fromarray(PICTURE).save(tmp_path / "picture.png")
    assert main(["fit", str(tmp_path / "picture.png"), "--out", str(tmp_path / "run"), *OPTIONS]) == 0
    model, history = fitted
    loaded = ImageModel.load(tmp_path / "run" / "model.safetensors")
    assert_same_bits(bits(loaded), bits(model))
    model.save(tmp_path / "saved.safetensors")
    assert (tmp_path / "saved.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for column in ("step", "loss", "psnr", "learning_rate", "rollbacks"):
        assert history[column].tolist() == [line[column] for line in lines]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert evaluate(model, PICTURE) == {name: metrics[name] for name in ("psnr", "psnr_unclipped", "ssim")}
    assert np.array_equal(read_image(tmp_path / "run" / "reconstruction.png").pixels, model.render())


@pytest.mark.parametrize("kind", ["tensor", "read-only array", "picture", "path", "text", "image", "read-only image"])
def test_what_an_image_may_be(kind, tmp_path, fitted):
    path = tmp_path / "picture.png"
    write_image(path, Image.from_pixels(PICTURE))
    fixed = PICTURE.copy()
    fixed.flags.writeable = False
    given = {
        "tensor": lambda: torch.from_numpy(PICTURE),
        "read-only array": lambda: fixed,
        "picture": lambda: Pillow.fromarray(PICTURE),
        "path": lambda: path,
        "text": lambda: str(path),
        "image": lambda: read_image(path),
        "read-only image": lambda: Image.from_pixels(fixed),
    }[kind]()
    model, _ = fit(given, ImageConfig(**{**SMALL, "seed": 1}), seed=0)  # keywords win
    assert_same_bits(bits(model), bits(fitted[0]))
    assert evaluate(model, given) == evaluate(fitted[0], PICTURE)


def test_a_model_is_a_function_and_a_picture(fitted, tmp_path):
    model, _ = fitted
    assert repr(model) == "ImageModel: finer of 371 parameters, a 24x20 RGB image of uint8"
    assert Pillow.open(io.BytesIO(model._repr_png_())).size == (20, 24)
    coords = np.array([[[-1.0, -1.0], [1.0, 1.0]]])
    corners = model(coords)
    assert corners.shape == (1, 2, 3) and isinstance(corners, np.ndarray)
    assert np.array_equal(model(torch.tensor(coords, dtype=torch.float32)).detach(), corners)
    for wrong in (np.zeros((3, 3)), torch.zeros(4), 0.5):
        with pytest.raises(ValueError, match=r"expected coords of shape \(\.\.\., 2\), got \("):
            model(wrong)
    with pytest.raises(ValueError, match="coords must be floating-point numbers"):
        model(torch.zeros(1, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="model must be an ImageModel, got Linear"):
        evaluate(nn.Linear(2, 3), PICTURE)
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        model.save(tmp_path)
    np.testing.assert_allclose(model.at([0, 23], [0, 19]), corners[0], atol=1e-5)
    for other in (torch.tensor(1j), torch.tensor(True), np.array(1j), True):
        with pytest.raises(InputError, match="positions must be real numbers"):
            model.at(0, other)
    assert np.array_equal(np.asarray(model), model.render())
    assert np.array_equal(model.render(size=(48, 40), crop=(3, 9, 0, 7)), model.render(scale=2)[3:9, 0:7])
    assert np.array_equal(read_image(write_image(tmp_path / "model.png", model)).pixels, model.render())
    assert model.render().dtype == model.dtype == np.uint8 and model.render().shape == model.shape
    gray, _ = fit(PICTURE[:, :, 0] / 255, **SMALL)
    assert gray.shape == (24, 20) and gray.render().dtype == np.float64


class Watcher(Callback):
    """Write down what it is told."""

    def __init__(self, stop_after=None):
        self.told, self.stop_after = [], stop_after

    def on_start(self, step, steps):
        self.told.append(("start", step, steps))

    def on_step(self, step, loss):
        assert loss.ndim == 0
        self.told.append(("step", step))

    def on_log(self, entry):
        self.told.append(("log", entry.step))

    def on_end(self):
        self.told.append(("end",))

    def should_stop(self):
        return self.stop_after is not None and ("step", self.stop_after) in self.told


def test_callbacks_are_told_in_order_and_change_nothing(fitted):
    watcher, told = Watcher(), []
    model, history = fit(PICTURE, **SMALL, callbacks=[watcher], progress=lambda *each: told.append(each))
    steps = [each for end in (4, 8, 12) for each in (*(("step", end + back) for back in (-3, -2, -1, 0)), ("log", end))]
    assert watcher.told == [("start", 0, 12), *steps, ("end",)]
    assert told == [(e.step, 12, {"loss": e.loss, "psnr": e.metrics["psnr"]}) for e in history]
    assert_same_bits(bits(model), bits(fitted[0]))
    with pytest.raises(TypeError, match=r"callback 3 has none of the methods on_start"):
        fit(PICTURE, **SMALL, callbacks=[3])


def test_progress_is_shown_on_stderr(capsys):
    fit(PICTURE, **SMALL, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "fit finer" in err and "PSNR" in err


def test_the_best_state_is_kept_when_a_callback_stops_the_fit():
    seen = []

    class Record(Watcher):
        def on_log(self, entry):
            super().on_log(entry)
            seen.append((entry.loss, {name: value.clone() for name, value in network.state_dict().items()}))

    network = Squares()
    model, history = fit(PICTURE, **{**SMALL, "network": network}, callbacks=[Record(stop_after=10)])
    assert history.interrupted and history["step"].tolist() == [4, 8]
    assert_same_bits(bits(model), min(seen, key=lambda each: each[0])[1])
    assert not model.training


class Press:
    """Press Ctrl-C at some steps."""

    def __init__(self, *steps):
        self.steps = steps

    def on_step(self, step, loss):
        if step in self.steps:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_ctrl_c_ends_a_fit_with_its_best_state_and_a_second_one_at_once():
    before = signal.getsignal(signal.SIGINT)
    model, history = fit(PICTURE, **SMALL, callbacks=[Press(6)])
    assert history.interrupted and len(history) == 1 and isinstance(model, ImageModel)
    early, _ = fit(PICTURE, **SMALL, callbacks=[Watcher(stop_after=6)])
    assert_same_bits(bits(model), bits(early))

    class Twice(Press):
        def on_step(self, step, loss):
            super().on_step(step, loss)
            super().on_step(step, loss)

    with pytest.raises(KeyboardInterrupt):
        fit(PICTURE, **SMALL, callbacks=[Twice(6)])
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("own", ["", "network", "activation"])
def test_a_checkpoint_is_gone_on_from_to_the_same_bits(own, tmp_path):
    def code():
        return {"": {}, "network": {"network": Squares()}, "activation": {"activation": square_wave}}[own]

    whole, _ = fit(PICTURE, **{**SMALL, **code()})
    habits = {"checkpoint": tmp_path / "fit.safetensors", "checkpoint_seconds": 0.0}
    _, first = fit(PICTURE, **{**SMALL, **code()}, **habits, callbacks=[Watcher(stop_after=6)])
    model, rest = fit(PICTURE, **{**SMALL, **code()}, **habits, resume=True)
    assert first.interrupted and not rest.interrupted
    assert [*first["step"], *rest["step"]] == [4, 8, 12]
    assert_same_bits(bits(model), bits(whole))
    other = {"network": nn.Linear(2, 3)} if own != "network" else {}
    with pytest.raises(InputError, match="give the same network= or activation="):
        fit(PICTURE, **{**SMALL, **other}, **habits, resume=True)


def test_checkpoints_of_other_fits_are_refused(tmp_path):
    path = tmp_path / "fit.safetensors"
    fit(PICTURE, **SMALL, checkpoint=path)
    for words, given in {
        "already exists": {},
        "of another image": {"resume": True, "image": PICTURE[::-1]},
        "steps 13 differs from the fit's, 12": {"resume": True, "steps": 13},
        "hidden_features 17 differs": {"resume": True, "network": {"hidden_features": 17}},
    }.items():
        with pytest.raises(InputError, match=words):
            fit(given.pop("image", PICTURE), **{**SMALL, **given}, checkpoint=path)
    with pytest.raises(InputError, match="needs checkpoint="):
        fit(PICTURE, **SMALL, resume=True)
    core = tmp_path / "core.safetensors"
    training.fit(Squares(), lambda network, step: network(torch.ones(2, 2)).square().mean(), steps=2, checkpoint=core)
    with pytest.raises(InputError, match=r"not a checkpoint of finer_image.fit"):
        fit(PICTURE, **{**SMALL, "network": Squares()}, checkpoint=core, resume=True)


@pytest.mark.parametrize("other", [{"nodata": 7}, {"value_range": (0.0, 1000.0)}, {"mode": "CHANNELS"}])
def test_the_same_pixels_with_another_meaning_are_another_image(other, tmp_path):
    habits = {"steps": 2, "network": {"hidden_features": 8}, "checkpoint": tmp_path / "fit.safetensors"}
    fit(Image.from_pixels(PICTURE), **habits)
    with pytest.raises(InputError, match="a fit of another image"):
        fit(Image.from_pixels(PICTURE, **other), **habits, resume=True)


def test_an_error_in_a_network_of_one_s_own_is_no_fault_of_the_checkpoint(tmp_path):
    network, path = Squares(), tmp_path / "fit.safetensors"

    class Breaks:
        def on_start(self, step, steps):
            network.register_forward_hook(self.fails)

        def fails(self, *_):
            raise KeyError("a bug of one's own")

    given = {**SMALL, "network": network, "checkpoint": path}
    fit(PICTURE, **given, callbacks=[Watcher(stop_after=6)])
    with pytest.raises(KeyError, match="a bug of one's own"):
        fit(PICTURE, **given, resume=True, callbacks=[Breaks()])


def test_a_network_of_ones_own_is_trained_judged_saved_and_loaded(tmp_path):
    network = Squares()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model, history = fit(PICTURE, **{**SMALL, "network": network, "steps": 40})
    assert model.network is network and history["loss"][-1] < history["loss"][0]
    assert not torch.equal(before["last.weight"], network.last.weight) and torch.equal(before["scale"], network.scale)
    assert repr(model).startswith("ImageModel: Squares of 195 parameters")
    path = tmp_path / "own.safetensors"
    model.save(path)
    loaded = ImageModel.load(path, network=Squares(seed=1))
    assert np.array_equal(loaded.render(scale=1.5), model.render(scale=1.5))
    assert evaluate(loaded, PICTURE) == evaluate(model, PICTURE)
    with pytest.raises(InputError, match=r"Squares', network of its user's own.*give network="):
        ImageModel.load(path)
    with pytest.raises(InputError, match="tensors do not fit Linear"):
        ImageModel.load(path, network=nn.Linear(2, 3))
    with pytest.raises(InputError, match="Squares is not a network of ours"):
        _ = model.config
    assert main(["render", str(path), "--out", str(tmp_path / "out.png")]) == 2


def test_a_network_of_ours_may_be_given_made_by_its_class(tmp_path):
    def made(seed: int) -> Finer:
        return Finer(in_features=2, out_features=3, **SIZES, generator=torch.Generator().manual_seed(seed))

    path = tmp_path / "made.safetensors"
    model, _ = fit(PICTURE, **{**SMALL, "network": made(0)})
    model.save(path)
    loaded = ImageModel.load(path, network=made(1))
    assert np.array_equal(loaded.render(), model.render())


@pytest.mark.parametrize(
    ("method", "make"),
    [("siren", lambda: square_wave), ("wire", lambda: square_wave), ("siren", lambda: nn.PReLU(init=0.1))],
    ids=["function", "complex", "module"],
)
def test_an_activation_of_ones_own_is_trained_judged_saved_and_loaded(method, make, tmp_path):
    activation = make()
    model, history = fit(PICTURE, **SMALL, method=method, activation=activation)
    assert len(history) == 3 and model.config.method == method
    copies = [layer.activation for layer in model.network.layers]
    assert len({id(each) for each in copies}) == 2 and activation not in copies
    path = tmp_path / "own.safetensors"
    model.save(path)
    loaded = ImageModel.load(path, activation=make())
    assert_same_bits(bits(loaded), bits(model))
    assert np.array_equal(loaded.render(), model.render())
    assert repr(loaded) == repr(model)
    with pytest.raises(InputError, match=r"activation of its user's own.*give activation="):
        ImageModel.load(path)


def test_own_code_may_have_a_time_and_begins_untouched_by_the_timing():
    network, seen = Squares(), []

    class Start(Callback):
        def on_start(self, step, steps):
            seen.append({name: value.clone() for name, value in network.state_dict().items()})

    model, _ = fit(PICTURE, seconds=0.1, device="cpu", network=network, callbacks=[Start()])
    assert_same_bits(seen[0], Squares().state_dict())
    assert model.network is network


def test_a_fit_ends_at_its_target():
    slope = np.linspace(0, 1, 16)[:, None] * np.ones(16)
    model, history = fit(slope, preset="paper", steps=400, target_psnr=15.0, network={"hidden_features": 32})
    assert history["step"][-1] < 400 and not history.interrupted
    assert evaluate(model, slope)["psnr"] >= 15.0


def test_a_history_has_columns():
    _, history = fit(PICTURE, **SMALL)
    assert history.columns == ("step", "loss", "learning_rate", "seconds", "rollbacks", "psnr")
    assert history["psnr"].shape == (3,) and np.all(np.diff(history["seconds"]) >= 0)
    assert isinstance(history[1:], TrainingHistory) and len(history[1:]) == 2
    assert history.metrics == {"loss": history[-1].loss, "psnr": history[-1].metrics["psnr"]}
    with pytest.raises(KeyError, match="no column 'ssim'; there are step, loss"):
        _ = history["ssim"]


def test_a_benchmark_has_the_figures_of_its_fits_and_of_those_that_fail(fitted, tmp_path):
    told = []
    images = {"a": PICTURE, "b": tmp_path / "none.png"}
    rows = finer_image.benchmark(images, ["finer", "siren"], ImageConfig(**SMALL), progress=lambda *e: told.append(e))
    assert [(row["image"], row["method"]) for row in rows] == [(a, m) for a in "ab" for m in ("finer", "siren")]
    figures = evaluate(fitted[0], PICTURE)
    assert (rows[0]["psnr"], rows[0]["ssim"], rows[0]["size"]) == (figures["psnr"], figures["ssim"], "24x20")
    assert "no such file" in rows[3]["error"] and rows[3]["psnr"] is None
    assert told == [(done, 4, {}) for done in range(1, 5)]
    with pytest.raises(InputError, match="did you mean 'siren'"):
        finer_image.benchmark(images, ["finer", "sirene"])
    assert finer_image.benchmark(images, ["finer"], **SMALL, callbacks=[Watcher(stop_after=6)]) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": "nowhere.png"}, "nowhere.png: no such file"),
        ({"image": np.zeros((2, 2, 2, 2))}, r"\(2, 2, 2, 2\)"),
        ({"image": np.zeros((2, 0))}, "the image"),
        ({"image": None}, "the image is one of type NoneType; give an array"),
        ({"image": torch.zeros(4, 4, device="meta")}, "the image, a Tensor, cannot be read as an array"),
        (
            {"config": {"steps": 3}},
            r"config must be a ImageConfig, .*, got one of type dict",
        ),
        ({"config": ImageConfig}, r"config must be a ImageConfig, .*, got "),
        ({"checkpoint": "a\0b"}, "cannot be written"),
        ({"checkpoint": "a" * 300, "resume": True}, "cannot be written"),
        ({"checkpoint": "nowhere/c", "resume": True}, "the folder nowhere does not exist"),
        ({"method": "sirene"}, "did you mean 'siren'"),
        ({"stepz": 3}, "did you mean 'steps'"),
        ({"steps": "many"}, "'steps' must be an integer"),
        ({"seconds": 3.0}, "both say how long"),
        ({"network": {"hiden": 3}}, "has no option 'hiden'"),
        ({"network": 3}, "hyper-parameters or a torch module, got one of type int"),
        ({"network": nn.Identity()}, "Identity has no parameters"),
        ({"network": nn.Linear(2, 3, device="meta")}, "Linear is on the device meta, without numbers"),
        ({"network": LessItsMean(2, 3)}, "other values of a point beside other points"),
        ({"network": nn.Linear(3, 3)}, r"Linear cannot take coordinates \(61, 2\): RuntimeError"),
        ({"network": nn.Linear(2, 4)}, r"makes float32 \(61, 4\).*not float32 \(61, 3\)"),
        ({"network": nn.Linear(2, 3).double()}, r"float64; fits compute in float32.*\.float\(\)"),
        ({"network": nn.Linear(2, 3), "activation": torch.tanh}, "leave out activation="),
        ({"activation": nn.Threshold}, "Threshold needs arguments: .*give a module"),
        ({"activation": int}, "int is a class, and not of modules"),
        ({"activation": lambda z: z[:, :1]}, "must keep the shape"),
        ({"activation": torch.tanh, "method": "bacon"}, "no activation that another could replace"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(given, words):
    with pytest.raises(InputError, match=words) as error:
        fit(given.get("image", PICTURE), **{**SMALL, **{k: v for k, v in given.items() if k != "image"}})
    assert len(str(error.value)) <= 300 and len(str(error.value).splitlines()) == 1


def test_betas_are_taken(fitted):
    model, _ = fit(PICTURE, **SMALL, betas=(0.5, 0.9))
    assert any(not torch.equal(value, bits(fitted[0])[name]) for name, value in bits(model).items())


@pytest.mark.parametrize("betas", [(1.5, 0.9), (0.9, 1.0), (-0.1, 0.9)])
def test_betas_that_do_not_decay_are_refused(betas):
    with pytest.raises(InputError, match=r"betas must be at least 0 and below 1, got \["):
        fit(PICTURE, **SMALL, betas=betas)


def test_a_benchmark_refuses_a_wrong_memory_before_the_first_fit():
    with pytest.raises(InputError, match=r"'memory' must be a string or an integer, got 4000000000\.0"):
        benchmark({"a": PICTURE}, ["finer"], **SMALL, memory=4e9)


def test_a_benchmark_opens_an_image_once_within_the_memory_that_it_is_given(tmp_path, monkeypatch):
    seen = []

    def opening(image, *, memory, **given):
        seen.append(memory)
        return as_image(image, memory=memory, **given)

    monkeypatch.setattr("finer_image.inputs.open_signal", lambda name, **given: seen.append(name) or read_image(name))
    for module in ("benchmarking", "training.fit", "evaluation"):
        monkeypatch.setattr(f"finer_image.{module}.as_image", opening, raising=False)
    path = str(write_image(tmp_path / "a.png", PICTURE))
    benchmark({"a": path}, ["finer"], **SMALL, memory="1GB")
    benchmark({"a": path}, ["finer"], ImageConfig(memory="1GB"), **SMALL)
    assert seen.count(path) == 2 and set(seen) == {path, parse_memory("1GB")}


def test_a_model_is_not_rendered_in_two_sizes(fitted):
    with pytest.raises(InputError, match="both say how large"):
        fitted[0].render(scale=2, size=(3, 3))
    with pytest.raises(InputError, match="24x20 image with 3 channels"):
        evaluate(fitted[0], PICTURE[:5])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
def test_masked_pixels_hold_no_data(dtype):
    values = np.arange(400, dtype=np.float64).reshape(20, 20) % 100
    hidden = np.random.default_rng(0).random((20, 20)) < 0.3
    masked = np.ma.masked_array(np.where(hidden, 120, values).astype(dtype), mask=hidden)
    model, _ = finer_image.fit(masked, steps=2, network={"hidden_features": 8})
    assert model.image["missing"] == hidden.sum()
    if np.dtype(dtype).kind == "f":
        assert model.image["value_range"] == [0.0, 99.0]


@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_a_pixel_of_which_one_channel_is_masked_holds_no_data(channels):
    """Bands of a satellite are masked one by one, and numpy.ma.masked_equal masks values."""
    pixels = np.random.default_rng(0).integers(1, 200, (12, 10, channels)).astype(np.uint8)
    masked = np.ma.masked_array(pixels, mask=np.zeros(pixels.shape, dtype=bool))
    masked[3, 4, 1] = masked[5, 6, 0] = np.ma.masked
    image = as_image(masked, memory=10**9)
    assert np.argwhere(image.missing_in(image.read(slice(None)))).tolist() == [[3, 4], [5, 6]]


def test_a_deep_gray_picture_with_a_transparent_value_is_what_its_file_is(tmp_path):
    """Pillow's conversion would cut its values off at 255."""
    pixels = np.arange(0, 60_000, 1000, dtype=np.uint16).reshape(6, 10)
    Pillow.fromarray(pixels).save(tmp_path / "a.png", transparency=5000)
    with Pillow.open(tmp_path / "a.png") as picture:
        image = as_image(picture, memory=10**9)
    assert (image.mode, image.dtype) == ("LA", np.uint16)
    np.testing.assert_array_equal(image.read(slice(None)), read_image(tmp_path / "a.png").pixels)


def test_an_array_that_masks_nothing_is_an_array():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    model, _ = finer_image.fit(np.ma.masked_array(pixels), steps=2, network={"hidden_features": 8})
    assert model.image["missing"] == 0


def test_a_mask_for_which_no_value_is_left_is_refused():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    full = np.ma.masked_array(np.concatenate([pixels, pixels]), mask=np.arange(512).reshape(32, 16) == 3)
    with pytest.raises(InputError, match=r"give image.astype\(float\).filled\(numpy.nan\)"):
        finer_image.fit(full, steps=2)


def test_a_size_is_taken_as_it_is_given():
    model, _ = fit(PICTURE, **{**SMALL, "steps": 1})
    for size in ((7, 9), np.array([7, 9]), torch.tensor([7, 9])):
        assert model.render(size=size).shape == (7, 9, 3)
    whole = model.render(scale=2)
    assert np.array_equal(model.render(scale=2, crop=np.array([3, 20, 5, 11])), whole[3:20, 5:11])
    for size in ((0, 10), (0, 0), (10, 0), (-1, 10)):
        with pytest.raises(InputError, match=f"cannot render an image of {size[0]}x{size[1]} pixels"):
            model.render(size=size)
    for large in ({"size": (10**12, 9)}, {"size": (9, 10**12)}, {"scale": 1e12}):
        with pytest.raises(InputError, match="a side has at most 10000000 pixels"):
            model.render(**large, crop=(0, 2, 0, 2))
    for given in (
        {"size": (10.5, 10)},
        {"size": 10},
        {"size": (1, 2, 3)},
        {"crop": (0, 2, 0)},
        {"crop": (0, 2.5, 0, 2)},
    ):
        with pytest.raises(InputError, match="whole numbers are wanted"):
            model.render(**given)
    with pytest.raises(InputError, match="both say how large"):
        model.render(size=np.array([4, 4]), scale=2)


def test_numbers_of_numpy_are_numbers():
    small = {**SMALL, "steps": np.int64(2), "network": {"hidden_features": np.int64(8), "hidden_layers": np.int32(1)}}
    model, history = fit(PICTURE, ImageConfig(seed=np.int64(0)), **small, learning_rate=np.float32(1e-3))
    assert model.config.hidden_features == 8 and history[-1].step == 2


def test_evaluate_warns_of_other_values_and_not_of_the_same_in_another_type(caplog):
    picture = (5 + 92 * np.random.default_rng(0).random((12, 12, 1))).astype(np.uint8)
    model, _ = fit(picture, **SMALL)
    same = evaluate(model, picture)
    assert evaluate(model, picture.astype(np.float64)) == same and not caplog.records
    evaluate(model, picture / 255)
    assert "the image holds float64 of" in caplog.text and "they are compared as they stand" in caplog.text
    caplog.clear()
    with pytest.raises(InputError, match="the model is of a 12x12 image"):
        evaluate(model, picture[:9, :9] / 255)
    assert not caplog.records


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, np.ma.asarray, np.ndarray.tolist])
def test_channels_that_come_first_in_memory_are_told(kind, caplog):
    given = kind(np.moveaxis(np.zeros((12, 10, 3), dtype=np.float32), -1, 0))
    fit(given, steps=1, network={"hidden_features": 4, "hidden_layers": 1})
    note = "the image: is read as 3 rows of 12 pixels with 10 channels; move the axis (numpy.moveaxis) if its"
    assert note in caplog.text


def test_an_array_of_objects_is_told_what_it_holds():
    with pytest.raises(InputError, match="the image holds object values; convert them to one of uint8"):
        fit(PICTURE.astype(object), steps=1)
    with pytest.raises(InputError, match="the image is one of type object; give an array"):
        fit(object(), steps=1)


def test_what_a_picture_of_pillow_loses_in_memory_is_told(caplog):
    turned = Pillow.Exif()
    turned[0x0112] = 6
    data = io.BytesIO()
    Pillow.fromarray(PICTURE).save(data, "PNG", exif=turned)
    with Pillow.open(data) as picture:
        image = as_image(picture, memory=10**9)
        upright = as_image(ImageOps.exif_transpose(picture), memory=10**9)
    np.testing.assert_array_equal(image.pixels, PICTURE)
    (note,) = image.notes
    assert note == "has the EXIF orientation 6, which is left aside; PIL.ImageOps.exif_transpose turns it upright"
    assert note in caplog.text and upright.notes == () and upright.pixels.shape[:2] == PICTURE.shape[1::-1]
    for mode in ("CMYK", "LAB"):
        (note,) = as_image(Pillow.fromarray(PICTURE).convert(mode), memory=10**9).notes
        assert note == f"is {mode}; converted to RGB without its color profile"
