"""Takes files, folders or a running cluster -> gives the images that they name, each with its place."""

from sallyport.discover.discover import KINDS, Kind, discover
from sallyport.discover.documents import Leaf, Map, Seq, Value, read_documents
from sallyport.discover.files import read_file, text_of
from sallyport.discover.model import Found, Noted, Wanted, wanted
from sallyport.discover.write import quoted, render_section

__all__ = [
    "KINDS",
    "Found",
    "Kind",
    "Leaf",
    "Map",
    "Noted",
    "Seq",
    "Value",
    "Wanted",
    "discover",
    "quoted",
    "read_documents",
    "read_file",
    "render_section",
    "text_of",
    "wanted",
]
