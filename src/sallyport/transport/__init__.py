"""Takes sealed bundles and receipts -> gets them across: on a medium that somebody carries."""

from sallyport.transport.choose import GROUP, open_transport
from sallyport.transport.interface import Transport

__all__ = ["GROUP", "Transport", "open_transport"]
