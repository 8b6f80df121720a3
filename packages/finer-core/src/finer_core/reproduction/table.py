"""What was published: a table's rows, inputs, settings and values, each value with where it was read; no PyTorch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MEAN = "mean"
"""The input that a value over all of a table's inputs stands under."""

PROVENANCE = {
    "A": "read verbatim in the authors' own code, notebook output, README or project-page figure",
    "3V": "read verbatim in another group's code, project page, README or paper",
    "2": "secondary: as a third party quotes a paper that was not seen",
    "dig": "read off a figure",
}
"""What the tags of values mean."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Describe a figure of a table.

    Attributes:
        name: Key in a record's metrics; "psnr@500" is the curve's "psnr" after 500 steps.
        heading: What tables call it.
        tolerance: Largest difference at which one input's value counts as reproduced, in the metric's own unit.
        mean_tolerance: The same for means over inputs; None for the same.
        is_relative: Whether tolerances are shares of the published value.
        reason: Why the tolerance is what it is.
        unit: What tables show values in, such as "dB".
        factor: Values are shown divided by this, such as 1e-6.
        digits: Decimals that are shown.
        different: Why the published figure is not defined as ours; empty where it is.

    Example:
        >>> from finer_core.reproduction import Metric
        >>> Metric(name="psnr", heading="PSNR", tolerance=0.3, reason="spread", unit="dB").allowed(40.0, is_mean=False)
        0.3
    """

    name: str
    heading: str
    tolerance: float
    reason: str
    mean_tolerance: float | None = None
    is_relative: bool = False
    unit: str = ""
    factor: float = 1.0
    digits: int = 2
    different: str = ""

    def allowed(self, published: float, *, is_mean: bool) -> float:
        """Return the largest difference from a published value that counts as reproduced."""
        tolerance = self.mean_tolerance if is_mean and self.mean_tolerance is not None else self.tolerance
        return tolerance * abs(published) if self.is_relative else tolerance


@dataclass(frozen=True, kw_only=True)
class Row:
    """Describe a row: a method with its settings, and its published values.

    Attributes:
        label: What tells it from the table's other rows.
        method: Key of `METHODS`; None for one that these packages do not have, whose values are shown alone.
        settings: Of a fit, beside the table's: what this row is about, such as {"network": {"first_bias_scale": 5.0}}.
        published: Values by metric and input; `MEAN` for a mean over the table's inputs.
        provenance: A key of `PROVENANCE` where it is not the table's.
        note: What must be known of these values.
        different: Why this row cannot be compared however it is run; empty where it can.

    Example:
        >>> from finer_core.reproduction import Row
        >>> Row(label="FINER", method="finer", published={"psnr": {"mean": 40.76}}).published["psnr"]["mean"]
        40.76
    """

    label: str
    method: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    provenance: str = ""
    note: str = ""
    different: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Describe a published table or figure.

    Attributes:
        name: What commands call it.
        title: What it shows.
        source: Where it was published, or where its values were read.
        provenance: A key of `PROVENANCE`.
        data: The published inputs, in words.
        inputs: Their names, in order.
        rows: The rows.
        metrics: The figures.
        settings: Of every fit, the protocol: what the paper preset is given beside the row's own settings.
        size: Published size that `--size` scales; 0 where there is none.
        expects: Facts of the data that must hold for a comparison, such as {"height": 512}.
        digests: SHA-256 of published inputs where it is known, by name.
        different: Why results cannot be compared however they are run; empty where they can.
        notes: What must be known of the table.

    Example:
        >>> from finer_core.reproduction import Metric, Row, Table
        >>> metric = Metric(name="psnr", heading="PSNR", tolerance=0.3, reason="spread", unit="dB")
        >>> row = Row(label="FINER", method="finer", published={"psnr": {"a": 40.76}})
        >>> told = {"title": "A table", "source": "a paper", "provenance": "A", "data": "one image", "inputs": ["a"]}
        >>> table = Table(name="toy", **told, rows=[row], metrics=[metric], settings={"steps": 100})
        >>> table.provenance_of(row)
        'A'
    """

    name: str
    title: str
    source: str
    provenance: str
    data: str
    inputs: Sequence[str]
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    expects: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    different: str = ""
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            unknown = set(row.published) - {metric.name for metric in self.metrics}
            places = {place for values in row.published.values() for place in values} - {MEAN, *self.inputs}
            if unknown or places or (row.provenance or self.provenance) not in PROVENANCE:
                raise ValueError(f"table {self.name!r}, row {row.label!r}: {unknown or places or row.provenance!r}")
        labels = [row.label for row in self.rows]
        if len(set(labels)) < len(labels):
            raise ValueError(f"table {self.name!r} has two rows of one label")

    def provenance_of(self, row: Row) -> str:
        """Return the tag of a row's values."""
        return row.provenance or self.provenance


def name_in(text: str, names: Iterable[str]) -> str | None:
    """Return the first of some names that a text has in whole words, which are of letters alone; None where none is.

    Args:
        text: Such as a file's name.
        names: Such as a table's inputs.

    Example:
        >>> from finer_core.reproduction.table import name_in
        >>> name_in("Lego_200", ["mic", "lego"]), name_in("panoramic", ["mic"])
        ('lego', None)
    """
    words = _words(text)
    return next((name for name in names if _words(name) in words), None)


def _words(text: str) -> str:
    return f" {' '.join(re.findall('[a-z]+', text.lower()))} "


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings over each other, the later winning, those of the network one by one."""
    result: dict[str, Any] = {}
    for layer in layers:
        network = {**result.get("network", {}), **layer.get("network", {})}
        result |= layer
        if network:
            result["network"] = network
    return result
