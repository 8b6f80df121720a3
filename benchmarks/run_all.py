"""Run the benchmarks that need no data of yours, print one table of ratios, and write everything to a JSON file.

    ./dev run bench [--quick] [--out benchmarks.json] [--only NAME...]

Each benchmark is a process of its own, which compares with plain eager PyTorch in that same run. --quick takes smaller
sizes and times: some minutes in all, on two cores, and ratios that say less.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent
Ratio = tuple[str, float]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Name a script, its arguments (in full and quick), and what its JSON output says.

    Attributes:
        script: In this folder.
        full: Arguments.
        quick: Arguments of the short form.
        ratios: Takes the script's JSON apart into (what, ratio).
        to_file: Whether the script writes its JSON to a file named by --json, not to stdout.
    """

    script: str
    full: tuple[str, ...]
    quick: tuple[str, ...]
    ratios: Callable[[Any], list[Ratio]]
    to_file: bool = False


def activation_ratios(rows: Any) -> list[Ratio]:
    return [(f"{row['activation']}, forward and backward, times faster", row["in_a_fit_times_faster"]) for row in rows]


def step_ratios(result: Any) -> list[Ratio]:
    named = {
        "ours_times_faster": "full-batch step, times faster",
        "unfused_times_faster": "the same, no kernels in C",
        "ours_over_floor": "full-batch step over its floor",
        "unfused_over_floor": "the same, no kernels in C",
    }
    return [(text, result[name]) for name, text in named.items() if name in result]


def scaling_ratios(rows: Any) -> list[Ratio]:
    return [(f"step at {r['side']}x{r['side']}, width {r['width']}, over its floor", r["over_floor"]) for r in rows]


def equal_time_ratios(rows: Any) -> list[Ratio]:
    count = len(rows)
    return [
        (f"equal time, dB over eager {text}", sum(row[name] for row in rows) / count)
        for name, text in (("over_full", "full batch"), ("over_minibatch", "minibatch at its best rate"))
    ]


def time_to_ratios(rows: Any) -> list[Ratio]:
    return [(f"{row['image']}: sooner at the full batch's PSNR, times", row.get("times_sooner", 0.0)) for row in rows]


BENCHMARKS: dict[str, Benchmark] = {
    "activations": Benchmark(
        script="bench_activations.py",
        full=(),
        quick=("--rows", "16384", "--rounds", "3"),
        ratios=activation_ratios,
    ),
    "step": Benchmark(
        script="bench_step.py",
        full=(),
        quick=("--size", "256", "--rounds", "3", "--no-unfused"),
        ratios=step_ratios,
    ),
    "scaling": Benchmark(
        script="bench_scaling.py",
        full=(),
        quick=("--sides", "64", "256", "--widths", "64", "256"),
        ratios=scaling_ratios,
    ),
    "equal-time": Benchmark(
        script="bench_quality.py",
        full=("equal-time", "--seconds", "60", "--seeds", "3"),
        quick=("equal-time", "--side", "128", "--seconds", "10", "--seeds", "1", "--rates", "5e-4", "1e-3"),
        ratios=equal_time_ratios,
        to_file=True,
    ),
    "time-to": Benchmark(
        script="bench_quality.py",
        full=("time-to",),
        quick=("time-to", "--side", "128", "--steps", "100", "--timed-steps", "5"),
        ratios=time_to_ratios,
        to_file=True,
    ),
}


def run(benchmark: Benchmark, *, quick: bool) -> Any:
    """Run one script and return its JSON."""
    arguments = benchmark.quick if quick else benchmark.full
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.json"
        command = [sys.executable, str(FOLDER / benchmark.script), *arguments]
        if benchmark.to_file:
            subprocess.run([*command, "--json", str(file)], stdout=sys.stderr, check=True)
            return json.loads(file.read_text())
        return json.loads(subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"))
    arguments = parser.parse_args()
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "quick": arguments.quick,
        "results": {},
    }
    table: list[Ratio] = []
    for name in arguments.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        result = run(BENCHMARKS[name], quick=arguments.quick)
        report["results"][name] = {"seconds": round(time.monotonic() - started, 1), "figures": result}
        table += BENCHMARKS[name].ratios(result)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{report['processor']}, {report['threads']} threads, PyTorch {report['torch']}, {report['date']}")
    for text, value in table:
        print(f"{text:<64}{value:8.2f}")


def processor() -> str:
    """Return the processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
