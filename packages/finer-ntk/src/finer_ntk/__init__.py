"""finer-ntk: the neural tangent kernel of any network, and its spectrum.

Everything below works on a network and its inputs alone, writes no file and prints nothing unless told. Importing the
package is cheap: names are loaded when first used. The measures, of arrays, are in `finer_ntk.spectrum`.
"""

from typing import TYPE_CHECKING

from finer_core.lazy import lazy_names
from finer_ntk._version import __version__

if TYPE_CHECKING:
    from finer_ntk import plots as plots
    from finer_ntk.analysis import NtkSpectrum, analyze, sweep
    from finer_ntk.inputs.points import Points, box_grid, line_grid
    from finer_ntk.kernel.empirical import empirical_ntk
    from finer_ntk.kernel.operator import NtkOperator, ntk_operator
    from finer_ntk.reproducing import reproduce
    from finer_ntk.spectrum.prediction import TrainingPrediction, predict_training

_HOME = {
    "NtkOperator": "kernel.operator",
    "NtkSpectrum": "analysis",
    "Points": "inputs.points",
    "TrainingPrediction": "spectrum.prediction",
    "analyze": "analysis",
    "box_grid": "inputs.points",
    "empirical_ntk": "kernel.empirical",
    "line_grid": "inputs.points",
    "ntk_operator": "kernel.operator",
    "predict_training": "spectrum.prediction",
    "reproduce": "reproducing",
    "sweep": "analysis",
}

__all__ = [
    "NtkOperator",
    "NtkSpectrum",
    "Points",
    "TrainingPrediction",
    "__version__",
    "analyze",
    "box_grid",
    "empirical_ntk",
    "line_grid",
    "ntk_operator",
    "predict_training",
    "reproduce",
    "sweep",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME, [*__all__, "plots", "spectrum"])
