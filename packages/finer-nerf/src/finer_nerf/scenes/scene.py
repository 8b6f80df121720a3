"""What a scene is: posed pictures in three splits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.casts import real_numbers
from finer_core.errors import InputError
from finer_core.schema import shown
from finer_nerf.cameras import Camera


@dataclass(frozen=True, kw_only=True)
class Views:
    """Hold posed pictures of one size.

    Attributes:
        names: A name a picture, for tables and file names.
        images: uint8 (n, height, width, 3 or 4), the fourth channel straight alpha. Bytes, because n pictures as
            floats would take four times the memory.
        poses: Camera-to-world matrices as in the files, (n, 4, 4) float64: x right, y up, z backwards.
        cameras: A camera a picture; most scenes repeat one.
        masks: Which pixels count in the loss and in the figures, bool (n, height, width); None for all.

    Example:
        >>> from finer_nerf import builtin_scene
        >>> views = builtin_scene(size=8).train.take([0, 2])
        >>> views.names, views.images.shape, views.poses.shape, views.cameras[0].width
        (('train/r_0', 'train/r_2'), torch.Size([2, 8, 8, 4]), (2, 4, 4), 8)
    """

    names: tuple[str, ...]
    images: Tensor
    poses: np.ndarray
    cameras: tuple[Camera, ...]
    masks: Tensor | None = None

    @classmethod
    def of(
        cls,
        images: Any,
        *,
        poses: Any,
        cameras: Camera | Sequence[Camera],
        names: Sequence[str] | None = None,
        masks: Any = None,
    ) -> "Views":
        """Make views of pictures in memory; a fit or an evaluation checks that they go together.

        Args:
            images: An array, a tensor or lists (n, height, width, 3 or 4) of uint8, which are not copied, or of
                shares in [0, 1], which are rounded to that.
            poses: (n, 4, 4); those with the axes of OpenCV and COLMAP times `numpy.diag([1, -1, -1, 1])`.
            cameras: One for all, or a camera a picture.
            names: A name a picture; None for "view_0" and so on.
            masks: (n, height, width) of truth values; None for all pixels.

        Raises:
            InputError: If something cannot be read as such numbers.

        Example:
            >>> import numpy as np
            >>> from finer_nerf import Camera, Views
            >>> lens = Camera(width=8, height=6, fx=9.0, fy=9.0, cx=4.0, cy=3.0)
            >>> Views.of(np.zeros((2, 6, 8, 3)), poses=np.stack([np.eye(4)] * 2), cameras=lens)
            Views: 2 of 8x6
        """
        pixels = _bytes_of(images)
        count = len(pixels)
        if not isinstance(cameras, Camera | Sequence):
            raise InputError(f"cameras must be a {Camera.__name__} or several, got {shown(cameras)}")
        if names is not None and (isinstance(names, str) or not isinstance(names, Iterable)):
            raise InputError(f"names must be several texts, got {shown(names)}")
        return cls(
            names=tuple(f"view_{i}" for i in range(count)) if names is None else tuple(names),
            images=pixels,
            poses=real_numbers(poses, what="poses").astype(np.float64),
            cameras=(cameras,) * count if isinstance(cameras, Camera) else tuple(cameras),
            masks=None if masks is None else _truths_of(masks),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {len(self)} of {self.width}x{self.height}"

    @property
    def height(self) -> int:
        """Return the pictures' height in pixels."""
        return int(self.images.shape[1])

    @property
    def width(self) -> int:
        """Return the pictures' width in pixels."""
        return int(self.images.shape[2])

    @property
    def is_transparent(self) -> bool:
        """Return whether any pixel is; many programs write an alpha channel that is opaque everywhere."""
        return self.images.shape[-1] == 4 and bool(self.images[..., 3].min() < 255)

    def take(self, indices: list[int]) -> "Views":
        """Return some of the views, in the given order."""
        return Views(
            names=tuple(self.names[i] for i in indices),
            images=self.images[indices],
            poses=self.poses[indices],
            cameras=tuple(self.cameras[i] for i in indices),
            masks=None if self.masks is None else self.masks[indices],
        )


