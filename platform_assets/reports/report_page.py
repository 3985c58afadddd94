"""Reports and overviews as people see them: self-contained pages, pure functions of the documents they show.

Whatever came from outside is escaped where it is put, and characters that would not show are made visible first. A page
loads nothing and runs nothing; its own policy forbids both, should an escape ever be missing. Plots are static and take
their colours from the page. Importing this takes a second, since it brings matplotlib: only those who draw do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from contracts.distribution_drift import NOTABLE, STRONG, ColumnDrift, NotCompared
from contracts.overview_document import ColumnSeries, DriftSeries, Overview, PartitionLine
from contracts.profile_merging import spread_over
from contracts.report_document import ColumnProfile, Excerpt, Histogram, Report, Sample
from contracts.report_document import QuarantineExample as Example
from platform_assets.reports import plots, wording
from platform_assets.reports.partition_context import Compared, Context
from platform_assets.reports.plots import Cell, Through
from platform_assets.reports.wording import visible

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The content security policy of every page. In a page itself, `frame-ancestors` has no effect and is left out."""

SHOWN_VALUES = 6
SHOWN_PARTITIONS = 2000
"""Lines of the table below the calendars; those before are in the document."""
_LINE_END = re.compile(r"(\r\n|\n|\r)\Z")
_DIGEST = re.compile(r"(blake3:[0-9a-f]{64})")
_COMMAND = re.compile(r"`([^`]+)`")
_DAY = 86_400.0
_NOT_COMPARED: Mapping[NotCompared, str] = {
    "other type": "its type was another one",
    "times move": "times move with the partition",
    "too many values": "too many different values",
    "no values": "there are no values",
}


def render_page(report: Report, context: Context | None = None, *, root: str | None = None) -> str:
    """The page of one version.

    Args:
        report: The version's.
        context: What surrounds it and what it is compared with.
        root: The way from the page to its table's; None: there are no pages beside it to go to.
    """
    before, after = (None, None) if context is None else (context.before, context.after)
    compared = [] if context is None else [c for c in (context.previous, context.baseline) if c is not None]
    baseline = None if context is None else context.baseline
    return _rendered(
        "report_page.html.jinja",
        report=report,
        links=None if root is None else {"root": root, "before": before, "after": after},
        history=None if context is None else _surroundings(report, context),
        fresh=None if context is None or context.after_end_s is None else _freshness_in_words(context.after_end_s),
        drawn={column.name: _spread(column, report.profile.rows, baseline) for column in report.profile.columns},
        drifts={
            column.name: [(c.label, c.drifts[column.name]) for c in compared if column.name in c.drifts]
            for column in report.profile.columns
        },
        compared=" and ".join(f"{c.name} ({wording.counted(c.rows, 'row')})" for c in compared),
        baseline_drawn=baseline is not None and bool(report.profile.rows),
    )


def render_overview_page(overview: Overview, *, linked: bool = False) -> str:
    """The page of a table.

    Args:
        overview: The table's.
        linked: Whether the page has pages beside it to go to.
    """
    series = {found.name: found for found in overview.series}
    published = [line.partition for line in overview.published]
    profile = overview.profile
    return _rendered(
        "overview_page.html.jinja",
        overview=overview,
        linked=linked,
        calendars=_calendars(overview),
        history=_history(overview),
        freshness=_freshness(overview),
        drawn={column.name: _spread(column, profile.rows, None) for column in profile.columns},
        through={name: _through(found, published) for name, found in series.items() if len(published) > 1},
        heat_previous=_heat(overview, published, "the partition before", "against_previous"),
        heat_baseline=_heat(overview, published, "the baseline", "against_baseline"),
        drifted={name: _drifted(found.against_baseline) for name, found in series.items()},
        lines=overview.partitions[-SHOWN_PARTITIONS:],
    )


def render_index_page(tables: Mapping[str, tuple[str, int]]) -> str:
    """The page from which all others are reached; by table its description and its number of partitions."""
    return _rendered("index_page.html.jinja", tables=tables)


