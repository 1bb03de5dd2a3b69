"""Takes bytes and facts -> gives them back, whole: blobs by digest, tags, the journal."""

from sallyport.store.directory import DirectoryStore
from sallyport.store.interface import BlobStore, BlobWriter
from sallyport.store.model import Event, Held, Tag
from sallyport.store.state import State
from sallyport.store.store import Store, open_store

__all__ = ["BlobStore", "BlobWriter", "DirectoryStore", "Event", "Held", "State", "Store", "Tag", "open_store"]
