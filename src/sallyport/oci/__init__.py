"""Takes bytes -> gives what an image is: digests, descriptors, manifests, indexes, references, layers, layouts."""

from sallyport.oci import media_types
from sallyport.oci.codec import decode, encode, to_builtins
from sallyport.oci.compression import Compression, GzipSink, decompress, inflate
from sallyport.oci.config import ImageConfig, parse_config
from sallyport.oci.descriptor import NO_ANNOTATIONS, Descriptor, Platform
from sallyport.oci.digest import CHUNK, Digest, Hasher, verified
from sallyport.oci.entry import NO_XATTRS, OPAQUE, WHITEOUT, Entry, Kind
from sallyport.oci.image import Image, is_manifest, load_image, load_images, load_manifest, reachable, read_blob, walk
from sallyport.oci.interface import BlobReader
from sallyport.oci.layer import LayerWriter, read_layer, read_members
from sallyport.oci.layout import REF_NAME, LayoutReader, write_layout
from sallyport.oci.listing import Listing, list_layer
from sallyport.oci.manifest import EMPTY_CONFIG, Index, Manifest, build_index, build_manifest, parse_manifest
from sallyport.oci.reference import Reference, is_repository, is_tag
from sallyport.oci.rootfs import Node, Rootfs
from sallyport.oci.strict_json import JSON, MANIFEST_LIMIT, parse_json, render_json
from sallyport.oci.tar import NO_LIMITS, TarLimits, read_tar
from sallyport.oci.tar_writer import TarWriter

__all__ = [
    "CHUNK",
    "EMPTY_CONFIG",
    "JSON",
    "MANIFEST_LIMIT",
    "NO_ANNOTATIONS",
    "NO_LIMITS",
    "NO_XATTRS",
    "OPAQUE",
    "REF_NAME",
    "WHITEOUT",
    "BlobReader",
    "Compression",
    "Descriptor",
    "Digest",
    "Entry",
    "GzipSink",
    "Hasher",
    "Image",
    "ImageConfig",
    "Index",
    "Kind",
    "LayerWriter",
    "LayoutReader",
    "Listing",
    "Manifest",
    "Node",
    "Platform",
    "Reference",
    "Rootfs",
    "TarLimits",
    "TarWriter",
    "build_index",
    "build_manifest",
    "decode",
    "decompress",
    "encode",
    "inflate",
    "is_manifest",
    "is_repository",
    "is_tag",
    "list_layer",
    "load_image",
    "load_images",
    "load_manifest",
    "media_types",
    "parse_config",
    "parse_json",
    "parse_manifest",
    "reachable",
    "read_blob",
    "read_layer",
    "read_members",
    "read_tar",
    "render_json",
    "to_builtins",
    "verified",
    "walk",
    "write_layout",
]
