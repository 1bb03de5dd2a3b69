"""Takes a bill and feeds -> gives findings."""

from sallyport.match.model import Finding, Scan, SourceDate

__all__ = ["Finding", "Scan", "SourceDate"]
