"""The figures of a fit, of matplotlib."""

from finer_core.plots import history

__all__ = ["history"]
