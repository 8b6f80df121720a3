"""Run by every process of a team: small fits whose losses and weights the test compares. `fits_by_ranks.py FOLDER`."""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import Ranks
from finer_core.distributed.team import Team, joined
from finer_core.errors import InputError, ToldByFirst
from finer_core.training.own_code import network_of
from finer_core.training.precision import SMALLEST
from finer_image.config import ImageConfig
from finer_image.io.image import Image
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit

STEPS = 30
NETWORK = {"hidden_features": 16, "hidden_layers": 2}


def cases() -> Iterator[tuple[str, Image, ImageConfig]]:
    """Yield every fit: its name, image and settings."""
    values = np.random.default_rng(0).integers(0, 256, (23, 20, 3), dtype=np.uint8)
    for optimizer, batch in itertools.product(("adam", "muon"), (0, 111)):
        settings = ImageConfig(
            **{"steps": STEPS, "log_every": 6, "optimizer": optimizer, "batch_pixels": batch, "device": "cpu"},
            **{"precision": "fp32", "network": NETWORK},
        )
        yield f"{optimizer}-{batch or 'all'}", Image.from_pixels(values), settings
    for optimizer in ("adam", "muon", "soap"):
        settings = ImageConfig(
            **{"steps": STEPS, "log_every": 6, "optimizer": optimizer, "batch_pixels": 0, "device": "cpu"},
            **{"precision": "bf16", "network": {**NETWORK, "hidden_features": SMALLEST}},
        )
        yield f"{optimizer}-bf16", Image.from_pixels(values), settings
    complex_settings = ImageConfig(
        **{"method": "wire", "preset": "paper", "steps": STEPS, "device": "cpu", "network": NETWORK},
        learning_rate=1e-3,  # WIRE's own makes so small a fit jump, which magnifies rounding
    )
    yield "complex", Image.from_pixels(values), complex_settings
    yield "one-pixel", Image.from_pixels(values[:1, :1]), complex_settings


def halves() -> tuple[Image, ImageConfig]:
    """Return a fit whose batch is four pieces, so that threads and processes take the same halves of it."""
    values = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    network = {"hidden_features": 256, "hidden_layers": 1}
    return Image.from_pixels(values), ImageConfig(
        steps=23, log_every=6, batch_pixels=0, optimizer="soap", device="cpu", precision="fp32", network=network
    )


def run(image: Image, settings: ImageConfig, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Fit; return the losses of all steps and the weights, and of SOAP, what it keeps of every matrix."""
    plan = plan_fit(settings, image)
    network = network_of(plan)
    fit = build_fit(plan, network, image, gradient_sum=GradientReducer(ranks))
    losses: list[float] = []
    fit.on_step = lambda step, steps, loss: losses.append(float(loss))
    fit.run()
    kept = {}
    if settings.optimizer == "soap":
        for number, state in fit.optimizers[-1].state_dict()["state"].items():
            kept |= {f"SOAP's {name} of {number}": torch.as_tensor(value) for name, value in state.items()}
    return {"losses": torch.tensor(losses, dtype=torch.float64), **network.state_dict(), **kept}


def exchanges(team: Team) -> dict[str, object]:
    """Try every exchange, and a block that one process fails."""
    number = team.ranks.rank
    found: dict[str, object] = {"gathered": team.gather({"number": number, "text": "x" * number})}
    found["broadcast"] = [team.broadcast(b"abc" if number == 0 else b"").decode(), team.broadcast().decode()]
    if number == 0:
        team.tell({"told": [1, None]})
    else:
        found["heard"] = team.listen()
    with team.agreed():
        pass
    for failing in range(team.ranks.size):
        try:
            with team.agreed():
                if number == failing:
                    raise InputError("bad")
        except (InputError, ToldByFirst) as error:
            found[f"failure {failing}"] = [type(error).__name__, str(error), getattr(error, "exit_code", None)]
    return found


def main() -> None:
    """Run everything in this process, and save what it found."""
    folder = Path(sys.argv[1])
    with joined() as team:
        found = {"threads": torch.get_num_threads(), **exchanges(team)}
        results = {name: run(image, settings, team.ranks) for name, image, settings in cases()}
        _, image, settings = next(cases())
        results["again"] = run(image, settings, team.ranks)
        results["halves"] = run(*halves(), team.ranks)
    torch.save(results, folder / f"{team.ranks.rank}.pt")
    (folder / f"{team.ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
