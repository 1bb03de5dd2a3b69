"""Takes a sealed bundle -> gives imported images and a signed receipt: verify, quarantine, judge again, import."""

from sallyport.receive.interface import FeedReader, Judge, Scanner
from sallyport.receive.model import Outcome, Received, Step
from sallyport.receive.receipt import make_receipt, receipts_of
from sallyport.receive.receive import receive

__all__ = [
    "FeedReader",
    "Judge",
    "Outcome",
    "Received",
    "Scanner",
    "Step",
    "make_receipt",
    "receipts_of",
    "receive",
]
