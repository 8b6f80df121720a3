"""Judge a model by views it has not seen: PSNR, SSIM and LPIPS, a view and on average."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.metrics import psnr
from finer_core.progress import ProgressOption, reporting
from finer_core.schema import check_flag, shown
from finer_core.shapes import Bool, Float
from finer_core.training.batching import in_plain_modes
from finer_nerf.arguments import check_background, check_views
from finer_nerf.backgrounds import color_of
from finer_nerf.model import NerfModel
from finer_nerf.rendering.views import View, render_view
from finer_nerf.scenes import Views
from finer_nerf.training.rays import blend

_VGG_WEIGHTS = "vgg16-397923af.pth"
"""The file that torchvision keeps VGG-16's weights in."""
_WINDOW = 11
"""Pixels a side of the window of SSIM: 3.5 standard deviations of 1.5 to each side."""
_VGG_SIDE = 16
"""Pixels a side of the smallest picture that VGG's four halvings leave something of."""
Lpips = Callable[[np.ndarray, np.ndarray], float]


@in_plain_modes()
def evaluate(
    model: NerfModel,
    views: Views,
    *,
    background: str | None = None,
    lpips: bool = False,
    progress: ProgressOption = False,
) -> dict[str, Any]:
    """Render views and compare them with their pictures; pixels that a mask leaves out count in no figure.

    Args:
        model: The model.
        views: With what it is compared, such as `scene.test`.
        background: "white", "black" or "#rrggbb", behind transparent pictures and behind what is rendered; None for the
            model's.
        lpips: Also the learned distance of Zhang et al. (VGG), which needs the extra finer-nerf[lpips].
        progress: False, True for a bar on stderr, or a function of (views done, views, {}).

    Returns:
        psnr (dB, of the clipped pictures), ssim and lpips, means over the views; background; views, their number;
        per_view, the three figures by name, of a second view of one name "NAME (2)". What cannot be had is None: lpips
        unless asked for and of pictures below 16 pixels a side, and ssim of those below 11, its window.

    Raises:
        InputError: If the views are none, or the learned distance cannot be had.

    Example:
        >>> from finer_nerf import builtin_scene, evaluate, fit
        >>> scene = builtin_scene(size=8)
        >>> model, _ = fit(scene, steps=2, network={"hidden_features": 8}, max_samples=8, grid_resolution=8)
        >>> figures = evaluate(model, scene.test)
        >>> sorted(figures), len(figures["per_view"])
        (['background', 'lpips', 'per_view', 'psnr', 'ssim', 'views'], 8)
    """
    if not isinstance(model, NerfModel):
        raise InputError(f"model must be a NerfModel, such as NerfModel.load returns, got {shown(model):.60}")
    check_views(views)
    check_background(background)
    background = background or model.background
    reasons: list[str] = []
    check_flag(lpips, what="lpips")
    distance = load_lpips(say=reasons.append) if lpips else None
    if lpips and distance is None:
        raise InputError(reasons[0] if reasons else 'lpips=True needs an extra: pip install "finer-nerf[lpips]"')
    with reporting("evaluate", unit="view", progress=progress) as tell:
        judged = [
            view.figures
            for view in judge_views(
                model, views, background=background, lpips=distance, on_view=lambda done: tell(done, len(views))
            )
        ]
    return {**mean_figures(judged, background=background), "per_view": {view.name: view.row for view in judged}}


@dataclass(frozen=True, kw_only=True)
class ViewFigures:
    """Hold the figures of a view.

    Attributes:
        name: Of the view.
        psnr: In dB, of the clipped picture.
        ssim: Structural similarity; None for a picture smaller than its window.
        lpips: Learned distance; None without the extra, and below 16 pixels a side.
    """

    name: str
    psnr: float
    ssim: float | None
    lpips: float | None

    @property
    def row(self) -> dict[str, float | None]:
        """Return the figures by name."""
        return {"psnr": self.psnr, "ssim": self.ssim, "lpips": self.lpips}


@dataclass(frozen=True, kw_only=True)
class JudgedView(ViewFigures):
    """Hold a rendered view beside the truth, and its figures.

    Attributes:
        truth: (height, width, 3) float32 in [0, 1], on the background.
        view: What was rendered, on the same background.
        mask: Which pixels count, (height, width); None for all.
    """

    truth: np.ndarray
    view: View
    mask: np.ndarray | None

    @property
    def error(self) -> np.ndarray:
        """Return the absolute error, (height, width, 3); 0 where pixels do not count."""
        error: np.ndarray = abs(self.view.color - self.truth)
        return error if self.mask is None else np.where(self.mask[..., None], error, 0)

    @property
    def figures(self) -> ViewFigures:
        """Return the figures alone, without the pictures, which take much memory."""
        return ViewFigures(name=self.name, psnr=self.psnr, ssim=self.ssim, lpips=self.lpips)


