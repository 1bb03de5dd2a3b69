"""Takes findings and a signed archive -> gives a patched image."""

from sallyport.patch.model import (
    Change,
    ChangedFile,
    Handling,
    Judged,
    Patched,
    PatchPlan,
    Script,
    UnknownScriptError,
    UnsatisfiableError,
    Upgrade,
)
from sallyport.patch.patch import patch
from sallyport.patch.plan import plan_patch
from sallyport.patch.write import patch_index

__all__ = [
    "Change",
    "ChangedFile",
    "Handling",
    "Judged",
    "PatchPlan",
    "Patched",
    "Script",
    "UnknownScriptError",
    "UnsatisfiableError",
    "Upgrade",
    "patch",
    "patch_index",
    "plan_patch",
]
