"""A table whose cells take a moment, in a folder of its own that processes of Dask can import it from.

TOY_SECONDS is how long a cell takes; in the folder TOY_MARKS every cell leaves a mark when it begins; of the cells
whose marks TOY_DEADLY names the first attempt kills its process. The cells of the marks that TOY_EXACT names have an
infinite value. TOY_RAISES names an error that cells raise. TOY_METHOD is how Python starts the processes of workers.
"""

import builtins
import math
import os
import signal
import time
from pathlib import Path

import torch

from finer_core.errors import DivergenceError, InputError
from finer_core.reproduction import Cell, Input, Metric, Outcome, Row, Study, Table

ROWS = [
    Row(label="first", method="finer", settings={"factor": 1}, published={"value": {"a": 1.0, "mean": 2.0}}),
    Row(label="second", method="siren", settings={"factor": 2}, published={"value": {"a": 2.0, "b": 4.0}}),
    Row(label="third", method="gauss", settings={"factor": 3}),
    Row(label="other", method=None, published={"value": {"mean": 9.0}}, provenance="2", note="of others"),
]
TABLE = Table(
    name="toy",
    title="a toy & more",
    source="a page",
    provenance="A",
    data="two numbers",
    inputs=["a", "b"],
    rows=ROWS,
    metrics=[
        Metric(name="value", heading="value", unit="dB", tolerance=0.5, mean_tolerance=0.25, reason="a toy"),
        Metric(name="value@1", heading="value at step 1", tolerance=0.5, reason="a toy"),
    ],
    settings={"steps": 10},
    size=8,
    expects={"height": 8},
    digests={"b": "digest of b"},
)


def find_inputs(table: Table, paths: list[str]) -> list[Input]:
    return [Input(name=Path(path).stem, source=path, sha256=f"digest of {path}") for path in paths or table.inputs]


def compute(cell: Cell) -> Outcome:
    """Return factor x (1 for a, 2 for b) and 0.001 a seed, and the sum of a product, whose bits depend on threads."""
    _mark(cell)
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    if "TOY_RAISES" in os.environ:
        raise getattr(builtins, os.environ["TOY_RAISES"])("no room")
    if cell.input.name == "bad":
        raise InputError("bad: cannot be read")
    if cell.input.name == "steep":
        raise DivergenceError("the loss was not finite")
    factor = cell.settings.get("factor", 1)
    value = factor * (2.0 if cell.input.name == "b" else 1.0) + 0.001 * cell.seed
    if _name_of(cell) in os.environ.get("TOY_EXACT", "").split():
        value = math.inf
    numbers = torch.randn(200, 200, generator=torch.Generator().manual_seed(100 * cell.seed + factor))
    return Outcome(
        metrics={"value": value, "bits": float((numbers @ numbers).sin().sum())},
        facts={"height": 8 if cell.size is None else cell.size},
        curve={"step": [1, 10], "value": [0.5, value]},
        seconds=0.25,
        sha256=cell.input.sha256,
        parameters=3,
        picture=b"\x89PNG of " + cell.row.encode(),
    )


def _name_of(cell: Cell) -> str:
    return f"{cell.row}-{cell.input.name}-{cell.seed}"


def _mark(cell: Cell) -> None:
    if "TOY_MARKS" not in os.environ:
        return
    mark = Path(os.environ["TOY_MARKS"]) / _name_of(cell)
    begun_before = mark.exists()
    with mark.open("a") as file:
        file.write("begun\n")
    if not begun_before and mark.name in os.environ.get("TOY_DEADLY", "").split():
        os.kill(os.getpid(), signal.SIGKILL)


STUDY = Study(application="finer-toy", tables={"toy": TABLE}, compute="toy_study:compute", find_inputs=find_inputs)