def judge_views(
    model: NerfModel,
    views: Views,
    *,
    background: str,
    lpips: Lpips | None = None,
    on_view: Callable[[int], None] = lambda done: None,
) -> Iterator[JudgedView]:
    """Render and compare views, one after another; pixels that a mask leaves out do not count in any figure.

    Args:
        model: The model.
        views: What to compare with.
        background: For both sides: "white", "black" or "#rrggbb".
        lpips: From `load_lpips`.
        on_view: Called with the number of views done.
    """
    behind = torch.tensor(color_of(background))
    poses = model.frame.poses_to_box(views.poses)
    for i, name in enumerate(_different(views.names)):
        truth = blend(views.images[i], background=behind)
        view = render_view(model, torch.from_numpy(poses[i]), views.cameras[i], background=background)
        mask = None if views.masks is None else views.masks[i].numpy()
        counted = slice(None) if mask is None else mask
        rendered = view.color if mask is None else np.where(mask[..., None], view.color, truth)
        yield JudgedView(
            name=name,
            truth=truth,
            view=view,
            mask=mask,
            psnr=psnr(torch.from_numpy(view.color[counted]), torch.from_numpy(truth[counted])),
            ssim=ssim(rendered, truth, mask=mask),
            lpips=lpips(rendered, truth) if lpips and min(truth.shape[:2]) >= _VGG_SIDE else None,
        )
        on_view(i + 1)


def _different(names: Sequence[str]) -> list[str]:
    """Return the names of views with a number behind those that were there before: figures are kept by name."""
    found: dict[str, None] = {}
    for name in names:
        number = 1
        candidate = name
        while candidate in found:
            number += 1
            candidate = f"{name} ({number})"
        found[candidate] = None
    return list(found)


def ssim(
    picture: Float[np.ndarray, "height width 3"],
    truth: Float[np.ndarray, "height width 3"],
    *,
    mask: Bool[np.ndarray, "height width"] | None = None,
) -> float | None:
    """Return the structural similarity of pictures (height, width, 3) in [0, 1].

    Formula: Wang et al., IEEE TIP 2004, Gaussian window of standard deviation 1.5, covariances by n (not n - 1),
    averaged over pixels and channels (scikit-image); with a mask, over the pixels whose whole window counts. None
    where there is none, as below 11 pixels a side, the window's size.

    Args:
        picture: What is compared.
        truth: With what.
        mask: Which pixels count, bool (height, width); None for all.
    """
    if min(truth.shape[:2]) < _WINDOW:
        return None
    from skimage.metrics import structural_similarity

    mean, values = structural_similarity(
        truth,
        picture,
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    if mask is None:
        return float(mean)
    left_out = torch.from_numpy(~mask).float()[None, None]
    whole = torch.nn.functional.max_pool2d(left_out, _WINDOW, stride=1)[0, 0].numpy() == 0
    edge = _WINDOW // 2
    return float(values[edge:-edge, edge:-edge][whole].mean()) if whole.any() else None


def load_lpips(*, say: Callable[[str], None] = lambda line: None) -> Lpips | None:
    """Return the learned perceptual distance (Zhang et al., CVPR 2018) with VGG, as NeRF papers report it.

    Nothing is fetched here: where the extra or its weights are absent, `say` gets one line and there is no distance.
    """
    try:
        import lpips
    except ImportError:
        return None
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _VGG_WEIGHTS
    if not weights.is_file():
        say(f"LPIPS is left out: {weights} is absent; torchvision.models.vgg16(weights='DEFAULT') fetches it")
        return None
    measure = lpips.LPIPS(net="vgg", verbose=False).eval()

    def distance(picture: np.ndarray, truth: np.ndarray) -> float:
        with torch.no_grad():
            a, b = (torch.from_numpy(x).permute(2, 0, 1)[None] * 2 - 1 for x in (picture, truth))
            return float(measure(a, b))

    return distance


def mean_figures(judged: Sequence[ViewFigures], *, background: str) -> dict[str, object]:
    """Return the mean figures, as `metrics.json` has them; PSNR is averaged over views, as papers do."""

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return {
        "psnr": mean([view.psnr for view in judged]),
        "ssim": mean([view.ssim for view in judged]),
        "lpips": mean([view.lpips for view in judged]),
        "background": background,
        "views": len(judged),
    }
