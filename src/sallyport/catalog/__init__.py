"""Takes an image -> gives its bill of materials."""

from sallyport.catalog.catalogue import catalogue, load_cataloguers
from sallyport.catalog.interface import Cataloguer
from sallyport.catalog.model import Bill, Distribution, Package

__all__ = ["Bill", "Cataloguer", "Distribution", "Package", "catalogue", "load_cataloguers"]
