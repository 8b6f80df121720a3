"""Textures by formula: fine enough to be a test, coarse enough for pictures of a hundred pixels."""

import numpy as np

_SOFTNESS = 0.15
"""Width of the soft edge of a stripe, as a share of its period: what is sharper than a pixel is only noise."""


def _stripe(phase: np.ndarray) -> np.ndarray:
    """Return a soft square wave of period 1, in [0, 1]."""
    return np.clip(np.sin(2 * np.pi * phase) / _SOFTNESS, -1, 1) / 2 + 0.5


def _mix(share: np.ndarray, first: tuple[float, ...], second: tuple[float, ...]) -> np.ndarray:
    return share[:, None] * np.asarray(first) + (1 - share[:, None]) * np.asarray(second)


def checks(local: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return a chequered top with plain wooden edges."""
    even = _stripe(local[:, 0] / 0.4) * 2 - 1
    odd = _stripe(local[:, 1] / 0.4) * 2 - 1
    top = _mix((even * odd) / 2 + 0.5, (0.93, 0.89, 0.78), (0.20, 0.26, 0.34))
    edge = np.broadcast_to(np.array([0.52, 0.33, 0.18]), local.shape)
    rim = np.abs(local[:, :2]).max(axis=-1) > 0.8
    return np.where((np.abs(normals[:, 2]) > 0.5)[:, None] & ~rim[:, None], top, edge)


def globe(local: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return meridians and parallels over a change of color from pole to pole."""
    longitude = np.arctan2(local[:, 1], local[:, 0]) / (2 * np.pi)
    latitude = np.arcsin(np.clip(local[:, 2], -1, 1)) / np.pi
    fade = latitude + 0.5
    ground = _mix(fade, (0.95, 0.55, 0.15), (0.75, 0.12, 0.22))
    lines = _stripe(longitude * 10) * 0.5 + _stripe(latitude * 7) * 0.5
    return ground * (0.45 + 0.55 * lines[:, None])


def spiral(local: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return a spiral stripe on the side and rings on the ends."""
    turn = np.arctan2(local[:, 1], local[:, 0]) / (2 * np.pi)
    side = _mix(_stripe(turn + local[:, 2] / 0.2), (0.10, 0.45, 0.42), (0.90, 0.92, 0.85))
    rings = _mix(_stripe(np.linalg.norm(local[:, :2], axis=-1) / 0.13), (0.10, 0.45, 0.42), (0.95, 0.80, 0.30))
    return np.where((np.abs(normals[:, 2]) > 0.5)[:, None], rings, side)


def dice(local: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return another color on each pair of faces, with diagonal bands."""
    axis = np.abs(normals).argmax(axis=-1)
    colors = np.array([[0.25, 0.40, 0.75], [0.80, 0.32, 0.55], [0.55, 0.70, 0.25]])
    bands = _stripe((local[:, 0] + local[:, 1] + local[:, 2]) / 0.22)
    return colors[axis] * (0.55 + 0.45 * bands[:, None])


def pearl(local: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return one color, for the highlight to be seen on."""
    return np.broadcast_to(np.array([0.82, 0.84, 0.90]), local.shape)
