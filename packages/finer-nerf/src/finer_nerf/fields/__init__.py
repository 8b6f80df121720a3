"""Radiance fields: density and color networks of finer-core, and the encodings of directions."""