def _bytes_of(images: Any) -> Tensor:
    """Return pictures as a tensor of uint8."""
    pixels = real_numbers(images, what="images")
    if pixels.ndim != 4:
        raise InputError(f"images must be (n, height, width, 3 or 4), got shape {pixels.shape}")
    if pixels.dtype.kind == "f":
        low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
        if not (low >= 0 and high <= 1):
            raise InputError(
                f"images of floating-point numbers must be in [0, 1], found {low:.9g} to {high:.9g}; scale them"
            )
        pixels = np.rint(255 * pixels).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise InputError(f"images must be uint8, or shares in [0, 1], got {pixels.dtype}; divide by the largest value")
    return torch.from_numpy(pixels)


def _truths_of(masks: Any) -> Tensor:
    """Return masks as a tensor."""
    try:
        return torch.as_tensor(np.array(masks) if not isinstance(masks, Tensor) else masks)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"masks cannot be read as a tensor ({error})") from None


def note_of_trained_views(judged: np.ndarray, trained: np.ndarray) -> list[str]:
    """Return the note that views are judged which are trained on; none where there are none.

    Args:
        judged: Poses (n, 4, 4).
        trained: Those of the training views, (m, 4, 4), found in the same way.
    """
    known = set(_keys(trained))
    again = sum(key in known for key in _keys(judged))
    what = f"{again} of {len(judged)} judged views are from where training views are"
    return [f"{what}: their figures say little of new views"] if again else []


def note_of_another_scene(poses: np.ndarray, trained: np.ndarray, *, name: object) -> list[str]:
    """Return the note that a scene has no view of those that a model was trained on; none where it has.

    Args:
        poses: Of the scene's views, (n, 4, 4).
        trained: Of the model's training views, (m, 4, 4), found in the same way.
        name: Of the scene that the model was trained on.
    """
    if set(_keys(trained)) & set(_keys(poses)):
        return []
    return [f"no view of it was trained on: it may be another scene than the model's own, {str(name)[:60]!r}"]


def _keys(poses: np.ndarray) -> list[bytes]:
    """Return poses as they compare: rounded as in a model file, zeros without their signs."""
    return [pose.tobytes() for pose in poses.astype(np.float64).round(9) + 0.0]


NO_VIEWS = Views(names=(), images=torch.zeros(0, 1, 1, 3, dtype=torch.uint8), poses=np.zeros((0, 4, 4)), cameras=())


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Hold a scene as read.

    Attributes:
        name: For tables and folder names.
        kind: "blender", "transforms" or "colmap".
        train: The views to learn from.
        test: The views to judge by; empty if the scene has none.
        val: Further views; empty if the scene has none.
        digest: SHA-256 over the camera files and pictures, hex; of the built-in scene, over what they are drawn from.
        skipped: Frames whose picture was missing.
        points: Points on the surfaces where the scene knows some (COLMAP), (n, 3) in the files' coordinates.
        notes: What was done to the input, to be shown to the user.
        aabb_scale: How far the scene goes on behind what the cameras look at (instant-ngp); 1 for not.

    Example:
        >>> from finer_nerf import builtin_scene
        >>> scene = builtin_scene(size=8)
        >>> scene.name, len(scene.train), len(scene.val), len(scene.test)
        ('workbench', 36, 4, 8)
    """

    name: str
    kind: str
    train: Views
    test: Views = NO_VIEWS
    val: Views = NO_VIEWS
    digest: str = ""
    skipped: int = 0
    points: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    aabb_scale: float = 1.0

    def split(self, name: str) -> Views:
        """Return the views of a split.

        Raises:
            InputError: If the scene has none.
        """
        views = {"train": self.train, "val": self.val, "test": self.test}.get(name)
        if not views:
            raise InputError(f"{self.name}: the scene has no {name} views")
        return views

    def __repr__(self) -> str:
        splits = {"train": self.train, "test": self.test, "val": self.val}
        counts = ", ".join(f"{len(views)} {name}" for name, views in splits.items() if views)
        return (
            f"{type(self).__name__}: {self.name} ({self.kind}), {counts} views, {self.train.width}x{self.train.height}"
        )
