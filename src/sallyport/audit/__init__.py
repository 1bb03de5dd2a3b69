"""Takes a store -> gives proof of what was done: the report, and the figures behind it."""

from sallyport.audit.look import look
from sallyport.audit.model import ImageReport, JournalReport, PlatformReport, Report, SourceReport
from sallyport.audit.page import content_security_policy, render
from sallyport.audit.report import write_report
from sallyport.audit.summary import Row, Summary, rows_of, summarise

__all__ = [
    "ImageReport",
    "JournalReport",
    "PlatformReport",
    "Report",
    "Row",
    "SourceReport",
    "Summary",
    "content_security_policy",
    "look",
    "render",
    "rows_of",
    "summarise",
    "write_report",
]
