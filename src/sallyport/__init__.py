"""sallyport keeps the container images of isolated sites patched."""

__version__ = "0.1.0"
