"""Mean PSNR of the FINER paper's image table, to stand beside ours.

The protocol: 16 photographs (DIV2K) of 512x512 pixels, 5000 full-batch steps of Adam, `--preset paper` here. The figure
of wire is from the authors' run script; the paper's own table was not at hand, so the others are as papers and notes
quote it, those of gauss and pemlp by one of them only.
"""

SOURCE = (
    "mean PSNR of FINER's 16 images (CVPR 2024: DIV2K at 512x512, 5000 full-batch steps), as quoted by others; "
    "wire from the authors' script"
)
_MEANS = {"finer": 40.76, "siren": 38.52, "gauss": 31.74, "pemlp": 29.60, "wire": 28.78}


def published_mean_psnr(method: str) -> float | None:
    """Return the published mean over the paper's images, or None where there is none."""
    return _MEANS.get(method)
