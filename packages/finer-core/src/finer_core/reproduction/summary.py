"""The rows of a comparison: published, ours with its spread over seeds, the difference, the verdict."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from finer_core.reproduction.cell import Cell
from finer_core.reproduction.record import Record
from finer_core.reproduction.table import MEAN, Metric, Row, Table
from finer_core.reproduction.verdict import verdict_of
from finer_core.seeds import mean_and_spread

COLUMNS = (
    "table", "row", "method", "input", "metric", "published", "provenance", "ours", "spread", "seeds", "difference",
    "tolerance", "verdict", "seconds",
)  # fmt: skip


def summary_rows(
    table: Table,
    rows: Sequence[Row],
    cells: Sequence[Cell],
    records: Mapping[str, Record],
    failures: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return a mapping for each row, metric and input, and for the mean over inputs."""
    found = []
    for row in rows:
        own = [cell for cell in cells if cell.row == row.label]
        names = list(dict.fromkeys([*(cell.input.name for cell in own), *_published_inputs(row)]))
        for metric in table.metrics:
            values = row.published.get(metric.name, {})
            for name in names:
                if values.get(name) is not None or any(cell.input.name == name for cell in own):
                    there = [cell for cell in own if cell.input.name == name]
                    found.append(_compared(table, row, metric, name, [[cell] for cell in there], records, failures))
            inputs = {cell.input.name for cell in own}
            if MEAN in values or len(inputs) > 1:
                by_seed: dict[int, list[Cell]] = {}
                for cell in own:
                    by_seed.setdefault(cell.seed, []).append(cell)
                found.append(_compared(table, row, metric, MEAN, list(by_seed.values()), records, failures))
    return found


def _published_inputs(row: Row) -> list[str]:
    return [name for values in row.published.values() for name in values if name != MEAN]


def _compared(
    table: Table,
    row: Row,
    metric: Metric,
    name: str,
    groups: Sequence[Sequence[Cell]],
    records: Mapping[str, Record],
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """Compare one value with the mean over groups of cells, a group a seed."""
    cells = [cell for group in groups for cell in group]
    there = [record for cell in cells if (record := records.get(cell.digest)) is not None]
    values = [[value_of(records.get(cell.digest), metric.name) for cell in group] for group in groups]
    ours = [fmean(known) for group in values if len(known := [v for v in group if v is not None]) == len(group)]
    published = row.published.get(metric.name, {}).get(name)
    reasons = _reasons(table, row, metric, name, cells, there, failures)
    mean, spread = mean_and_spread(ours)
    tolerance = None if published is None else metric.allowed(published, is_mean=name == MEAN)
    unknown = sum(not record.error and record.metrics.get(metric.name, 0.0) is None for record in there)
    undefined = f"{metric.heading} of {unknown} of {len(cells)} runs is infinite or not defined" if unknown else ""
    if row.method is None:
        reasons = ["a method that these packages do not have"]
    return {
        "table": table.name,
        "row": row.label,
        "method": row.method,
        "input": name,
        "metric": metric.name,
        "published": published,
        "provenance": None if published is None else table.provenance_of(row),
        "ours": mean,
        "spread": spread,
        "seeds": len(ours),
        "difference": None if published is None or mean is None else mean - published,
        "tolerance": tolerance,
        "verdict": verdict_of(
            ours=mean, published=published, tolerance=tolerance or 0.0, reasons=reasons, undefined=undefined
        ),
        "seconds": round(sum(record.seconds for record in there), 1) if there else None,
    }


def value_of(record: Record | None, metric: str) -> float | None:
    """Return a record's metric, or with "name@step" its curve's last value up to that step."""
    if record is None:
        return None
    name, at, step = metric.partition("@")
    if not at:
        return record.metrics.get(name)
    reached = [
        value
        for done, value in zip(record.curve.get("step", ()), record.curve.get(name, ()), strict=False)
        if done is not None and done <= int(step)
    ]
    last = max((done for done in record.curve.get("step", ()) if done is not None), default=0)
    return reached[-1] if reached and last >= int(step) else None


def _reasons(
    table: Table,
    row: Row,
    metric: Metric,
    name: str,
    cells: Sequence[Cell],
    records: Sequence[Record],
    failures: Mapping[str, str],
) -> list[str]:
    """Return why a value cannot be compared."""
    found = [reason for cell in cells for reason in cell.scaled]
    found += [reason for reason in (table.different, row.different) if reason]
    found += [f"other metric: {metric.different}"] if metric.different else []
    names = {cell.input.name for cell in cells}
    other = sorted(names - set(table.inputs))
    if other:
        found.append(f"other data: {', '.join(other[:3])}")
    if name == MEAN and not names >= set(table.inputs):
        found.append(f"{len(names & set(table.inputs))} of {len(table.inputs)} inputs")
    found += [f"other data: {cell.input.other}" for cell in cells if cell.input.other]
    for cell in cells:
        known = table.digests.get(cell.input.name)
        if known is not None and known != cell.input.sha256:
            found.append(f"other data: {cell.input.name} is not the published file")
    for record in (record for record in records if record.size is None):  # else the size is reason enough
        found += [
            f"other data: {fact} {record.facts.get(fact, 'is not known')}, published {value}"
            for fact, value in table.expects.items()
            if record.facts.get(fact) != value
        ]
    bad = [record.error for record in records if record.error] + [
        failures[cell.digest] for cell in cells if cell.digest in failures
    ]
    if bad:
        found.append(f"{len(bad)} of {len(cells)} runs failed: {bad[0]}")
    return list(dict.fromkeys(found))
