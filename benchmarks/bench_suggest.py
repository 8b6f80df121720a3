"""How often `finer-ntk suggest` is right: its choice against the best of a grid and the published values.

    python benchmarks/bench_suggest.py fit FOLDER... --out fits.json      fits every image with every candidate
    python benchmarks/bench_suggest.py judge FOLDER... --fits fits.json   asks the advisor, and counts

Needs finer-image and finer-ntk. An image is averaged down to 128x128 (one in n pixels where that does not divide) and
fitted by `finer-image`'s default preset with networks of width 64: about a parameter a pixel, as 512x512 has with width
256, at a cost that allows hundreds of fits. `fit` goes on where an earlier one stopped. `--record` writes what the
advisor's output states.
"""

import argparse
import dataclasses
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SIDE, WIDTH = 128, 64
CLOSE_DB = 0.3
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def images_in(folders: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and pixels (128, 128, channels), uint8, of every image that is large enough."""
    from PIL import Image

    for folder in folders:
        for path in sorted(Path(folder).iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            with Image.open(path) as file:
                deep = file.mode.startswith("I")
                values = np.asarray(
                    file if deep else file.convert("L" if file.mode == "L" else "RGB"), dtype=np.float64
                )
            if min(values.shape[:2]) < SIDE:
                continue
            values = values.reshape(*values.shape[:2], -1)
            side = min(values.shape[:2])
            top, left = (values.shape[0] - side) // 2, (values.shape[1] - side) // 2
            square = values[top : top + side, left : left + side]
            low, high = (values.min(), values.max()) if deep else (0.0, 255.0)
            yield (
                f"{path.parent.name}/{path.name}",
                np.rint((shrink(square) - low) / (high - low) * 255).astype(np.uint8),
            )


def shrink(square: np.ndarray) -> np.ndarray:
    """Average blocks of pixels down to about 128x128, then take the central part."""
    factor = len(square) // SIDE
    side = len(square) // factor * factor
    blocks = square[:side, :side].reshape(side // factor, factor, side // factor, factor, -1).mean((1, 3))
    start = (len(blocks) - SIDE) // 2
    return blocks[start : start + SIDE, start : start + SIDE]


def fit_one(task: tuple[str, np.ndarray, dict[str, Any], int]) -> tuple[str, float]:
    """Return the key and PSNR of one fit, on one thread."""
    import torch

    torch.set_num_threads(1)
    from finer_core.run_folder import open_run_folder
    from finer_image.fit import fit_image
    from finer_image.pixels import Image
    from finer_image.plan import plan_fit
    from finer_image.settings import ImageFitSettings

    name, pixels, candidate, seed = task
    network = {"hidden_features": WIDTH, **candidate["options"]}
    settings = ImageFitSettings(
        method=candidate["method"], network=network, seed=seed, checkpoint_seconds=1e6, precision="fp32", device="cpu"
    )
    image = Image.from_pixels(pixels)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_fit(settings, image)
        _, figures = fit_image(plan, image, open_run_folder(Path(folder) / "run", mode="new"), quiet=True)
    return f"{name}|{candidate['name']}|{seed}", figures["psnr"]


def fit(arguments: argparse.Namespace) -> None:
    """Fit what is not in the file yet, and write after every fit."""
    from finer_ntk.advisor.candidates import CANDIDATES

    out = Path(arguments.out)
    found: dict[str, float] = json.loads(out.read_text()) if out.exists() else {}
    tasks = []
    for name, pixels in images_in(arguments.folders):
        for candidate in CANDIDATES:
            plain = {"name": candidate.name, **dataclasses.asdict(candidate)}
            for seed in range(arguments.seeds):
                if f"{name}|{candidate.name}|{seed}" not in found:
                    tasks.append((name, pixels, plain, seed))
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for number, (key, psnr) in enumerate(pool.imap_unordered(fit_one, tasks), start=1):
            found[key] = psnr
            out.write_text(json.dumps(found, indent=1, sort_keys=True))
            print(f"{number}/{len(tasks)} {time.monotonic() - started:.0f} s {key} {psnr:.2f}", flush=True)


WIDTHS = (0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)


def judge(arguments: argparse.Namespace) -> None:
    """Judge the advice on every image with nothing of that image known, the width of likeness included."""
    from finer_ntk.advisor.advise import explain_image
    from finer_ntk.advisor.candidates import CANDIDATES, PUBLISHED

    fits = json.loads(Path(arguments.fits).read_text())
    candidates = [candidate.name for candidate in CANDIDATES]
    names, tables, evidence = [], [], []
    for name, pixels in images_in(arguments.folders):
        keys = [[f"{name}|{candidate}|{seed}" for seed in range(arguments.seeds)] for candidate in candidates]
        if all(key in fits for row in keys for key in row):
            names.append(name)
            tables.append([float(np.mean([fits[key] for key in row])) for row in keys])
            explained = explain_image(pixels / 255.0)
            evidence.append([explained[candidate] for candidate in candidates])
    psnr, explained = np.array(tables), np.array(evidence)
    losses = psnr.max(1, keepdims=True) - psnr
    everyone = np.arange(len(names))
    published = candidates.index(PUBLISHED.name)
    found: dict[str, list[float]] = {"advice": [], "published": [], "constant": [], "kernel_alone": []}
    for index in everyone:
        rest = everyone != index
        width = best_width(explained[rest], losses[rest])
        picks = {
            "advice": pick(explained[index], explained[rest], losses[rest], width),
            "published": published,
            "constant": int(losses[rest].mean(0).argmin()),
            "kernel_alone": int(explained[index].argmax()),
        }
        for who, choice in picks.items():
            found[who].append(float(losses[index, choice]))
        shown = {who: f"{candidates[choice]} -{losses[index, choice]:.2f}" for who, choice in picks.items()}
        print(json.dumps({"image": names[index], "best": candidates[int(psnr[index].argmax())], **shown}), flush=True)
    judged = {
        who: {
            "hit_rate": round(float(np.mean(np.array(lost) <= CLOSE_DB)), 4),
            "mean_loss_db": round(float(np.mean(lost)), 4),
        }
        for who, lost in found.items()
    }
    print(json.dumps(judged, indent=1))
    if arguments.record:
        rounded = {"explained": explained, "losses": losses}
        record = {
            "judged": judged,
            "constant": candidates[int(losses.mean(0).argmin())],
            "close_db": CLOSE_DB,
            "width": best_width(explained, losses),
            "conditions": f"{SIDE}x{SIDE}, width {WIDTH}, default preset of finer-image, seeds: {arguments.seeds}",
            "date": time.strftime("%Y-%m-%d"),
            "command": "python benchmarks/bench_suggest.py judge",
            "signals": [
                {"name": name}
                | {
                    key: dict(zip(candidates, np.round(values[index], 3).tolist(), strict=True))
                    for key, values in rounded.items()
                }
                for index, name in enumerate(names)
            ],
        }
        Path(arguments.record).write_text(json.dumps(record, indent=1) + "\n")


def pick(new: np.ndarray, explained: np.ndarray, losses: np.ndarray, width: float) -> int:
    """Return the candidate that the advisor would choose with this experience."""
    from finer_ntk.advisor.advise import Experience, expected_losses

    return int(expected_losses(new, Experience(explained=explained, losses=losses, width=width)).argmin())


def best_width(explained: np.ndarray, losses: np.ndarray) -> float:
    """Return the width of the least mean loss when every signal is judged by the others."""
    everyone = np.arange(len(losses))

    def mean_loss(width: float) -> float:
        lost = []
        for index in everyone:
            rest = everyone != index
            lost.append(losses[index, pick(explained[index], explained[rest], losses[rest], width)])
        return float(np.mean(lost))

    return min(WIDTHS, key=mean_loss)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("fit", "judge"))
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--out", default="fits.json")
    parser.add_argument("--fits", default="fits.json")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", help="write the summary to this file")
    arguments = parser.parse_args()
    (fit if arguments.stage == "fit" else judge)(arguments)


if __name__ == "__main__":
    main()
