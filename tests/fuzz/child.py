"""Read damaged files of one package, and say a line about each.

python -m tests.fuzz.child PACKAGE SEED FIRST END FOLDER [commands]

A process of its own, because what a library's crash takes down is only this one.
"""

import importlib
import json
import logging
import os
import random
import resource
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from finer_core.errors import LONGEST_MESSAGE, InputError
from finer_core.resources import peak_memory_mb

from .sample import Sample, files_of, ran

SECONDS = 10
MEMORY_MB = 700
"""What a reader may take where it can be told; a fifth more is allowed for."""


def main(package: str, seed: str, first: int, end: int, folder: Path, *, commands: bool = False) -> None:
    """Read the good files, which loads the libraries, and the damaged ones `first` to `end`; tell what came of each."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    noise = folder / "noise"
    descriptor = os.open(noise, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    warnings.simplefilter("always")
    logging.disable()  # what the project itself says
    place = folder / "place"
    shutil.rmtree(folder / "made", ignore_errors=True)
    samples: dict[str, Sample] = importlib.import_module(f"{__package__}.{package}_files").samples(folder / "made")
    if commands:
        samples = {name: sample for name, sample in samples.items() if sample.command}
    names = [name for name in samples if commands or not samples[name].costly] * 4
    names += [name for name in samples if name not in names]
    for number in (*range(-len(names), 0), *range(first, end)):
        name = names[number % len(names)]
        if number < 0 and name in names[: number % len(names)]:
            continue  # it was tried
        answers.write(json.dumps({"number": number, "sample": name}) + "\n")
        os.ftruncate(descriptor, 0)
        generator = random.Random(f"{seed} {number}") if number >= 0 else None
        said = _tried(samples[name], place, generator, commands=commands)
        if text := noise.read_text(errors="replace"):
            said = f"printed {text[-300:]!r}"
        if generator is None and said == "refused":
            said = "a good file was refused"
        if said not in ("", "refused"):
            keep(folder, name, number)
        answers.write(json.dumps({"outcome": said or "read"}) + "\n")


def keep(folder: Path, name: str, number: int) -> Path:
    """Copy the files that were read last to where those at fault are kept."""
    kept = folder / "faults" / f"{name}-{number}"
    shutil.copytree(folder / "place" / "input", kept, dirs_exist_ok=True)
    return kept


def _limit_time(seconds: int) -> None:
    """Let the system end this process after so many more seconds on a processor."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, most))


def program(name: str) -> Callable[[Sequence[str]], int]:
    """Return what a command runs, by the package's own entry point."""
    (point,) = entry_points(group="console_scripts", name=name)
    return point.load()


def _tried(sample: Sample, place: Path, generator: random.Random | None, *, commands: bool) -> str:
    """Return "refused", what was wrong, or nothing for a file that was read."""
    shutil.rmtree(place, ignore_errors=True)
    inside, here = place / "input", place / "here"
    inside.mkdir(parents=True)
    here.mkdir()
    os.chdir(here)
    sample.write(inside, generator)
    before = files_of(inside)
    outcome, peak = "", peak_memory_mb()
    if generator:  # a good file, the first, loads the libraries
        _limit_time(3 * SECONDS if commands else SECONDS)
    try:
        if commands:
            words = {"input": str(inside), "out": str(place / "out")}
            ran(program(sample.command[0]), [word.format(**words) for word in sample.command[1:]])
        else:
            sample.read(inside)
    except InputError as error:
        outcome = "refused"
        message = str(error)
        if len(message) > LONGEST_MESSAGE or "\n" in message or not message.isprintable():
            outcome = f"a message of {len(message)} characters: {message[:200]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    if list(here.iterdir()) or (not sample.writes and files_of(inside) != before):
        return "wrote beside its output"
    if commands and outcome == "refused" and (place / "out").exists():
        return "left an output folder after a refusal"
    if peak_memory_mb() > max(1.2 * MEMORY_MB, peak):  # it is this file's, and no earlier one's
        return f"took {peak_memory_mb():.0f} MB"
    return outcome


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]), commands=sys.argv[6:] == ["commands"])
