"""Takes the address of a signed package archive -> gives verified indexes and packages."""

from sallyport.archives.model import BinaryPackage, Release, Suite

__all__ = ["BinaryPackage", "Release", "Suite"]
