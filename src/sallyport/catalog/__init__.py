"""Takes an image -> gives its bill of materials."""

from sallyport.catalog.model import Bill, Distribution, Package

__all__ = ["Bill", "Distribution", "Package"]
