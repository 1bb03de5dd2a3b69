"""Takes ``sallyport.yaml`` -> gives validated settings. Paths in the file are relative to the file."""

from sallyport.config.access import AccessSection, QuotaSection, RuleSection, TokenSection
from sallyport.config.archive import ArchiveSection
from sallyport.config.deliver import DestinationSection, RenameSection
from sallyport.config.discover import DiscoverSection
from sallyport.config.gateway import AllowSection, GatewaySection, PackagesSection
from sallyport.config.load import NAME, example, load_config, schema
from sallyport.config.mirror import AlternativeSection, MirrorSection, RegistrySection
from sallyport.config.policy import AdvisorySection, PolicySection, WaiverSection
from sallyport.config.section import Address, ByteSize, Duration, Section, byte_size, duration
from sallyport.config.sides import Config, GitopsSection, InsideSection, OutsideSection
from sallyport.config.storage import RetentionSection, ScrubSection, StorageSection
from sallyport.config.trust import TrustSection

__all__ = [
    "NAME",
    "AccessSection",
    "Address",
    "AdvisorySection",
    "AllowSection",
    "AlternativeSection",
    "ArchiveSection",
    "ByteSize",
    "Config",
    "DestinationSection",
    "DiscoverSection",
    "Duration",
    "GatewaySection",
    "GitopsSection",
    "InsideSection",
    "MirrorSection",
    "OutsideSection",
    "PackagesSection",
    "PolicySection",
    "QuotaSection",
    "RegistrySection",
    "RenameSection",
    "RetentionSection",
    "RuleSection",
    "ScrubSection",
    "Section",
    "StorageSection",
    "TokenSection",
    "TrustSection",
    "WaiverSection",
    "byte_size",
    "duration",
    "example",
    "load_config",
    "schema",
]
