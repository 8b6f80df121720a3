"""The network for the colors of a surface: a smooth one, and details on a hash grid."""

from torch import Tensor, nn

from finer_core.shapes import Float


class ColorHead(nn.Module):
    """Map coordinates of the box to sRGB: what a smooth network knows, and on a grid what it leaves.

    A grid alone knows nothing of places between the points that it was fitted to, nor beside the surface, where its
    hash gives it numbers of other places. As a rest they are small wherever colors are smooth.

    Args:
        smooth: From (n, 3) to (n, 3).
        detail: What is added, from (n, 3) to (n, 3); None for nothing.
    """

    def __init__(self, *, smooth: nn.Module, detail: nn.Module | None) -> None:
        super().__init__()
        self.smooth = smooth
        self.detail = detail

    def forward(self, coords: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """Return the colors, which may lie outside of [0, 1]."""
        values: Tensor = self.smooth(coords)
        return values if self.detail is None else values + self.detail(coords)

    def parts(self) -> dict[str, nn.Module]:
        """Return its networks by the names that they have in a model file."""
        return {"color": self.smooth} | ({} if self.detail is None else {"detail": self.detail})
