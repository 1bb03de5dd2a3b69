"""Takes bytes -> gives what an image is: digests, descriptors, manifests, indexes, references, layers, layouts."""

from sallyport.oci import media_types
from sallyport.oci.codec import decode, encode, to_builtins
from sallyport.oci.compression import Compression, GzipSink, decompress, inflate
from sallyport.oci.config import ImageConfig, parse_config
from sallyport.oci.descriptor import NO_ANNOTATIONS, Descriptor, Platform
from sallyport.oci.digest import CHUNK, Digest, Hasher, verified
from sallyport.oci.entry import NO_XATTRS, OPAQUE, WHITEOUT, Entry, Kind
from sallyport.oci.interface import BlobReader
from sallyport.oci.layer import LayerWriter, read_layer
from sallyport.oci.manifest import EMPTY_CONFIG, Index, Manifest, build_index, build_manifest, parse_manifest
from sallyport.oci.reference import Reference, is_repository, is_tag
from sallyport.oci.strict_json import JSON, MANIFEST_LIMIT, parse_json, render_json
from sallyport.oci.tar import NO_LIMITS, TarLimits, read_tar
from sallyport.oci.tar_writer import TarWriter

__all__ = [
    "BlobReader",
    "CHUNK",
    "Compression",
    "Descriptor",
    "Digest",
    "EMPTY_CONFIG",
    "Entry",
    "GzipSink",
    "Hasher",
    "ImageConfig",
    "Index",
    "JSON",
    "Kind",
    "LayerWriter",
    "MANIFEST_LIMIT",
    "Manifest",
    "NO_ANNOTATIONS",
    "NO_LIMITS",
    "NO_XATTRS",
    "OPAQUE",
    "Platform",
    "Reference",
    "TarLimits",
    "TarWriter",
    "WHITEOUT",
    "build_index",
    "build_manifest",
    "decode",
    "decompress",
    "encode",
    "inflate",
    "is_repository",
    "is_tag",
    "media_types",
    "parse_config",
    "parse_json",
    "parse_manifest",
    "read_layer",
    "read_tar",
    "render_json",
    "to_builtins",
    "verified",
]
