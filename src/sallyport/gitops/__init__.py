"""Takes digests and a Git repository -> gives a commit that pins them."""

from sallyport.gitops.model import Change, Pinned, PinTo
from sallyport.gitops.pin import pin
from sallyport.gitops.repository import init_demo_repository, init_repository
from sallyport.gitops.rewrite import rewrite

__all__ = ["Change", "PinTo", "Pinned", "init_demo_repository", "init_repository", "pin", "rewrite"]
