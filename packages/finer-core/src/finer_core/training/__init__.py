"""The shared fit loop and its pieces: objective, optimisers, schedules, guard, state, logging, several processes."""

from finer_core.training.gradient_sum import GradientSum
from finer_core.training.guard import DivergenceGuard
from finer_core.training.loop import Fit, Interrupted, LogPoint
from finer_core.training.metric_logger import JsonlLogger, MetricLogger, TensorBoardLogger, read_jsonl
from finer_core.training.objective import Objective, StatelessObjective
from finer_core.training.optimizers import OPTIMIZERS, build_optimizers
from finer_core.training.pieces import accumulate_gradients, one_thread_an_operation
from finer_core.training.preparation import SMALLEST_PIECE, bytes_a_row, fresh_network, rows_a_piece
from finer_core.training.schedules import Schedule, exponential_decay, warmup_cosine
from finer_core.training.session import follow_session, run_session
from finer_core.training.state import FitState, put_state, read_state, take_state, write_state

__all__ = [
    "OPTIMIZERS",
    "SMALLEST_PIECE",
    "DivergenceGuard",
    "Fit",
    "FitState",
    "GradientSum",
    "Interrupted",
    "JsonlLogger",
    "LogPoint",
    "MetricLogger",
    "Objective",
    "Schedule",
    "StatelessObjective",
    "TensorBoardLogger",
    "accumulate_gradients",
    "build_optimizers",
    "bytes_a_row",
    "exponential_decay",
    "follow_session",
    "fresh_network",
    "one_thread_an_operation",
    "put_state",
    "read_jsonl",
    "read_state",
    "rows_a_piece",
    "run_session",
    "take_state",
    "warmup_cosine",
    "write_state",
]
