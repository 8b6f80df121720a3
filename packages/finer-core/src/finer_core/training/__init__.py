"""The shared fit loop and its pieces: objective, optimisers, schedules, guard, state, logging, several processes."""

from finer_core.errors import Interrupted
from finer_core.training.accumulate import accumulate_gradients, accumulate_gradients_of_many
from finer_core.training.batching import SMALLEST_CHUNK, bytes_per_row, chunk_rows, fresh_network, ready_network
from finer_core.training.callbacks import Callback
from finer_core.training.compiled_gradients import add_compiled_gradients, compiles_loss_of
from finer_core.training.ema import WeightEma
from finer_core.training.fitting import fit
from finer_core.training.gradients import GradientSums, add_gradients
from finer_core.training.guard import DivergenceGuard
from finer_core.training.history import LogEntry, TrainingHistory
from finer_core.training.log_point import LogPoint
from finer_core.training.loop import Fit
from finer_core.training.metric_logger import JsonlLogger, MetricLogger, TensorBoardLogger, read_jsonl
from finer_core.training.objective import Objective, PieceLoss, SquaredErrorObjective, StatelessObjective
from finer_core.training.optimizers.build import build_optimizers
from finer_core.training.optimizers.muon import Muon
from finer_core.training.optimizers.soap import Soap
from finer_core.training.recorded import run_recorded, saved_state
from finer_core.training.schedules import Schedule, exponential_decay, schedule_of, warmup_cosine, warmup_linear
from finer_core.training.squared_error import SquaredError
from finer_core.training.state import TrainState, put_state, read_state, take_state, write_state
from finer_core.training.timed_length import TimedLength

__all__ = [
    "SMALLEST_CHUNK",
    "Callback",
    "DivergenceGuard",
    "Fit",
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
    "TrainState",
    "TrainingHistory",
    "WeightEma",
    "accumulate_gradients",
    "accumulate_gradients_of_many",
    "add_compiled_gradients",
    "add_gradients",
    "build_optimizers",
    "bytes_per_row",
    "chunk_rows",
    "compiles_loss_of",
    "exponential_decay",
    "fit",
    "fresh_network",
    "put_state",
    "read_jsonl",
    "read_state",
    "ready_network",
    "run_recorded",
    "saved_state",
    "schedule_of",
    "take_state",
    "warmup_cosine",
    "warmup_linear",
    "write_state",
]
