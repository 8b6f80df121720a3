"""Published tables and figures made again: what was published, how ours is run, recorded, compared and shown.

An application describes its tables (`Table`) and computes a cell (`Study.compute`); the rest is here: planning, records
that never overwrite each other, running in sequence or by Dask, the verdict and the tables. No PyTorch is needed to
list, compare and show.
"""

from finer_core.reproduction.cell import Cell, Input, Outcome, files_of_inputs
from finer_core.reproduction.folder import ResultsFolder
from finer_core.reproduction.record import Record
from finer_core.reproduction.study import Reproduction, Study, reproduce
from finer_core.reproduction.table import PROVENANCE, Metric, Row, Table
from finer_core.reproduction.verdict import RULE, verdict_of

__all__ = [
    "PROVENANCE",
    "RULE",
    "Cell",
    "Input",
    "Metric",
    "Outcome",
    "Record",
    "Reproduction",
    "ResultsFolder",
    "Row",
    "Study",
    "Table",
    "files_of_inputs",
    "reproduce",
    "verdict_of",
]
