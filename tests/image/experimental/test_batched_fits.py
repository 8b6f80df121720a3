"""Images fitted at once come out as each would alone, in run folders of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from finer_core import load_model
from finer_core.app.run_folder import RunFolder
from finer_core.errors import InputError
from finer_core.training import Interrupted, read_jsonl
from finer_image.app.folder_fit import fit_image
from finer_image.config import ImageConfig
from finer_image.experimental.batched import fit_images
from finer_image.io.image import Image
from finer_image.training.plan import plan_fit

SHAPE = (22, 27)
"""Not a multiple of the sampler's cells, so that batches differ in length between seeds."""


def picture(number: int, shape: tuple[int, int] = SHAPE) -> Image:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    pixels = np.stack([120 + 90 * np.sin(x / (3 + number)), 128 + 60 * np.cos(y / 3), (x * y * (number + 1)) % 255], -1)
    return Image.from_pixels(pixels.astype(np.uint8))


def settings_of(seed: int, **given) -> ImageConfig:
    network = {"hidden_features": 24, "hidden_layers": 1}
    values = {"steps": 40, "batch_pixels": 100, "optimizer": "adam", "log_every": 8, "checkpoint_seconds": 0.0}
    return ImageConfig(seed=seed, device="cpu", network=network, **{**values, **given})


def folders(root: Path, count: int) -> list[RunFolder]:
    for number in range(count):
        (root / str(number)).mkdir(parents=True, exist_ok=True)
    return [RunFolder(root / str(number)) for number in range(count)]


def weights(run: RunFolder) -> list[torch.Tensor]:
    return list(load_model(run.model).state_dict().values())


@pytest.mark.parametrize("stacked", [None, True], ids=["threads", "stacked"])
@pytest.mark.parametrize("method", ["finer", "wire", "ff"])
def test_images_come_out_as_alone(tmp_path, method, stacked):
    images = [picture(number) for number in range(3)]
    plans = [plan_fit(settings_of(seed, method=method), image) for seed, image in enumerate(images)]
    together, alone = folders(tmp_path / "together", 3), folders(tmp_path / "alone", 3)
    results = fit_images(plans, images, together, quiet=True, stacked=stacked)
    for plan, image, run, other, result in zip(plans, images, together, alone, results, strict=True):
        _, expected = fit_image(plan, image, other, quiet=True)
        assert isinstance(result, tuple)
        figures = result[1]
        assert figures["psnr"] == pytest.approx(expected["psnr"], abs=0.01)
        assert figures["together"] == 3
        assert set(figures) == {*expected, "together"}
        for a, b in zip(weights(run), weights(other), strict=True):
            assert (a - b).norm() <= 1e-3 * b.norm()
        lines, others = read_jsonl(run.metrics_log), read_jsonl(other.metrics_log)
        assert [line["step"] for line in lines] == [line["step"] for line in others]
        assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in others], rel=1e-3)
        assert run.checkpoint.is_file()


def test_a_killed_group_goes_on_to_the_same_bits(tmp_path):
    images = [picture(number) for number in range(3)]
    plans = [plan_fit(settings_of(seed, optimizer="muon"), image) for seed, image in enumerate(images)]
    whole = folders(tmp_path / "whole", 3)
    fit_images(plans, images, whole, quiet=True)
    parts, asked = folders(tmp_path / "parts", 3), iter(range(10_000))
    with pytest.raises(Interrupted):
        fit_images(plans, images, parts, quiet=True, should_stop=lambda: next(asked) > 70)
    for chosen in ([2], [0, 1]):
        results = fit_images(
            *([listed[number] for number in chosen] for listed in (plans, images, parts)),
            resume=[True] * len(chosen),
            quiet=True,
        )
        assert all(isinstance(result, tuple) for result in results)
    for a, b in zip(whole, parts, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))
        assert [line["loss"] for line in read_jsonl(a.metrics_log)] == [
            line["loss"] for line in read_jsonl(b.metrics_log)
        ]


def test_a_damaged_checkpoint_costs_one_image(tmp_path):
    images = [picture(0), picture(1)]
    plans = [plan_fit(settings_of(0, steps=8), image) for image in images]
    runs = folders(tmp_path, 2)
    runs[0].checkpoint.parent.mkdir()
    runs[0].checkpoint.write_text("nonsense")
    first, second = fit_images(plans, images, runs, resume=[True, True], quiet=True)
    assert isinstance(first, InputError)
    assert isinstance(second, tuple)
    assert not runs[0].model.exists()
    assert runs[1].model.exists()


@pytest.mark.parametrize(
    ("other", "given"),
    [(picture(1, (22, 28)), {}), (picture(1), {"steps": 9}), (picture(1), {"method": "siren"})],
    ids=["size", "steps", "method"],
)
def test_what_differs_in_more_than_content_and_seed_is_refused(tmp_path, other, given):
    images = [picture(0), other]
    plans = [plan_fit(settings_of(0), images[0]), plan_fit(settings_of(1, **given), other)]
    with pytest.raises(InputError, match="one size and one set of settings"):
        fit_images(plans, images, folders(tmp_path, 2), quiet=True)


def test_sampling_by_error_is_refused(tmp_path):
    images = [picture(0), picture(1)]
    plans = [plan_fit(settings_of(0, sampling="importance", batch_pixels=64), image) for image in images]
    with pytest.raises(InputError, match="--sampling importance needs each image's own errors"):
        fit_images(plans, images, folders(tmp_path, 2), quiet=True)


def test_progress_counts_the_steps_of_all(tmp_path, capsys):
    images = [picture(0), picture(1)]
    plans = [plan_fit(settings_of(0, steps=8), image) for image in images]
    fit_images(plans, images, folders(tmp_path, 2))
    shown = capsys.readouterr().err
    assert "fit finer x 2   0.0% | 0/16 steps" in shown
    assert "16/16 steps" in shown
    assert "mean PSNR" in shown
