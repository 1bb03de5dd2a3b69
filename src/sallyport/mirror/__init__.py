"""Takes selectors and registries -> gives images whole in the store: 1 of the journey."""

from sallyport.mirror.addresses import locate
from sallyport.mirror.copy import mirror, plan_mirror
from sallyport.mirror.interface import Source
from sallyport.mirror.model import Mirrored, Planned, Selector, make_selector
from sallyport.mirror.select import is_literal, select_tags

__all__ = [
    "Mirrored",
    "Planned",
    "Selector",
    "Source",
    "is_literal",
    "locate",
    "make_selector",
    "mirror",
    "plan_mirror",
    "select_tags",
]
