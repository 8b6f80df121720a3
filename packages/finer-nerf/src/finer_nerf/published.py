"""PSNR that others published on Blender's scenes, to stand beside ours.

Source: the project page of SL2A (ICCV 2025), whose lego figures are those of FINER's own paper: 25 training views at
200x200, 200 test views, white background. Its column headers are out of order; here they are put right by the values.
"""

SOURCE = "SL2A project page (25 views, 200x200, white background); lego as in FINER's paper"
_SCENES = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
_ROWS = {
    "pemlp": (31.32, 20.18, 24.49, 30.59, 25.90, 25.16, 26.38, 21.46),
    "gauss": (32.68, 23.16, 26.10, 32.17, 28.29, 26.19, 33.59, 22.28),
    "siren": (33.31, 24.89, 27.26, 32.85, 29.60, 27.13, 33.28, 22.25),
    "wire": (29.31, 22.22, 25.91, 30.11, 25.76, 25.05, 32.35, 21.15),
    "finer": (33.90, 24.90, 28.70, 33.05, 30.04, 27.05, 33.96, 22.47),
}


def published_psnr(*, scene: str, method: str) -> float | None:
    """Return the published PSNR of a scene, recognised by the word in its name, or None where there is none."""
    for place, name in enumerate(_SCENES):
        if name in scene.lower() and method in _ROWS:
            return _ROWS[method][place]
    return None
