"""Shapes in annotations: `Float[Tensor, "points 3"]` is a `Tensor`, and a check where tests ask for one.

The words are jaxtyping's, and cost nothing here: a type checker, a reader of signatures and a running program see the
plain type. Where jaxtyping was loaded before this module they are its own, for `./dev run shapes` to check every call.

A shape names its axes, `"points 3"`; a name has one size in all arguments and results of a call. `"*points 3"` has any
number of axes before the last, and `"{height} 3"` takes a size from an argument. A single name begins with a space,
`" points"`, or linters look for it in the code.
"""

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Float", "Inexact", "Int", "Real", "Shaped", "UInt8"]

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Inexact
    from typing import Annotated as Int
    from typing import Annotated as Real
    from typing import Annotated as Shaped
    from typing import Annotated as UInt8
else:

    class _Plain:
        """Stand for an annotation with a shape: `_Plain[kind, shape]` is `kind`."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    _library = sys.modules.get("jaxtyping")
    Bool, Float, Inexact, Int, Real, Shaped, UInt8 = (getattr(_library, name, _Plain) for name in __all__)
