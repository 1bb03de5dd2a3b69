"""Takes a signed archive and a list of packages -> gives an image, layer by layer, without root or scripts."""

from sallyport.compose.dpkg import (
    DatabaseFile,
    DpkgDatabase,
    Installed,
    Style,
    is_database_file,
    read_database,
    record,
)
from sallyport.compose.draft import Content, Draft
from sallyport.compose.unpack import Unpacked, owned_paths, unpack

__all__ = [
    "Content",
    "DatabaseFile",
    "DpkgDatabase",
    "Draft",
    "Installed",
    "Style",
    "Unpacked",
    "is_database_file",
    "owned_paths",
    "read_database",
    "record",
    "unpack",
]
