"""Whether a redirect may be followed: nobody outside sends us to an address inside."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit


def leads_inside(url: str, target: str) -> bool:
    """Whether ``target`` is on this machine or a private network while ``url`` is not.

    A name that does not resolve here is reached by a proxy or not at all, and is no address inside.
    """
    return _inside(target) and not _inside(url)


def _inside(url: str) -> bool:
    return any(not address.is_global for address in _addresses(urlsplit(url).hostname or ""))


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    try:
        found = [ip_address(host)]
    except ValueError:
        try:
            found = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in socket.getaddrinfo(host, None)]
        except (OSError, UnicodeError, ValueError):
            return []
    mapped = [one.ipv4_mapped if isinstance(one, IPv6Address) else None for one in found]
    return [inner or one for one, inner in zip(found, mapped, strict=True)]
