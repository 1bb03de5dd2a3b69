"""A kind -> the destination that an entry point registers for it."""

from __future__ import annotations

from sallyport import plugins
from sallyport.deliver.interface import Destination, Make
from sallyport.deliver.model import Settings
from sallyport.engine import Http
from sallyport.registry import Login

GROUP = "sallyport.destinations"


def make_destination(settings: Settings, http: Http, login: Login | None) -> Destination:
    """The destination; only its own file is imported.

    Raises:
        UsageError: no such kind is installed (the mend lists those that are).
        ConfigError: its settings do not fit it.
    """
    make: Make = plugins.load(GROUP, settings.kind)
    return make(settings, http, login)
