"""Fixed and learnt encodings of coordinates, as modules with an `out_features` property."""

from finer_core.encodings.fourier import FourierEncoding
from finer_core.encodings.hash_grid import HashGrid
from finer_core.encodings.positional import PositionalEncoding

__all__ = ["FourierEncoding", "HashGrid", "PositionalEncoding"]
