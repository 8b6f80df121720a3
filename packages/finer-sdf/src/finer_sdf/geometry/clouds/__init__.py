"""Clouds of points: how noisy they are, and normals from their neighborhoods."""
