"""Takes a request's login and the rules -> gives who called and whether they may."""

from sallyport.access.interface import Guard
from sallyport.access.model import ANONYMOUS, Action, Caller, Decision, Kind

__all__ = ["ANONYMOUS", "Action", "Caller", "Decision", "Guard", "Kind"]
