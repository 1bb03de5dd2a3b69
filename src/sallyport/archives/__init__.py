"""Takes the address of a signed package archive -> gives verified indexes and packages."""

from sallyport.archives.archive import Archive
from sallyport.archives.bootstrap import load_keyring
from sallyport.archives.changelog import changelog_of
from sallyport.archives.control import parse_stanza, parse_stanzas, render_stanza
from sallyport.archives.deb import Deb
from sallyport.archives.keyring import HOST_KEYRINGS, PUBLISHED, Keyring, host_keyring, published_keyring, read_keyring
from sallyport.archives.mirrors import Mirrors, apt_proxies, find_mirrors
from sallyport.archives.model import BinaryPackage, Release, Suite
from sallyport.archives.packages import PackageIndex
from sallyport.archives.platforms import debian_architecture
from sallyport.archives.relations import Relation, parse_relations, satisfied
from sallyport.archives.release import Listed, ReleaseFile, parse_release
from sallyport.archives.signature import RELEASE_LIMIT, SignedText, verify_detached, verify_inrelease
from sallyport.archives.version import DebianKey, compare_debian, debian_key

__all__ = [
    "HOST_KEYRINGS",
    "PUBLISHED",
    "RELEASE_LIMIT",
    "Archive",
    "BinaryPackage",
    "Deb",
    "DebianKey",
    "Keyring",
    "Listed",
    "Mirrors",
    "PackageIndex",
    "Relation",
    "Release",
    "ReleaseFile",
    "SignedText",
    "Suite",
    "apt_proxies",
    "changelog_of",
    "compare_debian",
    "debian_architecture",
    "debian_key",
    "find_mirrors",
    "host_keyring",
    "load_keyring",
    "parse_relations",
    "parse_release",
    "parse_stanza",
    "parse_stanzas",
    "published_keyring",
    "read_keyring",
    "render_stanza",
    "satisfied",
    "verify_detached",
    "verify_inrelease",
]
