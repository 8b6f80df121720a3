"""Mean PSNR of the FINER paper's image table, to stand beside ours.

The protocol: 16 photographs (DIV2K) of 512x512 pixels, 5000 full-batch steps of Adam, `--preset paper` here. The figure
of wire is from the authors' run script; the paper's own table was not at hand, so the others are as papers and notes
quote it, those of gauss and pemlp by one of them only. `published_tables` has them with their provenance.
"""

from finer_core.reproduction.table import MEAN
from finer_image.published_tables import FINER_IMAGE

SOURCE = (
    "mean PSNR of FINER's 16 images (CVPR 2024: DIV2K at 512x512, 5000 full-batch steps), as quoted by others; "
    "wire from the authors' script"
)


def published_mean_psnr(method: str) -> float | None:
    """Return the published mean over the paper's images, or None where there is none."""
    for row in FINER_IMAGE.rows:
        if row.method == method and row.published:
            return row.published["psnr_unclipped"][MEAN]
    return None
