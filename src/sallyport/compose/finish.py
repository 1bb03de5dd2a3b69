"""What a package's own scripts would have done, as plain files: links, accounts, certificates.

No script of a package ever runs here: there may be no shell, no root and another architecture. Each step does
what one script does, for the packages of :mod:`upstreams`, and only where its package is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sallyport.compose.draft import Draft
from sallyport.errors import MalformedError
from sallyport.oci import Entry, Kind

Step = Callable[[Draft, str], None]
"""Changes a draft; the second value is Debian's name of the architecture."""

_DAY = 86_400
_NONROOT = 65_532
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"

SLIM = ("doc", "groff", "info", "linda", "lintian", "locale", "man")
"""Folders of usr/share whose content slim images leave out, copyright files apart."""


def slim(path: str) -> bool:
    """Whether a slim image leaves ``path`` out: documentation, manuals and translations, but not the licences."""
    parts = path.split("/")
    if len(parts) <= 3 or parts[:2] != ["usr", "share"] or parts[2] not in SLIM:  # noqa: PLR2004 - usr/share/x/…
        return False
    if parts[2] == "doc":
        return len(parts) > 4 and parts[4:] != ["copyright"]  # noqa: PLR2004 - usr/share/doc/package/…
    return True


def slim_configuration(draft: Draft, _architecture: str) -> None:
    """Tell the image's own dpkg what :func:`slim` left out, so that its checks agree and it goes on so."""
    lines = [f"path-exclude /usr/share/{name}/*\n" for name in SLIM]
    lines.append("path-include /usr/share/doc/*/copyright\n")
    _file(draft, "etc/dpkg/dpkg.cfg.d/slim", "".join(lines).encode())


def merge_usr(draft: Draft, architecture: str) -> None:
    """``bin``, ``lib`` and ``sbin`` as links into ``usr``, before anything is unpacked. Source: hier(7), Debian 12."""
    for name in ("bin", "lib", "sbin", *(("lib64",) if architecture == "amd64" else ())):
        _folder(draft, f"usr/{name}")
        _link(draft, name, f"usr/{name}")


def base_folders(draft: Draft, _architecture: str) -> None:
    """As base-files' script: ``/var/run`` and ``/var/lock`` lead to ``/run``; ``/usr/local`` and others are there."""
    for path in ("run", "run/lock", "var", "usr/local", "mnt", "media", "opt", "srv", "var/mail"):
        _folder(draft, path)
    for name in ("bin", "etc", "games", "include", "lib", "sbin", "share", "src"):
        _folder(draft, f"usr/local/{name}")
    _link(draft, "var/run", "/run")
    _link(draft, "var/lock", "/run/lock")


def profiles(draft: Draft, _architecture: str) -> None:
    """As base-files' script: root's and everybody's profile, from the package's own templates."""
    for source, target in (
        ("profile", "etc/profile"),
        ("dot.profile", "root/.profile"),
        ("dot.bashrc", "root/.bashrc"),
    ):
        _copy(draft, f"usr/share/base-files/{source}", target)


def accounts(draft: Draft, _architecture: str) -> None:
    """As base-passwd's and passwd's scripts: the accounts of the master files, without passwords."""
    passwd = _copy(draft, "usr/share/base-passwd/passwd.master", "etc/passwd")
    group = _copy(draft, "usr/share/base-passwd/group.master", "etc/group")
    day = draft.mtime // _DAY
    shadow = "".join(f"{line.partition(':')[0]}:*:{day}:0:99999:7:::\n" for line in passwd.decode().splitlines())
    gshadow = "".join(f"{line.partition(':')[0]}:*::\n" for line in group.decode().splitlines())
    _file(draft, "etc/shadow", shadow.encode(), mode=0o640, gid=42)
    _file(draft, "etc/gshadow", gshadow.encode(), mode=0o640, gid=42)


def few_accounts(draft: Draft, _architecture: str) -> None:
    """The accounts of a distroless image: root, nobody and nonroot, without a shell."""
    _file(
        draft,
        "etc/passwd",
        b"root:x:0:0:root:/root:/sbin/nologin\n"
        b"nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        b"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    )
    _file(draft, "etc/group", b"root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n")
    _file(draft, "etc/nsswitch.conf", b"hosts: files dns\n")
    _folder(draft, "home/nonroot", mode=0o700, owner=_NONROOT)


def awk(draft: Draft, _architecture: str) -> None:
    """As mawk's script: ``awk`` by Debian's system of alternatives. Source: update-alternatives(1)."""
    if draft.entry(draft.resolve("usr/bin/mawk")) is None:
        return
    for name in ("awk", "nawk"):
        _link(draft, f"etc/alternatives/{name}", "/usr/bin/mawk")
        _link(draft, f"usr/bin/{name}", f"/etc/alternatives/{name}")
    record = "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n/usr/bin/mawk\n5\n/usr/bin/mawk\n\n"
    _file(draft, "var/lib/dpkg/alternatives/awk", record.encode())


def certificates(draft: Draft, _architecture: str) -> None:
    """As update-ca-certificates: one file of all the authorities that the package ca-certificates brings."""
    paths = sorted(_below(draft, draft.resolve("usr/share/ca-certificates")))
    names = [path for path in paths if path.endswith(".crt")]
    if not names:
        return
    parts: list[bytes] = []
    for name in names:
        content = _read(draft, name).strip()
        if not content.startswith(_BEGIN) or not content.endswith(_END):
            raise MalformedError(f"/{name} is no certificate", "the package ca-certificates is broken")
        parts.append(content + b"\n")
    _file(draft, "etc/ssl/certs/ca-certificates.crt", b"".join(parts))
    prefix = f"{draft.resolve('usr/share/ca-certificates')}/"
    listed = "".join(f"{name.removeprefix(prefix)}\n" for name in names)
    _file(draft, "etc/ca-certificates.conf", listed.encode())


def nginx_site(draft: Draft, _architecture: str) -> None:
    """As nginx-common's script: the default site is switched on."""
    if draft.entry(draft.resolve("etc/nginx/sites-available/default")) is not None:
        _link(draft, "etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default")


def _below(draft: Draft, folder: str) -> Iterator[str]:
    for path in draft.children(folder):
        entry = draft.entry(path)
        if entry is not None and entry.kind is Kind.DIRECTORY:
            yield from _below(draft, path)
        elif entry is not None and entry.kind is Kind.FILE:
            yield path


def _read(draft: Draft, path: str) -> bytes:
    content = draft.content(draft.resolve(path))
    if content is None:
        raise MalformedError(f"/{path} is missing, which a package should have brought", "check the package's version")
    return content


def _copy(draft: Draft, source: str, target: str) -> bytes:
    content = _read(draft, source)
    _file(draft, target, content)
    return content


def _file(draft: Draft, path: str, content: bytes, *, mode: int = 0o644, gid: int = 0) -> None:
    draft.put(Entry(path, Kind.FILE, mode, gid=gid, mtime=draft.mtime), content)


def _link(draft: Draft, path: str, target: str) -> None:
    draft.put(Entry(path, Kind.SYMLINK, 0o777, mtime=draft.mtime, link=target))


def _folder(draft: Draft, path: str, *, mode: int = 0o755, owner: int = 0) -> None:
    draft.put(Entry(path, Kind.DIRECTORY, mode, owner, owner, mtime=draft.mtime))


def files(contents: Iterable[tuple[str, bytes]]) -> Step:
    """A step that adds plain files, mode 0644."""
    wanted = tuple(contents)

    def add(draft: Draft, _architecture: str) -> None:
        for path, content in wanted:
            _file(draft, path, content)

    return add