def _rendered(template: str, **shown: Any) -> str:
    policy = POLICY.partition("; frame-ancestors")[0]
    return _environment().get_template(template).render(policy=policy, **shown)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("platform_assets.reports", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=wording.count,
        counted=wording.counted,
        size=wording.size,
        moment=wording.moment,
        duration=wording.duration,
        short=wording.short,
        cut=wording.cut,
        digests=_digests,
        commands=_commands,
        record=_record,
        place=_place,
        sample=_sample,
    )
    environment.globals.update(
        share=wording.share,
        share_width=_share_width,
        estimated=_estimated,
        not_compared=_NOT_COMPARED,
        shown_values=SHOWN_VALUES,
    )
    return environment


def _finalize(value: Any) -> Any:
    """Every printed text goes through here, so that none is forgotten; markup made by the template itself is done."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _share_width(part: int, whole: int) -> str:
    """A share as a length; what is there at all can be seen."""
    return "0" if not part or not whole else f"max(3px, {100 * part / whole:.3f}%)"


def _digests(text: str) -> Markup:
    """A text in which each digest is shortened; the whole one shows on hovering."""
    parts = (
        Markup('<code title="{}">{}</code>').format(part, wording.short(part)) if at % 2 else escape(visible(part))
        for at, part in enumerate(_DIGEST.split(text))
    )
    return Markup().join(parts)


def _commands(text: str) -> Markup:
    """A remedy, in which what stands between backticks is a command."""
    parts = (
        Markup("<code>{}</code>").format(visible(part)) if at % 2 else escape(visible(part))
        for at, part in enumerate(_COMMAND.split(text))
    )
    return Markup().join(parts)


def _record(raw: Excerpt) -> str:
    """A record without the line end that every record has."""
    return wording.cut(raw) if raw.left_out else _LINE_END.sub("", raw.text)


def _place(example: Example) -> str:
    first, last = wording.count(example.byte_start), wording.count(example.byte_end)
    return f"record {wording.count(example.record)}, bytes {first} to {last}"


def _sample(sample: Sample) -> str:
    if sample.method == "every-nth-record":
        return f"a sample: every {sample.every_record}. record ({100 * sample.fraction:.3g} %), no seed"
    return f"a sample: by hash of the record ({100 * sample.fraction:.3g} %), seed {sample.seed}"


def _estimated(column: ColumnProfile, figure: str) -> str:
    """How a figure was estimated, in words; nothing when it is exact."""
    found = column.estimate(figure)
    if found is None:
        return "estimated" if figure == "distinct" and column.distinct_is_approximate else ""
    error = found.error or 0.0
    return {
        "hyperloglog": f"estimated, standard error {wording.percent(error)}",
        "largest-part": "at least",
        "merged-ladders": f"estimated from parts, off by {wording.percent(error)} of the rows at most",
        "merged-values": f"lower bounds, up to {wording.count(round(error))} rows too few",
        "sampled": "estimated on a sample",
    }[found.method]


def _surroundings(report: Report, context: Context) -> Markup:
    lines = context.neighbours
    words = (
        f"Valid rows and share of quarantined records of {wording.counted(len(lines), 'partition')} from "
        f"{lines[0].partition} to {lines[-1].partition}. {report.partition} has "
        f"{wording.counted(report.flow.valid_rows, 'valid row')}, and "
        f"{wording.share(report.flow.quarantined_rows, report.flow.records)} of its records are in quarantine."
    )
    keys = [line.partition for line in lines]
    rows = [math.nan if line.valid_rows is None else float(line.valid_rows) for line in lines]
    refused = [math.nan if line.valid_rows is None else line.refused_share for line in lines]
    return plots.history(words, Through(keys, rows), Through(keys, refused), context.marked)


def _freshness_in_words(seconds: float) -> str:
    if seconds < 0:
        return f"{wording.duration(-seconds)} before its period ended"
    return f"{wording.duration(seconds)} after its period ended"


def _spread(column: ColumnProfile, rows: int, baseline: Compared | None) -> Markup:
    """The plot of a column's values; nothing when there is none to draw."""
    other = None if baseline is None else baseline.columns.get(column.name)
    values = rows - column.nulls
    if column.histogram is not None:
        reference = _reference(column.histogram, other, values)
        return plots.histogram(_histogram_in_words(column, column.histogram), column.histogram, reference)
    if not column.top_values or not values:
        return Markup()
    top = column.top_values[:SHOWN_VALUES]
    names = [wording.cut(found.value) for found in top]
    shares = [found.rows / values for found in top]
    listed: list[float] | None = None
    if other is not None and baseline is not None and other.summary is not None and other.summary.complete:
        counts = dict(other.summary.values)
        listed = [counts.get(found.value.text, 0) / max(1, baseline.rows - other.nulls) for found in top]
    words = "Most frequent values: " + ", ".join(
        f"{name or '(empty)'} {wording.percent(part)}" for name, part in zip(names, shares, strict=True)
    )
    return plots.shares(words, names, shares, listed)


