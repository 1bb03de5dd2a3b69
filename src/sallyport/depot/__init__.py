"""Takes what a package manager asks for -> gives it as upstream signed or named it, checked, if it is allowed."""

from sallyport.depot.model import Repository
from sallyport.depot.routes import PackagesLike, depot_routes

__all__ = ["PackagesLike", "Repository", "depot_routes"]
