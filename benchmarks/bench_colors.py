"""Colors of textured surfaces: PSNR of the color head at points that it was not fitted to, and its seconds.

    python benchmarks/bench_colors.py --meshes FILE... --images FILE... --out colors.jsonl

Each picture, and with `checkerboard` in the place of one a checkerboard of twelve periods a side, is laid on each mesh
along the shortest side of its bounding box. The head is fitted alone, without a distance, by the code of `finer-sdf
fit`. What is in --out already is not run again.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image

from finer_sdf import SdfConfig, SdfModel
from finer_sdf.inputs import as_shape
from finer_sdf.training.color import add_color
from finer_sdf.training.plan import plan_fit


def picture_of(name: str, *, side: int) -> Image.Image:
    """Return a picture, or the checkerboard, of so many pixels a side."""
    if name != "checkerboard":
        return Image.open(name).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    half = np.arange(side) * 24 // side % 2
    return Image.fromarray((255 * (half[:, None] ^ half)).astype(np.uint8)).convert("RGB")


def textured(file: str, picture: Image.Image) -> trimesh.Trimesh:
    """Return a mesh with a picture laid on it."""
    mesh = trimesh.load(file, process=False, force="mesh")
    low, high = mesh.bounds
    sides = np.argsort(low - high)[:2]
    places = (mesh.vertices[:, sides] - low[sides]) / (high - low)[sides]
    material = trimesh.visual.material.SimpleMaterial(image=picture)
    mesh.visual = trimesh.visual.TextureVisuals(uv=places, material=material)
    return mesh


def run(arguments: argparse.Namespace) -> None:
    """Fit the head to each picture on each mesh."""
    torch.set_num_threads(arguments.threads)
    there = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    for file in arguments.meshes:
        for name in arguments.images:
            key = {
                "mesh": Path(file).stem,
                "picture": Path(name).stem,
                "steps": arguments.steps,
                "side": arguments.side,
            }
            if any(key.items() <= line.items() for line in there):
                continue
            loaded = as_shape(textured(file, picture_of(name, side=arguments.side)))
            plan = plan_fit(SdfConfig(steps=arguments.steps, precision="fp32", device="cpu"), loaded.shape)
            model = SdfModel(network=torch.nn.Linear(3, 1), normalization=plan.frame)
            started, processor = time.perf_counter(), time.process_time()
            psnr = add_color(model, plan, loaded)
            assert psnr is not None
            seconds = {"seconds": round(time.perf_counter() - started, 1)}
            line = {**key, "psnr": round(psnr, 2), **seconds, "cpu_seconds": round(time.process_time() - processor, 1)}
            line |= {"threads": arguments.threads, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}
            print(json.dumps(line), flush=True)
            with arguments.out.open("a") as lines:
                lines.write(json.dumps(line) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", nargs="+", required=True)
    parser.add_argument("--images", nargs="+", required=True, help="files, or checkerboard")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=512, help="pixels of a picture's side")
    parser.add_argument("--steps", type=int, default=4500, help="of the distance, which limit those of the head")
    parser.add_argument("--threads", type=int, default=1)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
