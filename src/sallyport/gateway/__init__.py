"""Takes what a client asks for -> gives it once it was fetched, scanned, judged and found good; refuses the rest."""

from typing import TYPE_CHECKING, Any

from sallyport.gateway.interface import Admit
from sallyport.gateway.model import Admitted, Allow, Rejected, Terms, Wanted
from sallyport.gateway.names import Asked, allow_for, make_allow, our_repository, parse_asked

if TYPE_CHECKING:
    from sallyport.gateway.app import make_gateway

__all__ = [
    "Admit",
    "Admitted",
    "Allow",
    "Asked",
    "Rejected",
    "Terms",
    "Wanted",
    "allow_for",
    "make_allow",
    "make_gateway",
    "our_repository",
    "parse_asked",
]


def __getattr__(name: str) -> Any:
    # Only who serves pays for the web framework.
    if name == "make_gateway":
        from sallyport.gateway.app import make_gateway as found

        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
