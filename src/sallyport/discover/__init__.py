"""Takes files, folders or a running cluster -> gives the images that they name, each with its place."""

from sallyport.discover.discover import KINDS, Kind, discover
from sallyport.discover.model import Found, Noted, Wanted, wanted
from sallyport.discover.write import quoted, render_section

__all__ = ["KINDS", "Found", "Kind", "Noted", "Wanted", "discover", "quoted", "render_section", "wanted"]
