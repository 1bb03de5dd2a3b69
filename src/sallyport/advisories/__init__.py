"""Takes bills -> gives what is known to be wrong with what they name."""

from sallyport.advisories.interface import AdvisorySource
from sallyport.advisories.model import Advisory, Evidence, Feed, Severity

__all__ = ["Advisory", "AdvisorySource", "Evidence", "Feed", "Severity"]
