"""The length of a fit from the time of its own first steps, where these cost more than the others."""

from dataclasses import dataclass

from finer_core.schema import check_within


@dataclass(frozen=True, kw_only=True)
class TimedLength:
    """Choose how many steps a fit has, once, from the time that its first ones took.

    It is chosen at the end of the log interval that brings the fit to `after` steps, from the time of that interval,
    and kept in the checkpoint. Until then the schedule is that of the `steps` the fit began with.

    Attributes:
        seconds: What the training may take.
        after: Steps that are made before, until a step costs what it will cost.

    Raises:
        InputError: For seconds that are not positive, or a negative number of steps.

    Example:
        >>> from finer_core.training import TimedLength
        >>> TimedLength(seconds=60.0, after=50).steps(done=50, seconds=10.0, seconds_per_step=0.1)
        550
    """

    seconds: float
    after: int

    def __post_init__(self) -> None:
        check_within(self.seconds, "(0, inf)", what="seconds")
        check_within(self.after, "[0, inf)", what="after", is_whole=True)

    def steps(self, *, done: int, seconds: float, seconds_per_step: float) -> int:
        """Return the steps in all, at least those that are done."""
        return done + max(0, round((self.seconds - seconds) / max(seconds_per_step, 1e-9)))
