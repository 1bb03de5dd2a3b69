"""Tags, held manifests, facts and the journal, in one SQLite file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sallyport.engine import Clock, SystemClock, parse_time, render_time
from sallyport.errors import ImmutableTagError, UsageError
from sallyport.oci import Descriptor, Digest, is_repository, is_tag, parse_json, render_json
from sallyport.store.database import Database, Row
from sallyport.store.journal import GENESIS, read_line, seal, verify_chain
from sallyport.store.model import Event, Held, Tag
from sallyport.store.watch import Watch


class State:
    """What the store knows beside the bytes. Safe for several threads and processes.

    Each call is one short transaction; iterators read page by page and see what is written meanwhile.
    """

    def __init__(self, url: str, *, clock: Clock = SystemClock()) -> None:  # noqa: B008 - an immutable value
        """Open ``sqlite:///…/state.db``; it is made, or brought up to date, where needed.

        Raises:
            UsageError: another kind of address.
            StorageError: the file cannot be opened or written.
        """
        self._clock = clock
        self._database = Database(url)
        self._watches: list[Watch] = []

    def close(self) -> None:
        """Let go of the file; call it when no other thread uses this."""
        for watch in self._watches:
            watch.close()
        self._database.close()

    def watch(self) -> Watch:
        """Notices changes by anybody; it is closed with the state.

        Raises:
            StorageError: the file cannot be read.
        """
        watch = Watch(self._database.path)
        self._watches.append(watch)
        return watch

    def damage(self) -> list[str]:
        """What the database finds wrong with itself; empty means whole."""
        return [text for (text,) in self._database.rows("PRAGMA integrity_check(20)") if text != "ok"]

    # --- tags ---------------------------------------------------------------------------------

    def set_tag(self, repository: str, name: str, descriptor: Descriptor, *, immutable: bool = False) -> bool:
        """Let a name mean a manifest; returns whether anything changed.

        Raises:
            ImmutableTagError: the name is immutable and means something else.
            UsageError: no repository name, or no tag.
        """
        _check_repository(repository)
        if not is_tag(name):
            raise UsageError(f"{name[:140]!r} is not a tag", "a tag has letters, digits, '.', '_' and '-', at most 128")
        with self._database.write() as write:
            rows = write.rows(
                "SELECT digest, immutable, descriptor FROM tags WHERE repository = :repository AND name = :name",
                repository=repository,
                name=name,
            )
            raw = render_json(descriptor.to_json())
            if rows:
                digest, already, known = rows[0]
                if already and digest != str(descriptor.digest):
                    raise ImmutableTagError(
                        f"{repository}:{name} is immutable and names {digest}, not {descriptor.digest}",
                        "release it under a new tag",
                    )
                if digest == str(descriptor.digest) and (already or not immutable):
                    if known != raw and not already:
                        write.run(
                            "UPDATE tags SET descriptor = :raw WHERE repository = :repository AND name = :name",
                            raw=raw,
                            repository=repository,
                            name=name,
                        )
                    return False
            write.run(
                "INSERT INTO tags (repository, name, digest, descriptor, immutable, set_at)"
                " VALUES (:repository, :name, :digest, :raw, :immutable, :at)"
                " ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest,"
                " descriptor = excluded.descriptor, immutable = excluded.immutable, set_at = excluded.set_at",
                repository=repository,
                name=name,
                digest=str(descriptor.digest),
                raw=raw,
                immutable=int(immutable),
                at=render_time(self._clock.now()),
            )
            return True

    def tag(self, repository: str, name: str) -> Tag | None:
        """What a name means."""
        rows = self._database.rows(
            "SELECT repository, name, descriptor, immutable, set_at FROM tags"
            " WHERE repository = :repository AND name = :name",
            repository=repository,
            name=name,
        )
        return _tag(rows[0]) if rows else None

    def tags(self, repository: str, *, after: str = "", limit: int | None = None) -> list[Tag]:
        """The tags of a repository in lexical order, those behind ``after``, at most ``limit``."""
        rows = self._database.rows(
            "SELECT repository, name, descriptor, immutable, set_at FROM tags"
            " WHERE repository = :repository AND name > :after ORDER BY name LIMIT :most",
            repository=repository,
            after=after,
            most=-1 if limit is None else max(limit, 0),
        )
        return [_tag(row) for row in rows]

    def delete_tag(self, repository: str, name: str) -> bool:
        """Forget a name; returns whether it was there.

        Raises:
            ImmutableTagError: it is immutable.
        """
        with self._database.write() as write:
            rows = write.rows(
                "SELECT immutable FROM tags WHERE repository = :repository AND name = :name",
                repository=repository,
                name=name,
            )
            if rows and rows[0][0]:
                raise ImmutableTagError(
                    f"{repository}:{name} is immutable and cannot be deleted", "leave it; what is released stays known"
                )
            return bool(
                write.run(
                    "DELETE FROM tags WHERE repository = :repository AND name = :name", repository=repository, name=name
                )
            )

    def repositories(self) -> list[str]:
        """Every repository that has a tag or holds a manifest, in lexical order."""
        return [
            str(row[0])
            for row in self._database.rows(
                "SELECT repository FROM tags UNION SELECT repository FROM manifests ORDER BY repository"
            )
        ]

    # --- held manifests -----------------------------------------------------------------------

    def hold(self, repository: str, descriptor: Descriptor, *, subject: Digest | None = None) -> None:
        """Note that a repository holds a manifest, and which other manifest it is about, if any."""
        _check_repository(repository)
        with self._database.write() as write:
            write.run(
                "INSERT INTO manifests (repository, digest, descriptor, subject)"
                " VALUES (:repository, :digest, :raw, :subject)"
                " ON CONFLICT (repository, digest) DO UPDATE SET"
                " descriptor = excluded.descriptor, subject = excluded.subject",
                repository=repository,
                digest=str(descriptor.digest),
                raw=render_json(descriptor.to_json()),
                subject=str(subject or ""),
            )

    def held(self, repository: str, digest: Digest) -> Held | None:
        """The manifest, where this repository holds it."""
        found = self._held("repository = :repository AND digest = :digest", repository=repository, digest=str(digest))
        return found[0] if found else None

    def held_everywhere(self, digest: Digest) -> list[Held]:
        """The manifest in every repository that holds it."""
        return self._held("digest = :digest", digest=str(digest))

    def unhold(self, repository: str, digest: Digest) -> bool:
        """Forget that a repository holds a manifest; returns whether it did.

        Raises:
            ImmutableTagError: an immutable tag of the repository names it.
        """
        values = {"repository": repository, "digest": str(digest)}
        with self._database.write() as write:
            rows = write.rows(
                "SELECT name FROM tags WHERE repository = :repository AND digest = :digest AND immutable = 1 LIMIT 1",
                **values,
            )
            if rows:
                raise ImmutableTagError(
                    f"{repository}:{rows[0][0]} is immutable and names {digest}",
                    "leave it; what is released stays known",
                )
            return bool(
                write.run("DELETE FROM manifests WHERE repository = :repository AND digest = :digest", **values)
            )

    def referrers(self, repository: str, subject: Digest) -> list[Held]:
        """The manifests of a repository that are about ``subject``, by digest."""
        return self._held(
            "repository = :repository AND subject = :subject", repository=repository, subject=str(subject)
        )

    def manifests(self, repository: str = "") -> list[Held]:
        """Every held manifest, or those of one repository, by repository and digest."""
        return self._held("repository = :repository OR :repository = ''", repository=repository)

    def _held(self, where: str, **values: str) -> list[Held]:
        sql = f"SELECT repository, descriptor, subject FROM manifests WHERE {where} ORDER BY repository, digest"  # noqa: S608 - our own words
        return [
            Held(repository, _descriptor(raw), Digest.parse(subject) if subject else None)
            for repository, raw, subject in self._database.rows(sql, **values)
        ]

    # --- facts --------------------------------------------------------------------------------

    def put_fact(self, kind: str, key: str, body: bytes) -> None:
        """Keep any room's value, as canonical JSON, under ``kind`` and ``key``; the newest wins."""
        with self._database.write() as write:
            write.run(
                "INSERT INTO facts (kind, key, body) VALUES (:kind, :key, :body)"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                kind=kind,
                key=key,
                body=body,
            )

    def fact(self, kind: str, key: str) -> bytes | None:
        """The value under ``kind`` and ``key``."""
        rows = self._database.rows("SELECT body FROM facts WHERE kind = :kind AND key = :key", kind=kind, key=key)
        return bytes(rows[0][0]) if rows else None

    def facts(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """Keys and values of one kind, by key."""
        sql = (
            "SELECT key, body FROM facts WHERE kind = :kind AND (:after IS NULL OR key > :after)"
            " ORDER BY key LIMIT :page"
        )
        for key, body in self._database.paged(sql, None, kind=kind):
            yield key, bytes(body)

    def delete_fact(self, kind: str, key: str) -> bool:
        """Forget a value; returns whether it was there."""
        with self._database.write() as write:
            return bool(write.run("DELETE FROM facts WHERE kind = :kind AND key = :key", kind=kind, key=key))

    # --- journal ------------------------------------------------------------------------------

    def append(self, verb: str, subject: str, detail: Mapping[str, str]) -> Event:
        """Add a line to the journal, chained to the one before it."""
        with self._database.write() as write:
            rows = write.rows("SELECT sequence, digest FROM events ORDER BY sequence DESC LIMIT 1")
            last, previous = (rows[0][0], Digest.parse(rows[0][1])) if rows else (0, GENESIS)
            # The time is taken inside the transaction, so that it never runs backwards along the chain
            # because another writer went first.
            event = seal(
                sequence=last + 1,
                at=self._clock.now(),
                verb=verb,
                subject=subject,
                detail=detail,
                previous=previous,
            )
            write.run(
                "INSERT INTO events (sequence, at, verb, subject, detail, previous, digest)"
                " VALUES (:sequence, :at, :verb, :subject, :detail, :previous, :digest)",
                sequence=event.sequence,
                at=render_time(event.at),
                verb=verb,
                subject=subject,
                detail=render_json(dict(detail)),
                previous=str(previous),
                digest=str(event.digest),
            )
            write.run(
                "INSERT INTO journal_head (only, sequence, digest) VALUES (1, :sequence, :digest)"
                " ON CONFLICT (only) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest",
                sequence=event.sequence,
                digest=str(event.digest),
            )
        return event

    def events(self, *, after: int = 0) -> Iterator[Event]:
        """The journal's lines behind number ``after``, oldest first.

        Raises:
            DamagedError: a line cannot be read at all; ``verify_journal`` proves the rest.
        """
        sql = (
            "SELECT sequence, at, verb, subject, detail, previous, digest FROM events"
            " WHERE sequence > :after ORDER BY sequence LIMIT :page"
        )
        for row in self._database.paged(sql, after):
            yield read_line(row)

    def verify_journal(self) -> int:
        """Recompute the whole chain; returns the number of lines.

        Raises:
            DamagedError: names the first line that is missing, changed or out of place.
        """
        # The head first: lines that another process adds meanwhile are more, never fewer.
        rows = self._database.rows("SELECT sequence, digest FROM journal_head")
        head = (int(rows[0][0]), str(rows[0][1])) if rows else (0, "")
        return verify_chain(self.events(), head=head)


def _check_repository(repository: str) -> None:
    if not is_repository(repository):
        raise UsageError(f"{repository[:120]!r} is not a repository name", "write it like team/app, in lower case")


def _descriptor(raw: bytes) -> Descriptor:
    return Descriptor.from_json(parse_json(bytes(raw), what="the state database"), what="the state database")


def _tag(row: Row) -> Tag:
    repository, name, raw, immutable, set_at = row
    return Tag(repository, name, _descriptor(raw), bool(immutable), parse_time(set_at))
