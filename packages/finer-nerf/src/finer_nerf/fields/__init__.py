"""Radiance fields: density and colour networks of finer-core, and the encodings of directions."""
