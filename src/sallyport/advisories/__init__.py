"""Takes bills -> gives what is known to be wrong with what they name."""

from sallyport.advisories.feed_zip import export_feed, read_feed
from sallyport.advisories.interface import AdvisorySource, Means, SourceMaker, VersionOrder
from sallyport.advisories.make import make_source
from sallyport.advisories.model import Advisory, Asked, Evidence, Feed, Severity
from sallyport.advisories.severity import worst
from sallyport.advisories.versions import Stretch, concerns, order_of

__all__ = [
    "Advisory",
    "AdvisorySource",
    "Asked",
    "Evidence",
    "Feed",
    "Means",
    "Severity",
    "SourceMaker",
    "Stretch",
    "VersionOrder",
    "concerns",
    "export_feed",
    "make_source",
    "order_of",
    "read_feed",
    "worst",
]
