"""Takes a signed archive and a list of packages -> gives an image, layer by layer, without root or scripts."""

from sallyport.compose import finish
from sallyport.compose.compose import (
    ImageSpec,
    LayerSpec,
    compose_image,
    keep_blob,
    wanted_packages,
    write_draft,
)
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
from sallyport.compose.solve import closure
from sallyport.compose.unpack import Unpacked, owned_paths, unpack
from sallyport.compose.upstreams import APP, DISTROLESS, MINIMAL, PLATFORMS, WEB, Upstream, compose_all

__all__ = [
    "APP",
    "DISTROLESS",
    "MINIMAL",
    "PLATFORMS",
    "WEB",
    "Content",
    "DatabaseFile",
    "DpkgDatabase",
    "Draft",
    "ImageSpec",
    "Installed",
    "LayerSpec",
    "Style",
    "Unpacked",
    "Upstream",
    "closure",
    "compose_all",
    "compose_image",
    "finish",
    "is_database_file",
    "keep_blob",
    "owned_paths",
    "read_database",
    "record",
    "unpack",
    "wanted_packages",
    "write_draft",
]
