"""Requests over HTTP: streamed, bounded, tried again where that is safe, never leaking a credential.

urllib3 is imported when the first :class:`Http` is made, not with this file.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from sallyport import __version__
from sallyport.engine.redirects import leads_inside
from sallyport.engine.slots import Slots
from sallyport.engine.tls import ClientCertificate, make_context
from sallyport.errors import OversizeError, UnreachableError, UsageError

if TYPE_CHECKING:
    import urllib3

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NO_CERTIFICATES: Mapping[str, ClientCertificate] = MappingProxyType({})
CHUNK = 1024 * 1024  # bytes in one piece of a body
REDIRECTS = 5
LONGEST_WAIT_S = 120.0  # a Retry-After beyond this is not waited for; the answer is handed back
_AGAIN = frozenset({429, 502, 503, 504})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_MOVED = frozenset({301, 302, 303, 307, 308})
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
_DRAIN = 64 * 1024  # bytes of an unwanted body that are cheaper to read than a new connection
_PORTS = {"http": 80, "https": 443}


class Response:
    """One answer; its body can be read once."""

    __slots__ = ("_raw", "_started", "headers", "status", "url")
    status: int
    headers: Mapping[str, str]  # names are case-insensitive; repeated headers are joined by ", "
    url: str  # after redirects, without credentials

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: str) -> None:
        self._raw = raw
        self._started = False
        self.status = raw.status
        self.headers = raw.headers
        self.url = url

    def chunks(self) -> Iterator[bytes]:
        """The body as it was sent, in pieces of at most 1 MiB.

        Raises:
            UnreachableError: the host broke off, or fell silent.
        """
        import urllib3

        self._started = True
        try:
            for chunk in self._raw.stream(CHUNK, decode_content=False):
                if chunk:
                    yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(
                f"{_place(self.url)} broke off in the middle of its answer: {_reason(error)}",
                "run the same command again; it resumes",
            ) from error

    def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            OversizeError: more than ``limit`` bytes.
            UnreachableError: the host broke off.
        """
        too_long = OversizeError(
            f"{_place(self.url)} sent more than the {limit} bytes that are allowed here",
            "check the address; if it is right, report it to whoever runs that host",
        )
        length = self.headers.get("content-length", "")
        if self._raw.length_remaining and length.isdecimal() and int(length) > limit:
            raise too_long
        parts: list[bytes] = []
        size = 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise too_long
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Give the connection back where the body is read or short, close it otherwise."""
        import urllib3

        raw = self._raw
        left = raw.length_remaining
        if not self._started and left is not None and left <= _DRAIN:
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
                raw.read(decode_content=False)
                raw.release_conn()
                return
        if self._started and left == 0:
            raw.release_conn()
            return
        raw.close()


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes] | None
    replayable: bool
    again: bool


class Http:
    """A client with one pool of connections per host; may be shared by threads."""

    def __init__(
        self,
        *,
        proxies: Mapping[str, str] | None = None,
        no_proxy: str = "",
        ca: Path | Sequence[Path] | None = None,
        certificates: Mapping[str, ClientCertificate] = NO_CERTIFICATES,
        connections: int = 16,
        timeout_s: float = 60.0,
        retries: int = 4,
        user_agent: str = f"sallyport/{__version__}",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a client; nothing is sent yet.

        ``proxies`` maps ``http`` and ``https`` to a proxy's URL; None reads the environment, an
        empty mapping means none. Loopback addresses are never asked through a proxy. ``ca`` is
        trusted beside the system's certificates. ``certificates`` are our own, by host or host:port:
        no other host, redirected to or not, is shown them. At most ``connections`` requests are at
        one host at a time. ``timeout_s`` bounds a connection attempt and each silence, not the whole
        answer.
        """
        import urllib3

        if proxies is None:
            proxies = {
                scheme: value
                for scheme in ("http", "https")
                if (value := os.environ.get(f"{scheme}_proxy") or _upper(scheme))
            }
            no_proxy = ",".join(filter(None, (no_proxy, os.environ.get("no_proxy") or os.environ.get("NO_PROXY"))))
        self._proxies = dict(proxies)
        self._no_proxy = tuple(item.strip().lower() for item in no_proxy.split(",") if item.strip())
        self._authorities = () if ca is None else (ca,) if isinstance(ca, Path) else tuple(ca)
        self._certificates = dict(certificates)
        self._connections = connections
        self._slots = Slots(connections)
        self._timeout = urllib3.Timeout(connect=min(timeout_s, 20.0), read=timeout_s)
        self._retries = retries
        self._user_agent = user_agent
        self._sleep = sleep
        self._managers: dict[str, urllib3.PoolManager] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection that is not in use."""
        for manager in self._managers.values():
            manager.clear()
        self._managers.clear()

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        body: bytes | Iterable[bytes] | None = None,
        size: int | None = None,
        redirects: bool = True,
        idempotent: bool | None = None,
    ) -> Iterator[Response]:
        """Send a request; used as ``with http.request(…) as response``. Any final status is a response.

        An iterable ``body`` is sent once, with ``size`` as its Content-Length where that is known.
        ``idempotent`` overrules what the method says about trying again.

        Raises:
            UnreachableError: no answer after all tries, or a redirect that is not followed: in a
                circle, to another scheme, from https to http.
            UsageError: ``url`` is no http or https address.
        """
        sent = dict(headers)
        url = _without_user(url, sent)
        if size is not None and not isinstance(body, bytes | None):
            sent["Content-Length"] = str(size)
        replayable = body is None or isinstance(body, bytes | list | tuple)
        again = replayable and (method in _IDEMPOTENT if idempotent is None else idempotent)
        call = _Call(method, url, sent, body, replayable, again)
        with self._slots.take(_place(url)):
            response = self._follow(call) if redirects else self._send(call)
            try:
                yield response
            finally:
                response.close()

    def _follow(self, call: _Call) -> Response:
        for _ in range(REDIRECTS + 1):
            response = self._send(call)
            location = response.headers.get("location", "")
            if response.status not in _MOVED or not location:
                return response
            if call.method not in ("GET", "HEAD") and not (response.status in (307, 308) and call.replayable):
                return response
            response.close()
            target = _target(call.url, location)
            if urlsplit(call.url).scheme == "https" and urlsplit(target).scheme != "https":
                raise UnreachableError(
                    f"{_place(call.url)} redirects from https to plain http",
                    "use the address it redirects to if you trust that network, or report it to whoever runs it",
                )
            headers = call.headers
            if _origin(call.url) != _origin(target):
                if leads_inside(call.url, target):
                    raise UnreachableError(
                        f"{_place(call.url)} redirects to {_place(target)}, an address inside",
                        "report it to whoever runs that host; nobody outside may choose whom we ask inside",
                    )
                headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET}
            call = replace(call, url=target, headers=headers)
        raise UnreachableError(
            f"{_place(call.url)} redirects more than {REDIRECTS} times",
            "check the address; the host sends it in a circle",
        )

    def _send(self, call: _Call) -> Response:
        import urllib3

        manager = self._manager(call.url)
        headers = {"User-Agent": self._user_agent, "Accept-Encoding": "identity", **call.headers}
        tries = self._retries + 1 if call.again else 1
        for number in range(1, tries + 1):
            try:
                raw = manager.request(
                    call.method,
                    call.url,
                    headers=headers,
                    body=call.body,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=self._timeout,
                )
            except urllib3.exceptions.LocationParseError as error:
                raise _bad_address(call.url) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if number == tries or isinstance(error, urllib3.exceptions.SSLError):
                    raise UnreachableError(
                        f"cannot reach {_place(call.url)}: {_reason(error)}", _mend(error)
                    ) from error
                self._sleep(_backoff(number))
                continue
            except ValueError as error:  # http.client refuses control characters
                raise _bad_address(call.url) from error
            response = Response(raw, call.url)
            if response.status in _AGAIN and number < tries:
                asked = _retry_after(response.headers.get("retry-after", ""))
                if asked <= LONGEST_WAIT_S:
                    response.close()
                    self._sleep(max(_backoff(number), asked))
                    continue
            return response
        raise AssertionError("tries is at least one")  # pragma: no cover

    def _manager(self, url: str) -> urllib3.PoolManager:
        import urllib3

        parts = urlsplit(url)
        proxy = "" if self._direct(parts) else self._proxies.get(parts.scheme, "")
        secure = parts.scheme == "https"
        ours = self._certificate(parts) if secure else None
        key = f"{secure or proxy.startswith('https:')} {proxy} {ours}"
        manager = self._managers.get(key)
        if manager is None:
            context = make_context(self._authorities, ours) if key.startswith("True") else None
            most = max(16, self._connections)
            if proxy:
                bare = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
                auth = f"{unquote(bare.username)}:{unquote(bare.password or '')}" if bare.username else None
                manager = urllib3.ProxyManager(
                    urlunsplit(bare._replace(netloc=bare.netloc.rpartition("@")[2])),
                    proxy_headers=urllib3.make_headers(proxy_basic_auth=auth),
                    maxsize=most,
                    ssl_context=context,
                )
            else:
                manager = urllib3.PoolManager(maxsize=most, ssl_context=context)
            manager = self._managers.setdefault(key, manager)
        return manager

    def _certificate(self, parts: SplitResult) -> ClientCertificate | None:
        host = (parts.hostname or "").lower()
        port = parts.port or _PORTS[parts.scheme]
        return self._certificates.get(f"{host}:{port}") or (self._certificates.get(host) if port == 443 else None)  # noqa: PLR2004

    def _direct(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").lower()
        if host == "localhost" or host.endswith(".localhost"):
            return True
        address = None
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
        if address is not None and address.is_loopback:
            return True
        for item in self._no_proxy:
            name, _, port = item.rpartition(":") if item.count(":") == 1 else (item, "", "")
            if port and port != str(parts.port or _PORTS.get(parts.scheme)):
                continue
            if item == "*" or host == name.lstrip(".") or host.endswith(f".{name.lstrip('.')}"):
                return True
            with contextlib.suppress(ValueError):
                if address is not None and address in ipaddress.ip_network(name, strict=False):
                    return True
        return False


def _upper(scheme: str) -> str:
    # HTTP_PROXY can be set by a request's "Proxy:" header where we run as CGI; only https has the upper form.
    return os.environ.get("HTTPS_PROXY", "") if scheme == "https" else ""


def _without_user(url: str, headers: dict[str, str]) -> str:
    """Move ``user:password@`` out of the address, into ``headers``, so that no message can show it."""
    import base64

    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError("that is not an address of a host", "write it like https://mirror.example/path") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise _bad_address(url)
    if parts.username:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers.setdefault("Authorization", f"Basic {base64.b64encode(user).decode()}")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _target(url: str, location: str) -> str:
    try:
        return _without_user(urljoin(url, location), {})
    except (UsageError, ValueError) as error:
        raise UnreachableError(
            f"{_place(url)} redirects to something that is no http or https address",
            "check the address, or report it to whoever runs that host",
        ) from error


def _bad_address(url: str) -> UsageError:
    shown = url.partition("://")[0][:20]
    return UsageError(
        f"{_place(url) or shown!r} is not an http or https address that can be asked",
        "write it like https://mirror.example/path, without spaces",
    )


def _place(url: str) -> str:
    """Host and port: all of an address that is fit to be shown (a path or query may hold a token)."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2][:255]
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)


