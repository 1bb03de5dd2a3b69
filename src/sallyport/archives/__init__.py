"""Takes the address of a signed package archive -> gives verified indexes and packages."""

from sallyport.archives.model import BinaryPackage, Release, Suite
from sallyport.archives.relations import Relation, parse_relations, satisfied
from sallyport.archives.version import compare_debian, debian_key

__all__ = [
    "BinaryPackage",
    "Relation",
    "Release",
    "Suite",
    "compare_debian",
    "debian_key",
    "parse_relations",
    "satisfied",
]
