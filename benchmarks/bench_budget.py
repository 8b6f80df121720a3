"""Quality against the length of a fit: the fast preset, the published algorithm, and plain minibatch Adam.

    python benchmarks/bench_budget.py run --images FILE... --side 256 --passes 10 20 40 80 160 320 --out budget.jsonl
    python benchmarks/bench_budget.py table budget.jsonl
    python benchmarks/bench_budget.py chart budget.jsonl --side 256 --processor AVX2 --out docs/budgets.svg

Every fit is one line of --out: signal, arm, method, length, seed, PSNR, seconds, and the machine. What is there already
is not run again, so a study may be interrupted, and --shard 0/2 and 1/2 share it between two processes. Lines of other
machines may be appended: the tables are of PSNR, which hardly depends on the machine, and of the seconds of each.

Arms: "fast" is the default preset; "published" the paper preset, every pixel in every step, its schedule over so many
steps; "minibatch" the same with batches of the default preset's size, as much of the field's code does.
"""

import argparse
import json
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from bench_quality import load, name_of
from finer_core.c_library import allow_building
from finer_core.training.own_code import network_of
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.model import ImageModel
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit
from study_optimizers import lines_of

ARMS = ("fast", "published", "minibatch")
NUMBERS = ("psnr", "seconds")
KEY = ("signal", "side", "arm", "method", "passes", "seed", "device", "changes")


def settings_of(arm: str, *, side: int, **given: Any) -> ImageConfig:
    """Return the settings of an arm."""
    if arm == "fast":
        return ImageConfig(**given)
    batch = 0 if arm == "published" else 8 * side  # in the minibatch arm, 2048 pixels at 256x256
    return ImageConfig(preset="paper", batch_pixels=batch, **given)


def run_fit(
    file: str | None, *, side: int, arm: str, threads: int, device: str, changes: dict[str, Any], **given: Any
) -> dict[str, Any]:
    """Fit and judge; return what a line says of it."""
    image = load(file, side)
    plan = plan_fit(settings_of(arm, side=side, device=device, **given, **changes), image)
    network = network_of(plan)
    fit = build_fit(plan, network, image)
    notes: list[str] = []
    fit.on_notice = notes.append
    started, processor = time.perf_counter(), time.process_time()
    last = fit.run()
    trained, processor = time.perf_counter() - started, time.process_time() - processor
    model = ImageModel.of(network.eval(), image, target_range=plan.target_range)
    return {
        **{"psnr": evaluate(model, image)["psnr"], "seconds": round(trained, 2), "cpu_seconds": round(processor, 2)},
        **{"steps": plan.settings.steps, "batch_pixels": plan.settings.batch_pixels, "rollbacks": last.rollbacks},
        **{"rate": plan.settings.matrix_learning_rate, "precision": plan.settings.precision, "notes": notes},
        **{"threads": threads, "processor": processor_name(device), "torch": torch.__version__},
        "date": time.strftime("%Y-%m-%d"),
    }


