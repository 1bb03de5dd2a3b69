"""Takes a bill and feeds -> gives findings."""

from sallyport.match.find import Known, find, scan
from sallyport.match.model import Finding, Scan, SourceDate

__all__ = ["Finding", "Known", "Scan", "SourceDate", "find", "scan"]
