"""The shared fit loop and its pieces: objective, optimisers, schedules, guard, state, logging."""

from finer_core.training.averaging import WeightAverage
from finer_core.training.guard import DivergenceGuard
from finer_core.training.loop import Fit, Interrupted, LogPoint
from finer_core.training.metric_logger import JsonlLogger, MetricLogger, TensorBoardLogger, read_jsonl
from finer_core.training.muon import Muon
from finer_core.training.objective import Objective, StatelessObjective
from finer_core.training.optimizers import build_optimizers
from finer_core.training.pieces import accumulate_gradients
from finer_core.training.preparation import SMALLEST_PIECE, bytes_a_row, fresh_network, rows_a_piece
from finer_core.training.schedules import Schedule, exponential_decay, warmup_cosine
from finer_core.training.session import run_session
from finer_core.training.state import FitState, put_state, read_state, take_state, write_state

__all__ = [
    "SMALLEST_PIECE",
    "DivergenceGuard",
    "Fit",
    "FitState",
    "Interrupted",
    "JsonlLogger",
    "LogPoint",
    "MetricLogger",
    "Muon",
    "Objective",
    "Schedule",
    "StatelessObjective",
    "TensorBoardLogger",
    "WeightAverage",
    "accumulate_gradients",
    "build_optimizers",
    "bytes_a_row",
    "exponential_decay",
    "fresh_network",
    "put_state",
    "read_jsonl",
    "read_state",
    "rows_a_piece",
    "run_session",
    "take_state",
    "warmup_cosine",
    "write_state",
]