def processor_name(device: str) -> str:
    """Return what the system calls its processor, and the instructions that PyTorch uses of it; or its card."""
    if device == "cuda":
        return torch.cuda.get_device_name(0)
    return f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    number, shards = map(int, arguments.shard.split("/"))
    done = {json.dumps([line[name] for name in KEY]) for line in lines_of(arguments.out)}
    wanted = [
        {"method": method, "arm": arm, "passes": passes, "seed": seed, "file": file}
        for passes in arguments.passes
        for method in arguments.methods
        for arm in arguments.arms
        for seed in range(arguments.seeds)
        for file in arguments.images or [None]
    ]
    for index, fit in enumerate(wanted):
        file = fit.pop("file")
        place = {**fit, "signal": name_of(file), "side": arguments.side, "changes": arguments.changes}
        place["device"] = arguments.device
        if file is not None:
            place["signal"] = f"{Path(file).parent.name}/{place['signal']}"
        if index % shards != number or json.dumps([place[name] for name in KEY]) in done:
            continue
        same = {name: getattr(arguments, name) for name in ("side", "threads", "device", "changes")}
        found = run_fit(file, **same, **fit)
        line = {**place, **found}
        with open(arguments.out, "a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        print(f"{place['signal']} {fit}: {found['psnr']:.2f} dB, {found['seconds']:.0f} s", flush=True)


def groups_of(lines: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[float, dict[str, dict[str, Any]]]]:
    """Return lines by (family, side, device, what), by passes, by signal; of several seeds the mean PSNR.

    `what` is arm and method, and the settings that were changed.
    """
    groups: dict[tuple[Any, ...], dict[float, dict[str, list[dict[str, Any]]]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        family = line["signal"].split("/")[0]
        what = " ".join((line["arm"], line["method"], *([json.dumps(line["changes"])] if line["changes"] else [])))
        place = groups[family, line["side"], line["device"], what][line["passes"]]
        place.setdefault(line["signal"], []).append(line)
    return {
        key: {
            passes: {
                signal: {name: statistics.mean(line[name] for line in of) for name in NUMBERS}
                for signal, of in signals.items()
            }
            for passes, signals in sorted(lengths.items())
        }
        for key, lengths in groups.items()
    }


def table(arguments: argparse.Namespace) -> None:
    """Print a table for each family, size, arm and method: a row a length, with its least gain on a signal."""
    for (family, side, device, what), lengths in groups_of(lines_of(arguments.out)).items():
        signals = sorted({signal for of in lengths.values() for signal in of})
        print(f"\n{family}, {side}x{side}, {device}, {what}\n")
        print(f"| passes | mean, dB | seconds | least gain | {' | '.join(s.split('/')[-1] for s in signals)} |")
        print("| --- " * (4 + len(signals)) + "|")
        before: dict[str, dict[str, Any]] = {}
        for passes, of in lengths.items():
            gains = [of[s]["psnr"] - before[s]["psnr"] for s in of if s in before]
            cells = [f"{of[s]['psnr']:.2f}" if s in of else "" for s in signals]
            mean = statistics.mean(line["psnr"] for line in of.values())
            seconds = statistics.mean(line["seconds"] for line in of.values())
            least = f"{min(gains):+.2f}" if gains else ""
            of_some = f" ({len(of)})" if len(of) < len(signals) else ""
            print(f"| {passes:g} | {mean:.2f}{of_some} | {seconds:.0f} | {least} | {' | '.join(cells)} |")
            before = of


NAMES = {"fast": "the fast preset", "minibatch": "the published network by minibatch Adam", "published": "as published"}
"""What the arms are called in a chart."""


def seconds_of(line: dict[str, Any]) -> float:
    """Return the time that a fit had of its processor: other work on the machine does not count."""
    return line["cpu_seconds"] if line["device"] == "cpu" and "cpu_seconds" in line else line["seconds"]


def chart(arguments: argparse.Namespace) -> None:
    """Draw mean PSNR against passes and against seconds, a line an arm, for the lines of one size and processor.

    A length is drawn where all signals have it.
    """
    from matplotlib.figure import Figure

    def is_shown(line: dict[str, Any]) -> bool:
        return (
            line["signal"].startswith(arguments.family + "/")
            and (line["side"], line["device"]) == (arguments.side, arguments.device)
            and line["processor"].endswith(arguments.processor)
            and line["method"] == arguments.method
            and not line["changes"]
        )

    lines = [{**line, "seconds": seconds_of(line)} for line in lines_of(arguments.lines) if is_shown(line)]
    if not lines:
        raise SystemExit(f"{arguments.lines}: no line of {arguments.family}, {arguments.side}x{arguments.side}")
    count = len({line["signal"] for line in lines})
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("passes", "seconds"), strict=True):
        for key, lengths in sorted(groups_of(lines).items()):
            whole = {passes: of.values() for passes, of in lengths.items() if len(of) == count}
            psnr, seconds = ([statistics.mean(x[what] for x in of) for of in whole.values()] for what in NUMBERS)
            axes.plot(list(whole) if name == "passes" else seconds, psnr, marker="o", label=NAMES[key[-1].split()[0]])
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        if name == "passes":
            axes.set_xticks(sorted({line["passes"] for line in lines}))
        axes.set_xlabel({"passes": "passes over the pixels", "seconds": "seconds of one core, or of the card"}[name])
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(f"mean PSNR of {count} images, dB")
    figure.axes[0].legend(fontsize=8)
    figure.savefig(arguments.out, metadata={"Date": None} if arguments.out.suffix == ".svg" else None)


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    study = commands.add_parser("run")
    study.add_argument("--images", nargs="*", default=[], help="image files (default: the built-in photograph)")
    study.add_argument("--side", type=int, default=256, help="reduced to this many pixels a side by box averages")
    study.add_argument("--passes", type=float, nargs="+", default=[10, 20, 40, 80, 160, 320])
    study.add_argument("--methods", nargs="+", default=["finer"])
    study.add_argument("--arms", nargs="+", default=["fast"], choices=ARMS)
    study.add_argument("--changes", type=json.loads, default={}, help="other settings, as JSON")
    study.add_argument("--seeds", type=int, default=1)
    study.add_argument("--threads", type=int, default=torch.get_num_threads())
    study.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    study.add_argument("--shard", default="0/1")
    study.add_argument("--out", type=Path, required=True)
    study.set_defaults(command=run)
    show = commands.add_parser("table")
    show.add_argument("out", type=Path)
    show.set_defaults(command=table)
    draw = commands.add_parser("chart")
    draw.add_argument("lines", type=Path)
    draw.add_argument("--family", default="div2k", help="what signals' names begin with")
    draw.add_argument("--side", type=int, default=256)
    draw.add_argument("--method", default="finer")
    draw.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    draw.add_argument("--processor", default="", help="what the processor's name ends with, e.g. AVX2")
    draw.add_argument("--out", type=Path, default=Path("budgets.svg"))
    draw.set_defaults(command=chart)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
