"""Takes a request's login and the rules -> gives who called and whether they may."""

from sallyport.access.endpoint import token_routes
from sallyport.access.guard import RuledGuard
from sallyport.access.htpasswd import Htpasswd
from sallyport.access.interface import Guard
from sallyport.access.model import ANONYMOUS, Action, Caller, Decision, Grant, Kind, Quota, Robot, fits
from sallyport.access.provider import Provider
from sallyport.access.robots import LOGIN_PREFIX, Robots, create_robot, list_robots, revoke_robot
from sallyport.access.rules import EVERYTHING

__all__ = [
    "ANONYMOUS",
    "EVERYTHING",
    "LOGIN_PREFIX",
    "Action",
    "Caller",
    "Decision",
    "Grant",
    "Guard",
    "Htpasswd",
    "Kind",
    "Provider",
    "Quota",
    "Robot",
    "Robots",
    "RuledGuard",
    "create_robot",
    "fits",
    "list_robots",
    "revoke_robot",
    "token_routes",
]
