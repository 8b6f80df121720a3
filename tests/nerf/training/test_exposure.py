"""Pictures whose exposure differs: an affine color of each training camera."""

import dataclasses

import pytest
import torch

from finer_core.errors import InputError
from finer_nerf import NerfConfig, evaluate, fit
from finer_nerf.rendering.volume import RayRendering
from finer_nerf.training.exposure import Exposure
from finer_nerf.training.rays import RayBatch
from tests.nerf.training.test_backgrounds import SMALL, opaque_ball


def seen(image: torch.Tensor) -> RayRendering:
    nothing = torch.zeros(len(image))
    return RayRendering(image=image, opacity=nothing, depth=nothing, evaluated=1, colored=1)


def pieces_of(colors: torch.Tensor, target: torch.Tensor, view: torch.Tensor) -> list:
    """Return a step of two pieces, in which rays saw colors."""
    nothing = torch.zeros(len(view))
    batch = RayBatch(
        rays_o=colors, rays_d=colors, target=target, background=colors, opaque=nothing.bool(), jitter=nothing, view=view
    )
    pieces = batch.split((len(view) + 1) // 2)
    return [(len(piece), seen(image), piece) for image, piece in zip(colors.chunk(2), pieces, strict=True)]


def test_affine_colors_are_found_up_to_one_map_of_all():
    generator = torch.Generator().manual_seed(0)
    gains = torch.tensor([[0.8, 1.1, 1.0], [1.2, 0.9, 1.0]])
    exposure = Exposure(views=2, device="cpu")
    for _ in range(200):
        colors, view = torch.rand(400, 3, generator=generator), torch.arange(400) % 2
        exposure.look(pieces_of(colors, colors * gains[view], view))
    # The prior of a twentieth of the rays holds maps back, and most where colors vary least.
    found = exposure.maps.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(exposure.maps.mean(dim=0), torch.eye(3, 4), atol=1e-5, rtol=0)
    assert bool((found[0, 0] < 0.92) & (found[1, 0] > 1.08) & (found[0, 1] > 1.03) & (found[1, 1] < 0.97))
    batch = pieces_of(colors, colors * gains[view], view)[0][2]
    torch.testing.assert_close(exposure.apply(exposure.undo(batch).target, batch.view), batch.target, atol=1e-5, rtol=0)


def test_at_first_pictures_are_taken_as_they_are():
    exposure = Exposure(views=3, device="cpu")
    colors = torch.rand(10, 3, generator=torch.Generator().manual_seed(0))
    exposure.look(pieces_of(colors, colors / 2, torch.zeros(10, dtype=torch.long)))
    assert torch.equal(exposure.maps, torch.eye(3, 4).expand(3, 3, 4))


def differing(scene):
    """Return a scene whose training pictures are darker, every other one."""
    images = scene.train.images.clone()
    images[::2] = (images[::2] * 0.6).to(torch.uint8)
    return dataclasses.replace(scene, train=dataclasses.replace(scene.train, images=images))


def test_training_pictures_are_fitted_better_and_resuming_is_exact(tmp_path):
    scene, one = differing(opaque_ball()), {**SMALL, "background": "learned", "seed": 1, "steps": 120}
    plain, before = fit(scene, **one)
    model, after = fit(scene, **one, exposure=True)
    assert after["psnr"][-1] > before["psnr"][-1] + 1
    seen = []
    stopper = type("Stop", (), {"should_stop": lambda self: len(seen) >= 8, "on_log": lambda self, *a: seen.append(1)})
    state = tmp_path / "state"
    fit(scene, **one, exposure=True, checkpoint=state, callbacks=[stopper()])
    again, _ = fit(scene, checkpoint=state, resume=True)
    for ours, theirs in zip(model.field.parameters(), again.field.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert evaluate(model, scene.test) == evaluate(again, scene.test) != evaluate(plain, scene.test)


def test_transparent_pictures_have_no_exposure():
    from tests.nerf.small_scenes import ball_scene

    with pytest.raises(InputError, match="--exposure is for opaque pictures"):
        fit(ball_scene(size=8, train=3, test=1), **{**SMALL, "steps": 2}, exposure=True)
    assert NerfConfig().exposure is False
