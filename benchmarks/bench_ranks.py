"""Pixels a second of one fit shared by several processes of one thread, against one process of as many threads.

    python benchmarks/bench_ranks.py [--processes 2] [--steps 20] [--rounds 7] [--batch-pixels 4096] [--optimizer soap]

Both run the default preset on the built-in photograph at 512x512 (3 x 256 FINER), in alternation: a round of the one,
a round of the other. Prints medians and quartiles, the ratio of the medians, the processor time of a step (over all
processes; other work on the machine disturbs it less), and the largest relative difference between the losses of the
two. With --exchange it measures instead how long the processes take to sum buffers of several sizes, the constants of
the cost model in docs/scale.md.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from finer_core.c_library import allow_building
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import joined
from finer_core.training.own_code import network_of
from finer_image.app.experiment import read_signal
from finer_image.config import ImageConfig
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit


def worker(options: argparse.Namespace) -> None:
    """Make a round's steps for every line on stdin; the first process prints the seconds, and at the end the losses."""
    image, _ = read_signal(None, memory=4 * 10**9)
    settings = ImageConfig(
        steps=(options.rounds + 1) * options.steps,
        log_every=options.steps,
        batch_pixels=options.batch_pixels,
        optimizer=options.optimizer,
        device="cpu",
        network={"hidden_features": options.width},
    )
    plan = plan_fit(settings, image)
    with joined() as team:
        fit = build_fit(plan, network_of(plan), image, gradient_sum=GradientReducer(team.ranks))
        torch.set_num_threads(options.threads)
        losses: list[float] = []
        started = time.perf_counter()

        def on_step(step: int, steps: int, loss: Tensor) -> None:
            nonlocal started
            losses.append(float(loss))
            if step % options.steps == 0:
                if team.ranks.is_first:
                    print(time.perf_counter() - started, flush=True)
                wait_for_request()
                started = time.perf_counter()

        fit.on_step = on_step
        wait_for_request()
        started, worked = time.perf_counter(), time.process_time()
        fit.run()
        worked = sum(team.gather(time.process_time() - worked))
        if team.ranks.is_first:
            print(json.dumps({"losses": losses, "cpu_ms": 1e3 * worked / len(losses)}), flush=True)


def wait_for_request() -> None:
    """Wait for a line on stdin; end if the benchmark that would send it is gone."""
    if not sys.stdin.readline():
        raise SystemExit("the benchmark is gone")


def exchange(options: argparse.Namespace) -> None:
    """Sum buffers of several sizes over all processes; the first one prints the median milliseconds by bytes."""
    medians = {}
    with joined() as team:
        for numbers in (16, 1 << 14, 1 << 17, 1 << 18, 1 << 20, 1 << 22):
            buffer = torch.zeros(numbers)
            times = []
            for _ in range(options.rounds * 5):
                started = time.perf_counter()
                torch.distributed.all_reduce(buffer)
                times.append(time.perf_counter() - started)
            medians[4 * numbers] = round(1e3 * statistics.median(times), 3)
    if team.ranks.is_first:
        print(json.dumps(medians), flush=True)


class Side:
    """The processes that share one fit; their first one answers."""

    def __init__(self, options: argparse.Namespace, *, processes: int, threads: int) -> None:
        names = ("steps", "rounds", "batch_pixels", "optimizer", "width")
        given = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in names]
        command = [sys.executable, __file__, "--worker", f"--threads={threads}", *given]
        if options.exchange:
            command.append("--exchange")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
        size = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        self.processes = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **shared, **size, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(processes)
        ]

    def round(self) -> str:
        """Let all make their steps, and return what the first says."""
        for process in self.processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        assert self.processes[0].stdout
        return self.processes[0].stdout.readline()


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides in alternation."""
    sides = {
        "one process": Side(options, processes=1, threads=options.processes),
        f"{options.processes} processes": Side(options, processes=options.processes, threads=1),
    }
    for side in sides.values():
        side.round()  # to warm up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            seconds[name].append(float(side.round()))
    ends = [json.loads(side.round()) for side in sides.values()]
    losses = [torch.tensor(end["losses"]) for end in ends]
    for side in sides.values():
        for process in side.processes:
            process.communicate()
    drawn = options.batch_pixels * options.steps
    rates = {name: sorted(drawn / value for value in values) for name, values in seconds.items()}
    medians = [statistics.median(values) for values in rates.values()]
    return {
        "pixels_per_second": {name: [round(v) for v in statistics.quantiles(r, n=4)] for name, r in rates.items()},
        "step_ms": {name: round(1e3 * statistics.median(v) / options.steps, 2) for name, v in seconds.items()},
        "step_cpu_ms": {name: round(end["cpu_ms"], 2) for name, end in zip(sides, ends, strict=True)},
        "ratio": round(medians[1] / medians[0], 3),
        "largest_relative_difference_of_a_loss": float(((losses[0] - losses[1]) / losses[0]).abs().max()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison, or one process of it."""
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="steps a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each side (default: %(default)s)")
    parser.add_argument("--batch-pixels", type=int, default=4096, help="pixels a step (default: %(default)s)")
    parser.add_argument("--optimizer", default="soap", choices=("adam", "muon", "soap"))
    parser.add_argument("--width", type=int, default=256, help="hidden features (default: %(default)s)")
    parser.add_argument("--exchange", action="store_true", help="measure the exchange alone")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        (exchange if options.exchange else worker)(options)
    elif options.exchange:
        side = Side(options, processes=options.processes, threads=1)
        print(side.processes[0].communicate()[0], end="")
    else:
        print(json.dumps(compare(options), indent=2))


if __name__ == "__main__":
    main()
