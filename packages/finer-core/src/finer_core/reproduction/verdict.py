"""The verdict on a result beside a published value, by one stated rule."""

from collections.abc import Sequence

from finer_core.seeds import SPREAD

RULE = (
    "reproduced: |mean over our seeds - published| <= the metric's tolerance; not reproduced: more than that, in "
    "either direction; not comparable: the run differs from the published one in something that is named (scaled, "
    "preset fast, other data, other metric, other settings, inputs, runs or finite figures missing). Tolerances are "
    f"the table's, one a metric, with a reason; the spread is {SPREAD}, and widens nothing."
)
"""The rule in words, as tables show it."""

NOTHING_PUBLISHED, NOT_RUN = "no published value", "not run"


def verdict_of(
    *, ours: float | None, published: float | None, tolerance: float, reasons: Sequence[str] = (), undefined: str = ""
) -> str:
    """Return the verdict.

    Args:
        ours: Mean over seeds; None if it was not run, or is not defined.
        published: The value; None if none was seen.
        tolerance: Largest difference that counts as reproduced.
        reasons: Why the two cannot be compared, if they cannot.
        undefined: Which of the runs have no such figure, or an infinite one; empty if none.

    Returns:
        "reproduced", "not reproduced", "not comparable (why)", "no published value" or "not run".

    Example:
        >>> from finer_core.reproduction import verdict_of
        >>> verdict_of(ours=40.9, published=40.76, tolerance=0.3)
        'reproduced'
        >>> verdict_of(ours=30.0, published=40.76, tolerance=0.3, reasons=["scaled: 200 of 5000 steps"])
        'not comparable (scaled: 200 of 5000 steps)'
    """
    if ours is None and not undefined:
        return f"{NOT_RUN} ({'; '.join(reasons)})" if reasons else NOT_RUN
    if published is None:
        return NOTHING_PUBLISHED
    if ours is None or undefined or reasons:
        return f"not comparable ({'; '.join(filter(None, dict.fromkeys([*reasons, undefined])))})"
    return "reproduced" if abs(ours - published) <= tolerance else "not reproduced"