def _reason(error: BaseException) -> str:
    import urllib3.exceptions as kinds

    if isinstance(error, kinds.NameResolutionError):
        return "its name is not known here"
    if isinstance(error, kinds.ProxyError):
        return f"the proxy: {_reason(error.original_error)}"
    refused = isinstance(error, kinds.NewConnectionError)  # which is a kind of ConnectTimeoutError there
    if not refused and isinstance(error, kinds.ConnectTimeoutError | kinds.ReadTimeoutError | TimeoutError):
        return "it did not answer in time"
    if isinstance(error, kinds.SSLError):
        return f"TLS: {str(error)[:160]}"
    if isinstance(error, kinds.IncompleteRead):
        return "fewer bytes came than it promised"
    cause: BaseException | None = error
    for _ in range(6):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        if cause is None:
            break
        inner = next((item for item in cause.args if isinstance(item, BaseException)), None)
        cause = cause.__cause__ or inner or cause.__context__
    return "the connection broke"


def _mend(error: BaseException) -> str:
    import urllib3.exceptions as kinds

    if isinstance(error, kinds.SSLError):
        return "name the certificate authority of that host (ca), or check the host's name and clock"
    if isinstance(error, kinds.ProxyError):
        return "check the proxy (http_proxy, https_proxy, no_proxy), then run it again"
    return "check the address and the network, then run it again"


def _backoff(number: int) -> float:
    return float(min(30.0, 0.25 * 2.0 ** (number - 1)) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


def _retry_after(text: str) -> float:
    """Seconds to wait; 0 where nothing sensible is said. Source: RFC 9110, 10.2.3."""
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max(0.0, at.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
