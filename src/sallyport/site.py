"""One side of the crossing, opened: its settings, store, keys, and the effects that its steps may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.config import NAME, ArchiveSection, Config, RegistrySection, load_config
from sallyport.engine import Clock, Executor, Progress, Silent, SystemClock, Threads
from sallyport.errors import ConfigError, UsageError
from sallyport.sign import KeyFolder
from sallyport.store import DirectoryStore, S3Store, Store, open_store

if TYPE_CHECKING:
    from sallyport.advisories import AdvisorySource
    from sallyport.archives import Archive
    from sallyport.registry import Reach, RegistryClient, Rule, Sessions

PASSPHRASE = "SALLYPORT_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
"""The environment variable with the passphrase of the key files, where they have one."""


@dataclass(frozen=True, slots=True)
class Site:
    """Handed to every step of the pipeline."""

    config: Config
    root: Path  # the folder of sallyport.yaml; relative paths start here
    store: Store
    keys: KeyFolder
    clock: Clock
    progress: Progress
    executor: Executor

    def path(self, text: str) -> Path:
        """A path of the configuration file."""
        return self.root / Path(text).expanduser()

    @property
    def medium(self) -> str:
        """The address of the medium; a path is relative to the configuration file."""
        text = self.config.medium
        return text if ":" in text else f"media:{self.path(text)}"

    def must_be(self, side: str, verb: str) -> None:
        """Raises UsageError unless this is the ``side`` that ``verb`` belongs to."""
        if self.config.side != side:
            raise UsageError(
                f"{verb} belongs to the {side}, and {self.root / NAME} says side: {self.config.side}",
                f"run it with the {side}'s configuration: --config FILE",
            )

    def reach(self) -> Reach:
        """How registries are reached: ``outside.registries``, then ``outside.registries-conf``."""
        from sallyport.registry import Reach, read_registries_conf

        ours = Reach(tuple(_rule(section, self.path) for section in self.config.outside.registries))
        conf = self.config.outside.registries_conf
        return ours.beside(read_registries_conf(self.path(conf))) if conf else ours

    @contextmanager
    def clients(self, *, sessions: Sessions | None = None) -> Iterator[Callable[[str], RegistryClient]]:
        """A client for each registry by name, as :meth:`reach` says; any thread may ask for one.

        With ``sessions`` large blobs go up so that a killed run is continued by the next.
        """
        from sallyport.registry import open_clients

        with open_clients(self.reach(), progress=self.progress, sessions=sessions) as client_for:
            yield client_for

    @contextmanager
    def archive(self) -> Iterator[Archive]:
        """The signed package archive: the release suite and its security suite.

        Raises:
            NoMirrorError: neither configuration nor environment nor host names a mirror.
            UntrustedError: the archive's signature does not hold.
            UnreachableError: the mirror does not answer.
        """
        cache = self.path(self.config.cache)
        with open_archive(
            self.config.outside.archive, self.root, cache, now=self.clock.now(), progress=self.progress
        ) as archive:
            yield archive

    @contextmanager
    def sources(self, archive: Archive | None) -> Iterator[tuple[AdvisorySource, ...]]:
        """The advisory sources that the configuration names."""
        from sallyport.advisories import make_source
        from sallyport.engine import Http

        with Http() as http:
            yield tuple(
                make_source(
                    section.kind,
                    location=section.location,
                    root=self.root,
                    archive=archive if archive is not None else (),
                    http=http,
                    cache=self.path(self.config.cache),
                    executor=self.executor,
                    progress=self.progress,
                )
                for section in self.config.advisories
            )


def _rule(section: RegistrySection, path: Callable[[str], Path]) -> Rule:
    """The registry's own login stands under its name, whatever its address; each mirror's under its host."""
    from sallyport.registry import Endpoint, Mirror, Rule

    def files(text: str) -> tuple[Path, ...]:
        return (path(text),) if text else ()

    if bool(section.certificate) != bool(section.key):
        raise ConfigError(
            f"outside.registries: {section.name} has a certificate without a key, or a key without a certificate",
            "name both files",
        )
    own = Endpoint(
        section.address or section.name,
        section.plain_http,
        authorities=files(section.ca),
        certificate=path(section.certificate) if section.certificate else None,
        key=path(section.key) if section.key else None,
        proxy=section.proxy,
        connections=section.connections,
        login=section.name.partition("/")[0],
    )
    mirrors = tuple(
        Mirror(
            Endpoint(one.address, one.plain_http, authorities=files(one.ca), proxy=section.proxy),
            by_tag=not one.digests_only,
        )
        for one in section.mirrors
    )
    return Rule(section.name, own, mirrors, section.blocked)


def _blobs(config: Config, root: Path) -> S3Store | None:
    """Where the bytes rest; None is the store's own folder."""
    storage = config.storage
    if not storage.url:
        return None
    return S3Store.open(
        storage.url, root, endpoint=storage.endpoint, region=storage.region, plain_http=storage.plain_http
    )


@contextmanager
def open_archive(
    section: ArchiveSection, root: Path, cache: Path, *, now: datetime, progress: Progress, security: bool = True
) -> Iterator[Archive]:
    """The archive that ``section`` names, with or without its security suite; proxies as the environment or apt says.

    Raises:
        as :meth:`Site.archive`.
    """
    from sallyport.archives import Archive, Suite, apt_proxies, find_mirrors, load_keyring
    from sallyport.engine import Http

    mirrors = find_mirrors(mirror=section.mirror or None, security=section.security or None, environ=os.environ)
    rests = DirectoryStore(cache, durable=False)
    named = any(os.environ.get(name) for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"))
    with Http(proxies=None if named else apt_proxies() or None) as http:
        keyring = load_keyring(
            [root / section.keyring] if section.keyring else [],
            http=http,
            cache=rests,
            mirror=mirrors.main,
            suite=section.suite,
            progress=progress,
        )
        suites = [Suite(mirrors.main, section.suite, section.components)]
        if security:
            suites.append(Suite(mirrors.security, f"{section.suite}-security", section.components))
        yield Archive.open(suites, keyring, http, rests, now=now)


@contextmanager
def open_site(
    path: Path, *, progress: Progress | None = None, clock: Clock | None = None, executor: Executor | None = None
) -> Iterator[Site]:
    """Read the configuration at ``path`` (a file, or a folder that holds ``sallyport.yaml``) and open its store.

    Raises:
        ConfigError: the file is missing or wrong.
        StorageError: the store cannot be opened.
    """
    file = path / NAME if path.is_dir() else path
    config = load_config(file)
    root = file.resolve().parent
    if not config.store:
        raise ConfigError(f"{file}: store is empty", "name a folder, for example: store: store")
    clock = clock or SystemClock()
    store = open_store(root / config.store, clock=clock, blobs=_blobs(config, root / config.store))
    try:
        yield Site(
            config,
            root,
            store,
            KeyFolder(root / config.keys, os.environ.get(PASSPHRASE)),
            clock,
            progress or Silent(),
            executor or Threads(4),
        )
    finally:
        store.state.close()
