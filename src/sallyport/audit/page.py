"""HTML that carries nothing but text and its own style: no script, no picture, no other host."""

from __future__ import annotations

import base64
import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sallyport.audit.model import Report
from sallyport.audit.summary import SEVERITIES, summarise, verdict_word
from sallyport.engine import render_time

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).with_name("templates")


@functools.cache
def style() -> str:
    """The style sheet of the report and of the status page."""
    return (_FOLDER / "style.css").read_text(encoding="utf-8")


@functools.cache
def content_security_policy() -> str:
    """Nothing may be loaded or run; the one style sheet is named by its hash."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render(report: Report, template: str = "report.html") -> str:
    """``report`` as a page: "report.html" for the archive, "status.html" for the wall."""
    return (
        _environment()
        .get_template(f"{template}.j2")
        .render(
            report=report,
            summary=summarise(report),
            severities=SEVERITIES,
            policy=content_security_policy(),
        )
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        # Always: package names, changelogs and tags come from strangers.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["day"] = _day
    environment.filters["moment"] = _moment
    environment.filters["machine"] = render_time
    environment.filters["visible"] = visible
    environment.globals["verdict_word"] = verdict_word
    environment.globals["style"] = Markup(style())  # noqa: S704 - our own file
    environment.globals["plural"] = _plural
    return environment


def visible(text: Any) -> str:
    """Text without characters that hide or turn round what stands beside them (CVE-2021-42574)."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in str(text))


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%-d %b %Y")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
