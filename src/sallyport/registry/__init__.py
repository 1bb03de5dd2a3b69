"""Takes references and a store -> gives what a registry holds, and is a registry: client, push, server."""

from typing import TYPE_CHECKING, Any

from sallyport.registry.client import RegistryClient, is_loopback, referrers_tag
from sallyport.registry.credentials import Credentials, DockerConfig, Login, OneLogin, load_credentials
from sallyport.registry.limits import RateLimit
from sallyport.registry.push import FOREIGN, PushPlan, carry_out, plan_push, push_image
from sallyport.registry.reach import Endpoint, Mirror, Reach, Rule
from sallyport.registry.reached import http_for, open_clients
from sallyport.registry.registries_conf import read_registries_conf
from sallyport.registry.serving import Serving, serve
from sallyport.registry.upload import Sessions

if TYPE_CHECKING:
    from sallyport.registry.replies import RefusalError, refusal
    from sallyport.registry.requests import parse_path
    from sallyport.registry.server import OnWrite, is_release_tag, make_app

__all__ = [
    "FOREIGN",
    "Credentials",
    "DockerConfig",
    "Endpoint",
    "Login",
    "Mirror",
    "OnWrite",
    "OneLogin",
    "PushPlan",
    "RateLimit",
    "Reach",
    "RefusalError",
    "RegistryClient",
    "Rule",
    "Serving",
    "Sessions",
    "carry_out",
    "http_for",
    "is_loopback",
    "is_release_tag",
    "load_credentials",
    "make_app",
    "open_clients",
    "parse_path",
    "plan_push",
    "push_image",
    "read_registries_conf",
    "referrers_tag",
    "refusal",
    "serve",
]


def __getattr__(name: str) -> Any:
    # Only who serves pays for the web framework.
    if name in ("OnWrite", "is_release_tag", "make_app"):
        from sallyport.registry import server

        return getattr(server, name)
    if name in ("RefusalError", "parse_path", "refusal"):
        from sallyport.registry import replies, requests

        return getattr(requests if name == "parse_path" else replies, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
