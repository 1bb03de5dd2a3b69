"""Figures for monitoring. Source: Prometheus text exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sallyport.audit import Report, summarise

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(report: Report) -> str:
    """The report's figures as gauges; ages are at the time at which the report was made."""
    summary = summarise(report)
    # The oldest answer that any current scan rests on: what an alarm should look at.
    ages = {source.source: (report.made_at - source.as_of).total_seconds() for source in report.sources}
    last = report.journal.recent[0].at.timestamp() if report.journal.recent else None
    return "".join(
        (
            *_gauge("images", "Current images by verdict.", summary.verdicts, label="verdict"),
            *_gauge("images_unscanned", "Current images of which a platform was not scanned.", summary.unscanned),
            *_gauge(
                "vulnerabilities",
                "Vulnerabilities in current images, counted once for each image.",
                {severity.value: count for severity, count in summary.after_by.items()},
                label="severity",
            ),
            *_gauge("vulnerabilities_fixable", "Those with a known fix.", summary.fixable),
            *_gauge("vulnerabilities_closed", "Those that patching closed.", summary.closed),
            *_gauge("feed_age_seconds", "Age of the oldest answer of an advisory source.", ages, label="source"),
            *_gauge("journal_lines", "Lines of the journal.", report.journal.lines),
            *_gauge("journal_intact", "1 while the journal's chain holds.", int(report.journal.whole)),
            *_gauge("unreadable_facts", "Facts in the store that could not be read.", len(report.problems)),
            *(_gauge("last_event_timestamp_seconds", "Time of the newest event.", last) if last is not None else ()),
        )
    )


def _gauge(name: str, text: str, value: float | Mapping[str, float], *, label: str = "") -> Iterable[str]:
    yield f"# HELP sallyport_{name} {text}\n# TYPE sallyport_{name} gauge\n"
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f'sallyport_{name}{{{label}="{_escaped(key)}"}} {item:.15g}\n'
    else:
        yield f"sallyport_{name} {value:.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
