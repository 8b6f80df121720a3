"""Try damaged files in a child process, and count what came of them.

python -m tests.fuzz.driver PACKAGE FILES SEED FOLDER [commands]    prints a table; faulty files stay in FOLDER/faults
"""

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.prepared import PreparedProcess

from .child import keep

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "image", "sdf", "nerf", "ntk")


@dataclass(kw_only=True)
class Outcome:
    """Count the files of a sample: how many were read and refused; and hold what went wrong with the others."""

    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def fuzz(package: str, *, files: int, seed: str, folder: Path, commands: bool = False) -> dict[str, Outcome]:
    """Let a child read damaged files, and another one go on where it died.

    Args:
        package: One of `PACKAGES`.
        files: How many, all samples in turn.
        seed: Of the damage.
        folder: For the files; those at fault are kept in its `faults`.
        commands: Whether the programs are run on them, rather than the readers.
    """
    found: dict[str, Outcome] = {}
    number, name = -1, ""

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    while number + 1 < files:
        arguments = (package, seed, number + 1, files, folder, *["commands"] * commands)
        child = PreparedProcess(["-m", "tests.fuzz.child", *map(str, arguments)], folder=ROOT, environment=environment)
        waiting = False
        for line in child.communicate()[0].splitlines():
            answer = json.loads(line)
            waiting = "number" in answer
            if waiting:
                number, name = answer["number"], answer["sample"]
                continue
            outcome = found.setdefault(name, Outcome())
            if answer["outcome"] not in ("read", "refused"):
                outcome.faults.append(f"{name}-{number}: {answer['outcome']}")
            elif number >= 0:
                setattr(outcome, answer["outcome"], getattr(outcome, answer["outcome"]) + 1)
        code = child.returncode
        assert code is not None
        if code < 0 and waiting:
            keep(folder, name, number)
            outcome = found.setdefault(name, Outcome())
            outcome.faults.append(f"{name}-{number}: killed by {signal.Signals(-code).name}")
        if code > 0 or number < 0:
            noise = (folder / "noise").read_text(errors="replace")[-2000:] if (folder / "noise").exists() else ""
            raise RuntimeError(f"the child of {package} ended with {code} at {name}: {noise}")
    return found


def table(found: dict[str, Outcome]) -> str:
    """Return lines of counts, and the faults below."""
    lines = [f"{'format':<24}{'files':>8}{'read':>8}{'refused':>9}{'faults':>8}"]
    for name, outcome in found.items():
        faults = len(outcome.faults)
        files = outcome.read + outcome.refused + faults
        lines.append(f"{name:<24}{files:>8}{outcome.read:>8}{outcome.refused:>9}{faults:>8}")
    return "\n".join([*lines, *(fault for outcome in found.values() for fault in outcome.faults)])


if __name__ == "__main__":
    place = Path(sys.argv[4]).absolute()
    place.mkdir(parents=True, exist_ok=True)
    counts = fuzz(
        sys.argv[1], files=int(sys.argv[2]), seed=sys.argv[3], folder=place, commands=sys.argv[5:] == ["commands"]
    )
    print(table(counts))
