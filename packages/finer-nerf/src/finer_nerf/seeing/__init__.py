"""Paths of cameras, films, and pictures of depth and normals."""
