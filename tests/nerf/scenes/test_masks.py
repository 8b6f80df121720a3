"""Masked pixels are in no batch and in no figure, and close nothing."""

import numpy as np
import pytest
import torch
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.evaluation import judge_views, ssim
from finer_nerf.normalization import Normalization
from finer_nerf.scenes import Views
from finer_nerf.scenes.images import read_mask
from finer_nerf.scenes.reader import read_scene
from finer_nerf.training.rays import TrainingRays
from finer_nerf.training.visual_hull import carve
from tests.nerf.models import ball_model
from tests.nerf.small_scenes import ball_views, write_transforms


def upper_half(size) -> np.ndarray:
    """Return a mask whose upper half is black."""
    mask = np.full(size, 255, np.uint8)
    mask[: size[0] // 2] = 0
    return mask


def write_masked(folder, mask=None, *, name="mask.png", **more):
    write_transforms(folder, **more)
    Image.fromarray(upper_half((12, 16)) if mask is None else mask).save(folder / name)
    return folder


@pytest.mark.parametrize("of_frame", [True, False])
def test_masks_of_a_frame_and_of_the_file(tmp_path, of_frame):
    says = {"mask_path": "mask.png"}
    how = {"each": lambda i: says if i == 1 else {}} if of_frame else says
    scene = read_scene(str(write_masked(tmp_path / "scene", **how)))
    assert not bool(scene.train.masks[0][:6].any()) and bool(scene.train.masks[0][6:].all())
    assert bool(scene.train.masks[1].all()) == of_frame
    assert any("left out of the loss and of the figures" in note for note in scene.notes)


def test_a_frames_mask_overrules_the_files(tmp_path):
    folder = write_masked(tmp_path / "scene", mask_path="mask.png", each=lambda i: {"mask_path": "own.png"})
    Image.fromarray(255 - upper_half((12, 16))).save(folder / "own.png")
    assert not bool(read_scene(str(folder)).train.masks[0][6:].any())


def test_a_dynamic_mask_of_instant_ngp_leaves_out_what_is_not_black(tmp_path):
    folder = write_transforms(tmp_path / "scene")
    Image.fromarray(upper_half((12, 16))).save(folder / "images" / "dynamic_mask_1.png")
    masks = read_scene(str(folder)).train.masks
    assert bool(masks[0][:6].all()) and not bool(masks[0][6:].any()) and bool(masks[1:].all())


@pytest.mark.parametrize("kind", ["L", "1", "RGB", "P"])
def test_masks_of_every_kind(tmp_path, kind):
    Image.fromarray(upper_half((4, 4))).convert(kind).save(tmp_path / "m.png")
    mask = read_mask([(tmp_path / "m.png", False)], size=(4, 4), downscale=1)
    assert mask.tolist() == [[False] * 4] * 2 + [[True] * 4] * 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("black_counts", [False, True])
def test_transparency_of_a_mask_of_one_color_decides(tmp_path, mode, black_counts):
    alpha = upper_half((12, 16))
    for color in (255, 0):
        pixels = [np.full_like(alpha, color)] * (3 if mode == "RGBA" else 1)
        if mode == "P":
            mask = Image.fromarray((alpha > 0).astype(np.uint8), "P")
            mask.putpalette([color] * 768)
            mask.save(tmp_path / "mask.png", transparency=0)
        else:
            Image.fromarray(np.dstack([*pixels, alpha])).save(tmp_path / "mask.png")
        counts = read_mask([(tmp_path / "mask.png", black_counts)], size=(12, 16), downscale=1)
        assert counts[6:].all() == (not black_counts) and counts[:6].all() == black_counts


def test_a_mask_of_two_colors_counts_where_it_is_neither_black_nor_transparent(tmp_path):
    pixels = np.full((12, 16, 4), 255, np.uint8)
    pixels[:6, :, :3] = 0  # black above
    pixels[:, :8, 3] = 0  # transparent on the left
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    counts = read_mask([(tmp_path / "mask.png", False)], size=(12, 16), downscale=1)
    assert counts[6:, 8:].all() and counts.sum() == 6 * 8
    pixels[..., 3] = 255  # opaque: the colors decide alone
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert read_mask([(tmp_path / "mask.png", False)], size=(12, 16), downscale=1).sum() == 6 * 16


def test_a_mask_of_the_faintest_blue_is_not_black(tmp_path):
    Image.fromarray(np.dstack([np.zeros((12, 16, 2), np.uint8), upper_half((12, 16)) // 255])).save(tmp_path / "m.png")
    assert read_mask([(tmp_path / "m.png", False)], size=(12, 16), downscale=1).sum() == 6 * 16


@pytest.mark.parametrize("bright", [255, 60])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m.jpg", {"quality": 75}),
        ("m.webp", {"quality": 75}),
        ("m.jp2", {"irreversible": True, "quality_mode": "dB", "quality_layers": [40]}),
    ],
)
def test_what_a_lossy_format_leaves_of_black_in_a_mask_is_black(tmp_path, mode, bright, name, options):
    mask = np.zeros((24, 24), np.uint8)
    mask[:11, :13] = bright
    Image.fromarray(mask).convert(mode).save(tmp_path / name, **options)
    assert (np.asarray(Image.open(tmp_path / name).convert("L")) > 0).sum() > (mask > 0).sum() + 5
    found = read_mask([(tmp_path / name, False)], size=(24, 24), downscale=1)
    np.testing.assert_array_equal(found, mask > 0)
    Image.fromarray(np.zeros_like(mask)).convert(mode).save(tmp_path / name, **options)
    assert not read_mask([(tmp_path / name, False)], size=(24, 24), downscale=1).any()


def test_what_lossless_webp_has_is_a_mask_as_it_stands(tmp_path):
    mask = np.arange(1, 17, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(mask).save(tmp_path / "m.webp", lossless=True)
    assert read_mask([(tmp_path / "m.webp", False)], size=(4, 4), downscale=1).all()


@pytest.mark.parametrize("bright", [1, 7])
def test_a_mask_in_jpeg_may_have_small_numbers(tmp_path, bright):
    mask = upper_half((16, 16)) // 255 * bright
    Image.fromarray(mask).save(tmp_path / "m.jpg", quality=95)
    found = read_mask([(tmp_path / "m.jpg", False)], size=(16, 16), downscale=1)
    np.testing.assert_array_equal(found, mask > 0)


def test_a_mask_of_shares_is_not_rounded_to_black(tmp_path):
    mask = np.zeros((12, 16), np.float32)
    mask[:4], mask[4:6] = 1, 0.25
    Image.fromarray(mask).save(tmp_path / "m.tif")
    found = read_mask([(tmp_path / "m.tif", False)], size=(12, 16), downscale=1)
    np.testing.assert_array_equal(found, mask > 0)


def test_a_mask_of_zeros_and_ones(tmp_path):
    Image.fromarray(upper_half((4, 4)) // 255).save(tmp_path / "m.png")
    assert read_mask([(tmp_path / "m.png", False)], size=(4, 4), downscale=1)[2:].all()


@pytest.mark.parametrize(("size", "downscale"), [((6, 6), 2), ((6, 6), 3), ((7, 7), 2), ((11, 11), 3)])
def test_a_reduced_pixel_counts_if_all_of_it_does(tmp_path, size, downscale):
    values = np.full(size, 255, np.uint8)
    values[2, 2] = 0
    Image.fromarray(values).save(tmp_path / "m.png")
    mask = read_mask([(tmp_path / "m.png", False)], size=size, downscale=downscale)
    each = size[0] / mask.shape[0]
    touched = [i for i in range(len(mask)) if i * each < 3 and (i + 1) * each > 2]
    expected = np.ones_like(mask)
    expected[np.ix_(touched, touched)] = False
    assert mask.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("mask", "words"),
    [(np.zeros((12, 16), np.uint8), "leaves no pixel"), (np.full((6, 8), 255, np.uint8), "6x8 for a picture of 12x16")],
)
def test_masks_that_do_not_fit(tmp_path, mask, words):
    with pytest.raises(InputError, match=words):
        read_scene(str(write_masked(tmp_path / "scene", mask, mask_path="mask.png")))


def test_a_mask_that_is_no_picture(tmp_path):
    folder = write_masked(tmp_path / "scene", mask_path="mask.png")
    (folder / "mask.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"mask\.png"):
        read_scene(str(folder))


def masked_views(size=24) -> Views:
    """Return views of the ball whose upper half is garbage, and masked."""
    views = ball_views(4, size=size)
    images = views.images.clone()
    images[:, : size // 2] = torch.randint(256, images[:, : size // 2].shape, dtype=torch.uint8)
    masks = torch.ones(images.shape[:3], dtype=torch.bool)
    masks[:, : size // 2] = False
    return Views(names=views.names, images=images, poses=views.poses, cameras=views.cameras, masks=masks)


@pytest.mark.parametrize("draw", ["one view", "all views"])
def test_no_ray_of_a_masked_pixel_is_drawn_and_all_others_are(draw):
    views = masked_views(size=4)
    numbered = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1).expand(4, 4, 4, 3).contiguous()
    views = Views(names=views.names, images=numbered, poses=views.poses, cameras=views.cameras, masks=views.masks)
    rays = TrainingRays(views, Normalization(scale=1.0), draw=draw, background=0.0, device="cpu")
    batch = rays.batch(rays=2000, generator=torch.Generator().manual_seed(0))
    drawn = (batch.target[:, 0] * 255).round().long()
    assert set(drawn.tolist()) == set(range(8, 16))
    assert torch.bincount(drawn)[8:].min() > 2000 / 8 * 0.7  # six standard deviations of a binomial


def test_figures_are_those_of_the_pixels_that_count():
    model, views = ball_model(), masked_views()
    (judged, *_), (again, *_) = (
        list(judge_views(model, each, background="white"))
        for each in (views, Views(**{**views.__dict__, "images": 255 - views.images}))
    )
    lower = judged.view.color[12:] - judged.truth[12:]
    assert judged.psnr == pytest.approx(-10 * np.log10(np.square(lower).mean()), abs=1e-4)
    assert again.psnr != judged.psnr
    upper = views.images.clone()
    upper[:, :12] = 0
    (other, *_) = judge_views(model, Views(**{**views.__dict__, "images": upper}), background="white")
    assert (other.psnr, other.ssim) == (judged.psnr, judged.ssim)


def test_structural_similarity_of_whole_windows():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 40, 30, 3)).astype(np.float32)
    everything = np.ones((40, 30), dtype=bool)
    assert ssim(a, b, mask=everything) == pytest.approx(ssim(a, b), abs=1e-7)
    right = everything.copy()
    right[:, :10] = False
    assert ssim(a, b, mask=right) == pytest.approx(ssim(a[:, 10:], b[:, 10:]), abs=1e-6)
    assert ssim(a, b, mask=np.eye(40, 30) > 0) is None


def test_masked_pixels_close_no_cell():
    views = ball_views(4, size=16)
    blank = torch.zeros_like(views.images)
    masks = torch.zeros(blank.shape[:3], dtype=torch.bool)
    how = {"resolution": 8, "bound": 1.0, "silhouettes": True}
    empty = Views(names=views.names, images=blank, poses=views.poses, cameras=views.cameras)
    assert not bool(carve(empty, Normalization(scale=0.5), **how)[3:5, 3:5, 3:5].any())
    assert bool(
        carve(Views(**{**empty.__dict__, "masks": masks}), Normalization(scale=0.5), **how)[3:5, 3:5, 3:5].all()
    )
