"""Takes another mirror tool's configuration -> gives ours, and what could not be carried over."""

from sallyport.adopt.adopt import KINDS, adopt
from sallyport.adopt.model import Adopted, Lost
from sallyport.adopt.write import render

__all__ = ["KINDS", "Adopted", "Lost", "adopt", "render"]
