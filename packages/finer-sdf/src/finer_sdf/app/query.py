"""What `finer-sdf query` does."""

import argparse
import sys

import numpy as np

from finer_core.errors import shortened
from finer_core.io.files import check_output_path
from finer_core.io.text import counted
from finer_core.resources import check_room, parse_memory, resolve_device
from finer_sdf.geometry.query_points import check_answer_path, print_answers, read_points, write_answers
from finer_sdf.model import SdfModel

_BYTES_PER_POINT = 500
"""Of a question: the point, its answers in double precision, and the table or arrays that they are written as."""


def query_model(arguments: argparse.Namespace) -> str | None:
    """Ask a model about points; return the line to print, or None where the answers themselves were printed."""
    if arguments.out:
        check_answer_path(arguments.out)
        check_output_path(arguments.out, overwrite=arguments.overwrite)
    memory = parse_memory(arguments.memory)
    points, notes = read_points(arguments.points, memory=memory)
    what = f"asking about {counted(len(points), 'point')}"
    check_room(_BYTES_PER_POINT * len(points), memory, what=what, advice="give fewer at a time")
    for note in () if arguments.quiet else notes:
        print(shortened(f"{arguments.points}: {note}"), file=sys.stderr)
    found = SdfModel.load(arguments.model, device=resolve_device(arguments.device)).query(points)
    if not arguments.out:
        print_answers(sys.stdout, points, found)
        return None
    write_answers(arguments.out, points, found)
    inside = int(np.count_nonzero(found.distance < 0))
    span = f"distances {found.distance.min():.4g} to {found.distance.max():.4g}"
    asked = f"{counted(len(points), 'point')}, {inside} inside"
    return f"{asked}, {span}, largest residual {found.residual.max():.2g}: {arguments.out}"
