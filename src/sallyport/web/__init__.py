"""Takes a store -> gives its status to people and to monitoring, over HTTP."""

from sallyport.web.metrics import metrics
from sallyport.web.routes import status_routes

__all__ = ["metrics", "status_routes"]
