"""An address -> the transport that its scheme names."""

from __future__ import annotations

from collections.abc import Callable

from sallyport import plugins
from sallyport.errors import UsageError
from sallyport.transport.interface import Transport

GROUP = "sallyport.transports"


def open_transport(address: str) -> Transport:
    """Open ``media:/path/to/the/medium``; only the named transport's own file is imported.

    Raises:
        UsageError: no scheme, or none that is known (the mend lists those that are).
    """
    scheme, colon, rest = address.partition(":")
    if not colon or not rest or "/" in scheme:
        raise UsageError(f"{address[:80]!r} is not the address of a transport", "write it like media:/media/usb0")
    maker: Callable[[str], Transport] = plugins.load(GROUP, scheme)
    return maker(rest)
