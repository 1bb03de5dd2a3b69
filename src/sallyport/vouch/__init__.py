"""Takes an upstream image and what is attached to it -> gives who vouches for it, or says why nobody does."""

from sallyport.vouch.check import make_check
from sallyport.vouch.interface import Check
from sallyport.vouch.key import UpstreamKey
from sallyport.vouch.model import Need, Rule, Vouched

__all__ = ["Check", "Need", "Rule", "UpstreamKey", "Vouched", "make_check"]
