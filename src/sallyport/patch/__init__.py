"""Takes findings and a signed archive -> gives a patched image."""

from sallyport.patch.model import Patched, PatchPlan, Upgrade

__all__ = ["PatchPlan", "Patched", "Upgrade"]