def _reference(histogram: Histogram, other: ColumnProfile | None, values: int) -> list[float] | None:
    """How many values each bin would have if they spread as in the baseline."""
    if other is None or other.summary is None or other.summary.unit != histogram.unit or histogram.unit == "epoch_s":
        return None
    found = spread_over(other.summary, histogram)
    return None if found is None else [float(share) * values for share in found]


def _histogram_in_words(column: ColumnProfile, histogram: Histogram) -> str:
    most = max(histogram.rows)
    return (
        f"Histogram of {column.name} in {len(histogram.rows)} bins. "
        f"The fullest holds {wording.count(most)} rows: {_between(histogram, histogram.rows.index(most))}."
    )


def _between(histogram: Histogram, index: int) -> str:
    low, width = histogram.start + index * histogram.width, histogram.width
    if histogram.unit == "value" and width == 1 and low.is_integer():
        return wording.point(histogram.unit, low, width)
    if histogram.unit == "epoch_s" and width == _DAY:
        return wording.point(histogram.unit, low, width)
    return f"{wording.point(histogram.unit, low, width)} to {wording.point(histogram.unit, low + width, width)}"


def _calendars(overview: Overview) -> dict[str, Markup]:
    lines = overview.partitions
    most = max((line.valid_rows for line in overview.published), default=0)
    worst = max((_refused(line) for line in overview.published), default=0.0)
    rows = [_cell(line, line.valid_rows / most if most else 0.0) for line in lines]
    # a root, so that one record in a thousand is seen beside a day that is all wrong
    refused = [_cell(line, math.sqrt(_refused(line) / worst) if worst else 0.0) for line in lines]
    about = f"{overview.table} from {lines[0].partition} to {lines[-1].partition}"
    return {
        "rows": plots.calendar(f"Calendar of valid rows of {about}", overview.cadence, rows),
        "quarantine": plots.calendar(
            f"Calendar of the share of records in quarantine of {about}", overview.cadence, refused, bad=True
        ),
    }


def _cell(line: PartitionLine, strength: float) -> Cell:
    if line.state == "published":
        said = (
            f"{wording.counted(line.valid_rows, 'row')}, {wording.count(line.quarantined_rows)} quarantined "
            f"({wording.share(line.quarantined_rows, line.records)}), version {line.version}"
        )
        said += ", a newer candidate is held" if line.held else ""
        return Cell(line.partition, strength, line.held, f"{line.partition}: {said}")
    said = "held, nothing is published" if line.state == "held" else line.state
    return Cell(line.partition, None, line.state != "missing", f"{line.partition}: {said}")


def _refused(line: PartitionLine) -> float:
    return line.quarantined_rows / line.records if line.records else 0.0


