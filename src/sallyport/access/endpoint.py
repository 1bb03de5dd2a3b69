"""The token endpoint, where clients change a login for a short-lived token.

The token says who somebody is; what they may is decided at each request, so that a right which is taken away
ends at once. Source: distribution's "Token Authentication Specification".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sallyport.access.guard import TOKEN_PATH, RuledGuard
from sallyport.engine import render_time
from sallyport.errors import DeniedError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


AT_ONCE = 4
"""Passwords that are proven at the same time: each takes a core for a moment."""


def token_routes(guard: RuledGuard) -> tuple[BaseRoute, ...]:
    """``GET /token``; for a registry with logins."""
    from datetime import UTC, datetime

    from anyio import CapacityLimiter, to_thread
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    # Threads of their own: who guesses passwords must not keep those busy that serve.
    few = CapacityLimiter(AT_ONCE)

    async def token(request: Request) -> Response:
        address = request.client.host if request.client else ""
        try:
            authorization = request.headers.get("authorization", "")
            sealed, seconds = await to_thread.run_sync(guard.token, authorization, address, limiter=few)
        except DeniedError as error:
            body = {"errors": [{"code": "UNAUTHORIZED", "message": error.message, "detail": {}}]}
            return JSONResponse(body, 401, {"WWW-Authenticate": 'Basic realm="sallyport", charset="UTF-8"'})
        issued = render_time(datetime.now(UTC).replace(microsecond=0))
        return JSONResponse(
            {"token": sealed, "access_token": sealed, "expires_in": seconds, "issued_at": issued},
            headers={"Cache-Control": "no-store"},
        )

    return (Route(TOKEN_PATH, token, methods=["GET"]),)
