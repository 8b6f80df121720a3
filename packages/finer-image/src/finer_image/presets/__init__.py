"""The two presets of an image fit: the published algorithm, and ours, which follows from the budget and the image.

What the fast one takes its numbers from, bottom up: the rules of each method; the length of the fit, which is steps and
batch; the rates that this batch bears; the first omega. docs/studies has what each comes from.
"""

from finer_image.presets.resolving import resolve

__all__ = ["resolve"]
