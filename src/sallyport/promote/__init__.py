"""Takes an immutable tag -> gives a channel that names the same image."""

from sallyport.promote.model import Promotion
from sallyport.promote.promote import promote

__all__ = ["Promotion", "promote"]
