"""Takes a site -> gives its registry, running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sallyport.errors import UsageError
from sallyport.site import Site


@contextmanager
def serve(
    site: Site,
    *,
    listen: str = "",
    writable: bool = False,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> Iterator[str]:
    """The store as a registry, with the status page at its root, while the block runs; gives its address."""
    from sallyport.registry import make_app
    from sallyport.registry import serve as start
    from sallyport.web import status_routes

    host, port = _address(listen or site.config.listen)
    title = f"{site.config.destination}, {site.config.side}"
    app = make_app(site.store, writable=writable, extra_routes=status_routes(site.store, title))
    with start(app, host=host, port=port, certificate=certificate, key=private_key) as serving:
        yield serving.url


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{listen!r} is no address to listen on", "write it like 127.0.0.1:5000")
    return host.strip("[]"), int(port)


@contextmanager
def serve_gateway(
    site: Site, *, listen: str = "", certificate: Path | None = None, private_key: Path | None = None
) -> Iterator[str]:
    """The vetted pull-through of ``gateway`` in the configuration, while the block runs; gives its address.

    Raises:
        UsageError: this is no outside, an address that is none, or a rule that names no registry.
    """
    from sallyport.admission import SiteAdmit
    from sallyport.config import duration
    from sallyport.gateway import Terms, make_allow, make_gateway
    from sallyport.oci import Platform
    from sallyport.registry import serve as start

    section = site.config.gateway
    host, port = _address(listen or section.listen)
    rules = [
        make_allow(rule.images, rule.tags, [Platform.parse(text) for text in rule.platforms], rule.prefer)
        for rule in section.allow
    ]
    terms = Terms(duration(section.fresh_for), duration(section.serve_stale_for), section.wait_s)
    gateway = make_gateway(
        site.store, rules, SiteAdmit(site), clock=site.clock, terms=terms, default=section.default_registry
    )
    try:
        with start(gateway, host=host, port=port, certificate=certificate, key=private_key) as serving:
            yield serving.url
    finally:
        gateway.close()
