"""Takes bytes and facts -> gives them back, whole: blobs by digest, tags, the journal."""

from sallyport.store.directory import DirectoryStore
from sallyport.store.gc import collect_garbage
from sallyport.store.interface import Adopting, Aging, BlobStore, BlobWriter
from sallyport.store.manifests import reach
from sallyport.store.model import Collected, Event, Held, LetGo, Problem, Tag
from sallyport.store.retain import Protected, Retention, RetentionRule, retain
from sallyport.store.s3 import S3Store
from sallyport.store.scrub import Scrubbed, scrub_once, scrubbing
from sallyport.store.state import State
from sallyport.store.store import Store, open_store
from sallyport.store.verify import verify_store
from sallyport.store.watch import Watch

__all__ = [
    "Adopting",
    "Aging",
    "BlobStore",
    "BlobWriter",
    "Collected",
    "DirectoryStore",
    "Event",
    "Held",
    "LetGo",
    "Problem",
    "Protected",
    "Retention",
    "RetentionRule",
    "S3Store",
    "Scrubbed",
    "State",
    "Store",
    "Tag",
    "Watch",
    "collect_garbage",
    "open_store",
    "reach",
    "retain",
    "scrub_once",
    "scrubbing",
    "verify_store",
]
