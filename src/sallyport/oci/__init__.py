"""Takes bytes -> gives what an image is: digests, descriptors, manifests, indexes, references, layers, layouts."""

from sallyport.oci import media_types
from sallyport.oci.codec import decode, encode, to_builtins
from sallyport.oci.config import ImageConfig, parse_config
from sallyport.oci.descriptor import NO_ANNOTATIONS, Descriptor, Platform
from sallyport.oci.digest import CHUNK, Digest, Hasher, verified
from sallyport.oci.entry import OPAQUE, WHITEOUT, Entry, Kind
from sallyport.oci.interface import BlobReader
from sallyport.oci.manifest import EMPTY_CONFIG, Index, Manifest, build_index, build_manifest, parse_manifest
from sallyport.oci.reference import Reference, is_repository, is_tag
from sallyport.oci.strict_json import JSON, MANIFEST_LIMIT, parse_json, render_json

__all__ = [
    "CHUNK",
    "EMPTY_CONFIG",
    "JSON",
    "MANIFEST_LIMIT",
    "NO_ANNOTATIONS",
    "OPAQUE",
    "WHITEOUT",
    "BlobReader",
    "Descriptor",
    "Digest",
    "Entry",
    "Hasher",
    "ImageConfig",
    "Index",
    "Kind",
    "Manifest",
    "Platform",
    "Reference",
    "build_index",
    "build_manifest",
    "decode",
    "encode",
    "is_repository",
    "is_tag",
    "media_types",
    "parse_config",
    "parse_json",
    "parse_manifest",
    "render_json",
    "to_builtins",
    "verified",
]