def _history(overview: Overview) -> Markup:
    lines = overview.partitions[-plots.SHOWN_CELLS :]
    keys = [line.partition for line in lines]
    there = [line.state == "published" for line in lines]
    rows = [float(line.valid_rows) if is_there else math.nan for line, is_there in zip(lines, there, strict=True)]
    refused = [_refused(line) if is_there else math.nan for line, is_there in zip(lines, there, strict=True)]
    words = (
        f"Valid rows and share of quarantined records of {wording.counted(len(lines), 'partition')} "
        f"from {keys[0]} to {keys[-1]}; {there.count(False)} of them have nothing published."
    )
    return plots.history(words, Through(keys, rows), Through(keys, refused))


def _freshness(overview: Overview) -> dict[str, Any] | None:
    """The plot, and the extremes in words."""
    found = [line.after_end_s for line in overview.published]
    known = sorted(seconds for seconds in found if seconds is not None)
    if not known:
        return None
    middle, worst = known[len(known) // 2], known[-1]
    said = f"The middle one {_freshness_in_words(middle)}, the latest {_freshness_in_words(worst)}."
    days = [math.nan if seconds is None else seconds / _DAY for seconds in found]
    keys = [line.partition for line in overview.published]
    words = f"Days between the end of each partition's period and the commit of its current version. {said}"
    return {"plot": plots.freshness(words, Through(keys, days)), "said": said}


def _through(series: ColumnSeries, published: Sequence[str]) -> dict[str, Markup]:
    """A column's plots over the partitions."""
    drawn: dict[str, Markup] = {}
    if series.unit is not None and len({*series.low, *series.high} - {None}) > 1:
        low, median, high = (_numbers(published, values) for values in (series.low, series.median, series.high))
        words = f"Median of {series.name} in each partition, and the range from 5 % to 95 % of its values"
        drawn["Median, and 5 % to 95 %, by partition"] = plots.band(words, series.unit, low, median, high)
    elif series.unit is None and len(set(series.distinct)) > 1:
        words = f"Number of different values of {series.name} in each partition"
        drawn["Different values by partition"] = plots.trend(words, _numbers(published, series.distinct))
    if any(series.null_share):
        words = f"Share of nulls of {series.name} in each partition, in percent"
        nulls = [None if share is None else 100 * share for share in series.null_share]
        drawn["Nulls by partition, in percent"] = plots.trend(words, _numbers(published, nulls))
    return drawn


def _numbers(partitions: Sequence[str], values: Sequence[float | None]) -> Through:
    return Through(partitions, [math.nan if value is None else float(value) for value in values])


def _heat(overview: Overview, published: Sequence[str], against: str, which: str) -> Markup | None:
    if len(published) < 2:
        return None
    compared = [found for found in overview.series if any(psi is not None for psi in getattr(found, which).psi)]
    if not compared:
        return None
    strengths = []
    for found in compared:
        drifts: DriftSeries = getattr(found, which)
        strengths.append([_strength(drifts.at(index)) for index in range(len(published))])
    words = f"Drift of {wording.counted(len(compared), 'column')} of each partition from {against}; the darker the more"
    return plots.heat(words, published, [found.name for found in compared], strengths)


def _strength(drift: ColumnDrift) -> float:
    """From 0 to 1 at twice what counts as strong; what may be chance is hardly seen."""
    if drift.psi is None:
        return math.nan
    strength = min(1.0, drift.psi / (2 * STRONG))
    return strength if drift.level in {"notable", "strong"} else min(0.12, strength)


def _drifted(drifts: DriftSeries) -> dict[str, Any]:
    """How often, and how far, a column differed."""
    found = [drifts.at(index) for index in range(len(drifts.psi))]
    compared = [drift for drift in found if drift.psi is not None]
    strong = [index for index, drift in enumerate(found) if drift.level in {"notable", "strong"}]
    return {
        "compared": len(compared),
        "notable": len(strong),
        "most": max((drift.psi or 0.0 for drift in compared), default=None),
        "why": "" if compared else next((drift.why for drift in found if drift.why not in {"", "first"}), ""),
        "threshold": NOTABLE,
    }
