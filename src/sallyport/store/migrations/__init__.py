"""The shape of the state database, one step per file; run on open by :mod:`sallyport.store.database`."""

HEAD = "0001"
"""The newest step. A test compares it with the files."""
