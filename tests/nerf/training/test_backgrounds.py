"""What is behind everything: named, found at the pictures' edges, or learned; never random for opaque pictures."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from finer_core.errors import InputError
from finer_nerf import NerfConfig, NerfModel, evaluate, fit
from finer_nerf.app.cli import main
from finer_nerf.backgrounds import background_name, color_of
from finer_nerf.scenes import Scene
from finer_nerf.training.background import LearnedBackground, with_backgrounds
from finer_nerf.training.plan import plan_fit
from tests.nerf.small_scenes import ball_scene, ball_views, write_transforms

BLUE = torch.tensor([30, 60, 90], dtype=torch.uint8)
SMALL = {
    **{"device": "cpu", "max_samples": 32, "grid_resolution": 16, "batch_samples": 3000, "log_every": 10},
    **{"network": {"hidden_features": 16, "hidden_layers": 1}},
}


def opaque_ball(kind: str = "transforms") -> Scene:
    """Return the ball before blue, as a scene of opaque pictures."""
    scene = ball_scene(size=20, train=10)

    def put(views):
        images = torch.where(views.images[..., 3:] > 0, views.images[..., :3], BLUE)
        return dataclasses.replace(views, images=images)

    return dataclasses.replace(scene, kind=kind, train=put(scene.train), test=put(scene.test))


def noise() -> Scene:
    """Return a scene of opaque pictures without an edge of one color."""
    scene = opaque_ball()
    scene.train.images[:] = torch.randint(256, scene.train.images.shape, generator=torch.Generator().manual_seed(0))
    return scene


def with_alpha(scene: Scene) -> Scene:
    """Return the same scene with pictures of four channels, the last of which says that all is opaque."""

    def put(views):
        return dataclasses.replace(views, images=torch.nn.functional.pad(views.images, (0, 1), value=255))

    return dataclasses.replace(scene, train=put(scene.train), test=put(scene.test))


def test_names_and_colors():
    assert color_of("#1e3c5a") == (30 / 255, 60 / 255, 90 / 255) == color_of("#1E3C5A")
    assert background_name(color_of("#1e3c5a")) == "#1e3c5a"
    assert [background_name(color_of(name)) for name in ("white", "black")] == ["white", "black"]
    for wrong in ("red", "#12345", "#12345g", "learned", 3, None, "#1234567"):
        with pytest.raises(InputError, match="white, black"):
            color_of(wrong)


@pytest.mark.parametrize(
    ("scene", "given", "expected"),
    [
        (ball_scene, {}, ("white", "random")),
        (opaque_ball, {}, ("#1e3c5a", "same")),
        (noise, {}, ("learned", "same")),
        (lambda: opaque_ball("blender"), {}, ("white", "same")),
        (lambda: opaque_ball("blender"), {"preset": "paper"}, ("white", "random")),
        (opaque_ball, {"preset": "paper"}, ("#1e3c5a", "same")),
        (opaque_ball, {"background": "black"}, ("black", "same")),
        (opaque_ball, {"train_background": "random"}, ("#1e3c5a", "random")),
        (ball_scene, {"train_background": "same", "background": "black"}, ("black", "same")),
        (lambda: with_alpha(opaque_ball()), {}, ("#1e3c5a", "same")),
        (lambda: with_alpha(noise()), {}, ("learned", "same")),
        (lambda: with_alpha(opaque_ball("blender")), {}, ("white", "same")),
    ],
)
def test_which_background_a_scene_is_trained_with(scene, given, expected):
    settings = with_backgrounds(NerfConfig(**given), scene())
    assert (settings.background, settings.train_background) == expected


@pytest.mark.parametrize("options", [{}, {"background": "learned", "exposure": True}], ids=["found", "learned"])
def test_an_alpha_channel_that_is_opaque_everywhere_changes_no_bit(options):
    """Screenshots and programs write PNG files with one; they were taken for transparent pictures."""
    scene = opaque_ball()
    trained = [fit(each, steps=3, seed=0, **SMALL, **options)[0] for each in (scene, with_alpha(scene))]
    one, two = (dict(model.field.named_parameters()) for model in trained)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert trained[0].frame == trained[1].frame and trained[0].background == trained[1].background


@pytest.mark.parametrize(
    ("scene", "given", "told"),
    [
        (opaque_ball, {"visual_hull": True}, ["--visual-hull finds nothing empty: the pictures are opaque"]),
        (ball_scene, {"visual_hull": True, "contract": True}, ["--visual-hull does nothing with --contract"]),
        (ball_scene, {"visual_hull": True}, []),
        (opaque_ball, {"visual_hull": False}, []),
        (opaque_ball, {}, []),
    ],
)
def test_a_visual_hull_that_is_asked_for_in_vain_is_told_of(scene, given, told):
    notes = [note for note in plan_fit(NerfConfig(**given, device="cpu"), scene()).notes if "hull" in note]
    assert len(notes) == len(told) and all(map(str.startswith, notes, told))


def test_nothing_is_learned_of_transparent_pictures():
    with pytest.raises(InputError, match="the pictures are transparent"):
        fit(ball_scene(), steps=1, background="learned")
    with pytest.raises(InputError, match="got 'red'; another color is written #rrggbb"):
        fit(ball_scene(), steps=1, background="red")


def test_the_color_is_the_least_squares_one_in_any_order_of_pieces():
    random = torch.Generator().manual_seed(0)
    true, before = torch.tensor([0.2, 0.5, 0.9]), torch.tensor([0.7, 0.1, 0.3])
    pieces = []
    for rays in (5, 9, 17):
        opacity, seen = torch.rand(rays, generator=random), torch.rand(rays, 3, generator=random)
        seen = seen * opacity[:, None]
        through = (1 - opacity)[:, None]
        rendering = SimpleNamespace(opacity=opacity, image=seen + through * before)
        piece = SimpleNamespace(target=seen + through * true, background=before.expand(rays, 3))
        pieces.append((rays, rendering, piece))
    found = []
    for order in (pieces, pieces[::-1]):
        learned = LearnedBackground(first=torch.full((3,), 0.5), device="cpu")
        assert learned.color.tolist() == [0.5] * 3
        learned.look(order)
        found.append(learned.sums)
        clear = learned.sums[0]  # of the first guess ten rays stay
        expected = (5 + clear * true.double()) / (10 + clear)
        torch.testing.assert_close(learned.color, expected.float(), atol=1e-5, rtol=0)
    assert torch.equal(*found)


def test_a_background_is_learned_kept_in_the_model_and_judged_with(tmp_path):
    scene = opaque_ball()
    model, _ = fit(scene, **SMALL, steps=80, background="learned")
    assert np.abs(np.array(color_of(model.background)) * 255 - BLUE.numpy()).max() < 20
    model.save(tmp_path / "m.safetensors")
    loaded = NerfModel.load(tmp_path / "m.safetensors")
    figures = evaluate(loaded, scene.test)
    assert figures == evaluate(model, scene.test) and figures["background"] == model.background
    assert figures["psnr"] > evaluate(model, scene.test, background="white")["psnr"] + 3
    assert loaded.render(scene.test.poses[0], scene.test.cameras[0])["rgb"].shape == (20, 20, 3)


def test_the_command_says_the_background_and_goes_on_with_it(tmp_path, capsys):
    folder = write_transforms(tmp_path / "s")
    for i, image in enumerate(ball_views(6, size=16, alpha=False).images):
        Image.fromarray(image[2:14].numpy()).save(folder / f"images/{i}.png")
    options = [
        "--steps",
        "6",
        "--max-samples",
        "8",
        "--grid-resolution",
        "8",
        "--hidden-features",
        "8",
        "--log-every",
        "2",
    ]
    options += ["--orbit-frames", "0", "--quiet", "--device", "cpu", "--checkpoint-seconds", "0"]
    out = str(tmp_path / "run")
    assert main(["train", str(folder), *options, "--background", "learned", "--out", out]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"]["background"] == "learned" and config["settings"]["train_background"] == "same"
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    model = NerfModel.load(tmp_path / "run" / "model.safetensors")
    assert figures["background"] == model.background
    (tmp_path / "run" / "model.safetensors").unlink()
    (tmp_path / "run" / "metrics.json").unlink()
    assert main(["train", "--resume", "--quiet", "--out", out]) == 0
    assert NerfModel.load(tmp_path / "run" / "model.safetensors").background == model.background
    capsys.readouterr()
    assert main(["train", str(folder), "--background", "red", "--out", str(tmp_path / "other")]) == 2
    assert "background must be one of white, black" in capsys.readouterr().err
    rendered = ["render", f"{out}/model.safetensors", "--out", str(tmp_path / "a.png"), "--quiet"]
    assert main([*rendered, "--background", "#ff0000"]) == 0
    assert main([*rendered, "--background", "learned", "--overwrite"]) == 2


def test_a_learned_background_is_gone_on_with_to_the_same_bits(tmp_path):
    scene, path = noise(), tmp_path / "fit.safetensors"
    whole, _ = fit(scene, **SMALL, steps=20)

    class Stop:
        def on_step(self, step, loss):
            self.step = step

        def should_stop(self):
            return getattr(self, "step", 0) >= 10

    fit(scene, **SMALL, steps=20, checkpoint=path, checkpoint_seconds=0.0, callbacks=[Stop()])
    model, _ = fit(scene, **SMALL, steps=20, checkpoint=path, resume=True)
    assert model.background == whole.background
    for name, value in whole.field.state_dict().items():
        assert torch.equal(value, model.field.state_dict()[name])
