"""Set operations, offsets and shells of signed distances: new distances, meshed and asked as a fitted model is.

Nothing is fitted: every value is computed from those of the operands. Minimum and maximum of exact distances have the
right sign and the right surface everywhere, but not the right distance:

| result | outside | inside |
| --- | --- | --- |
| `union` | exact | a lower bound of the depth |
| `intersection`, `difference` | a lower bound | exact |

The bound falls short where the nearest point of the operand's surface is no longer one of the result's. So `offset` and
`shell` of a result keep edges sharp that a true offset rounds, and `query` finds a point of the surface there, but
perhaps not the nearest. Fitting the mesh of a result anew gives a distance again.
"""

from finer_sdf.operations.combined_field import CombinedField
from finer_sdf.operations.solids import difference, intersection, offset, shell, union

__all__ = ["CombinedField", "difference", "intersection", "offset", "shell", "union"]
