"""What a kernel says about learning: eigenpairs, measures, and predicted training."""

from finer_ntk.spectrum.dynamics import descend, predicted_losses
from finer_ntk.spectrum.eigen import Eigenpairs, SpectralEstimates, all_eigenpairs, estimate_spectrum, top_eigenpairs
from finer_ntk.spectrum.measures import (
    alignment,
    band_energy,
    diagonal_energy,
    effective_rank,
    target_alignment,
    target_energy,
)

__all__ = [
    "Eigenpairs",
    "SpectralEstimates",
    "alignment",
    "all_eigenpairs",
    "band_energy",
    "descend",
    "diagonal_energy",
    "effective_rank",
    "estimate_spectrum",
    "predicted_losses",
    "target_alignment",
    "target_energy",
    "top_eigenpairs",
]
