"""The shared fit loop and its pieces: objective, optimisers, schedules, guard, state, logging, several processes."""

from finer_core.errors import Interrupted
from finer_core.training.averaging import WeightAverage
from finer_core.training.callbacks import Callback
from finer_core.training.compiled_gradients import add_compiled_gradients, compiles_loss_of
from finer_core.training.gradient_sum import GradientSum
from finer_core.training.gradients import GradientSums, add_gradients
from finer_core.training.guard import DivergenceGuard
from finer_core.training.history import LogEntry, TrainingHistory
from finer_core.training.log_point import LogPoint
from finer_core.training.loop import Fit
from finer_core.training.metric_logger import JsonlLogger, MetricLogger, TensorBoardLogger, read_jsonl
from finer_core.training.muon import Muon
from finer_core.training.objective import Objective, PieceLoss, SquaredErrorObjective, StatelessObjective
from finer_core.training.optimizers import build_optimizers
from finer_core.training.pieces import accumulate_gradients, accumulate_gradients_of_many
from finer_core.training.preparation import SMALLEST_PIECE, bytes_a_row, fresh_network, ready_network, rows_a_piece
from finer_core.training.recorded import run_recorded, saved_state
from finer_core.training.schedules import Schedule, exponential_decay, schedule_of, warmup_cosine, warmup_linear
from finer_core.training.session import follow_session, run_session, session
from finer_core.training.soap import Soap
from finer_core.training.squared_error import SquaredError
from finer_core.training.stacked import accumulate_gradients_stacked
from finer_core.training.state import FitState, put_state, read_state, take_state, write_state
from finer_core.training.timed_length import TimedLength
from finer_core.training.together import Update, run_together, update_of

__all__ = [
    "SMALLEST_PIECE",
    "Callback",
    "DivergenceGuard",
    "Fit",
    "FitState",
    "GradientSum",
    "GradientSums",
    "Interrupted",
    "JsonlLogger",
    "LogEntry",
    "LogPoint",
    "MetricLogger",
    "Muon",
    "Objective",
    "PieceLoss",
    "Schedule",
    "Soap",
    "SquaredError",
    "SquaredErrorObjective",
    "StatelessObjective",
    "TensorBoardLogger",
    "TimedLength",
    "TrainingHistory",
    "Update",
    "WeightAverage",
    "accumulate_gradients",
    "accumulate_gradients_of_many",
    "accumulate_gradients_stacked",
    "add_compiled_gradients",
    "add_gradients",
    "build_optimizers",
    "bytes_a_row",
    "compiles_loss_of",
    "exponential_decay",
    "follow_session",
    "fresh_network",
    "put_state",
    "read_jsonl",
    "read_state",
    "ready_network",
    "rows_a_piece",
    "run_recorded",
    "run_session",
    "run_together",
    "saved_state",
    "schedule_of",
    "session",
    "take_state",
    "update_of",
    "warmup_cosine",
    "warmup_linear",
    "write_state",
]
