"""Go on with a fit from its checkpoint, from Python: is it of the same input, settings and network?"""

import os
from collections.abc import Collection, Mapping
from typing import Any

from finer_core.config import given_fields
from finer_core.errors import InputError
from finer_core.schema import check_entries, shown
from finer_core.training.state import TrainState

_MAY_DIFFER = frozenset({"network", "device", "memory", "checkpoint_seconds"})
"""Settings that are compared in another way, or that a resumed fit takes from its checkpoint without a word."""


def saved_fit(
    state: TrainState, about: Mapping[str, Any], *, source: str | os.PathLike[str], verb: str, signal: str
) -> Mapping[str, Any]:
    """Return what a checkpoint says about its fit, which is of the same input and the same code of the user's.

    Args:
        state: The checkpoint's state.
        about: `input_sha256` of the input that is given now, and `own`, the name of the user's code.
        source: The file, for messages.
        verb: The function whose fit it must be, e.g. "finer_image.fit".
        signal: What the input is, e.g. "image".

    Raises:
        InputError: If it is a fit of another kind, input or code.
    """
    saved, path = state.loop.get("about"), os.fspath(source)
    if not isinstance(saved, Mapping):
        raise InputError(f"{path}: not a checkpoint of {verb}; one of a run folder goes on by --resume")
    check_entries(saved, {"input_sha256": str, "own": str, "network": Mapping}, what=path)
    if saved["input_sha256"] != about["input_sha256"]:
        raise InputError(f"{path}: a fit of another {signal}; leave out resume=True and name another checkpoint")
    if saved["own"] != about["own"]:
        raise InputError(
            f"{path}: a fit of {shown(saved['own'] or 'a network of ours')}, not of "
            f"{shown(about['own'] or 'a network of ours')}; give the same network= or activation= to go on"
        )
    return saved


def refuse_other_settings(
    plan: Any,
    settings: Any,
    *,
    named: Collection[str],
    source: str | os.PathLike[str],
    may_differ: Collection[str] = (),
) -> None:
    """Raise InputError if a setting that is given now is not the one that a fit was begun with.

    Args:
        plan: The fit's plan: it has `settings`, resolved, and `network`.
        settings: Those that are given now.
        named: Fields of them that were named, whatever their value.
        source: The checkpoint, for messages.
        may_differ: Settings that the fit does not depend on.
    """
    given = sorted(given_fields(settings, named) - _MAY_DIFFER - set(may_differ))
    pairs = [(name, getattr(settings, name), getattr(plan.settings, name)) for name in given]
    network = plan.network.to_dict()
    options = {**network, **network.get("options", {})}
    pairs += [(name, value, options.get(name)) for name, value in settings.network.items()]
    for name, value, before in pairs:
        if value != before:
            raise InputError(
                f"{os.fspath(source)}: {name} {shown(value)} differs from the fit's, {shown(before)}; "
                "leave it out to go on"
            )
