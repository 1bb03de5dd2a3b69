"""Takes scans and a policy -> gives a verdict."""

from sallyport.gate.judge import judge
from sallyport.gate.model import Passed, Policy, Refused, Undecided, Verdict, Waiver

__all__ = ["Passed", "Policy", "Refused", "Undecided", "Verdict", "Waiver", "judge"]
