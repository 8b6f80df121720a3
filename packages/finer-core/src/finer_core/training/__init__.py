"""The shared fit loop and its pieces: objective, optimizers, schedules, guard, state, logging, several processes."""

from finer_core.errors import Interrupted
from finer_core.training.accumulate import accumulate_gradients
from finer_core.training.batching import SMALLEST_CHUNK, bytes_per_row, chunk_rows, fresh_network
from finer_core.training.callbacks import Callback
from finer_core.training.ema import WeightEma
from finer_core.training.fitting import fit
from finer_core.training.guard import DivergenceGuard
from finer_core.training.history import LogEntry, TrainingHistory
from finer_core.training.loop import Fit
from finer_core.training.metric_logger import JsonlLogger, MetricLogger, TensorBoardLogger, read_history, read_jsonl
from finer_core.training.objective import Objective, StatelessObjective
from finer_core.training.optimizers.build import build_optimizers
from finer_core.training.optimizers.muon import Muon
from finer_core.training.optimizers.soap import Soap
from finer_core.training.recorded import run_recorded, saved_state
from finer_core.training.schedules import Schedule, exponential_decay, schedule_of, warmup_cosine, warmup_linear
from finer_core.training.squared_error import SquaredError
from finer_core.training.timed_length import TimedLength

__all__ = [
    "SMALLEST_CHUNK",
    "Callback",
    "DivergenceGuard",
    "Fit",
    "Interrupted",
    "JsonlLogger",
    "LogEntry",
    "MetricLogger",
    "Muon",
    "Objective",
    "Schedule",
    "Soap",
    "SquaredError",
    "StatelessObjective",
    "TensorBoardLogger",
    "TimedLength",
    "TrainingHistory",
    "WeightEma",
    "accumulate_gradients",
    "build_optimizers",
    "bytes_per_row",
    "chunk_rows",
    "exponential_decay",
    "fit",
    "fresh_network",
    "read_history",
    "read_jsonl",
    "run_recorded",
    "saved_state",
    "schedule_of",
    "warmup_cosine",
    "warmup_linear",
]
