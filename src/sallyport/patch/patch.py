"""A plan -> a patched image: one reproducible layer on top, without a daemon, a shell or root.

The steps, numbered as in :func:`patch`: 1 fetch, 2 check, 3 unpack, 4 remove, 5 configure, 6 scripts, 7 database,
8 write. Nothing is kept before the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sallyport.archives import Archive, Deb, debian_architecture
from sallyport.compose import DpkgDatabase, Draft, Installed, Style, record, unpack
from sallyport.engine import Executor, Progress, Silent
from sallyport.errors import ConflictError, MalformedError
from sallyport.oci import Entry, Image, Kind
from sallyport.patch.base import Base, members_of, read_base, tree_after, tree_before
from sallyport.patch.certificates import SHARED, refresh_certificates
from sallyport.patch.conffiles import Conffile, Fate, decide_conffiles
from sallyport.patch.examine import Examined, Replacement, examine
from sallyport.patch.loader import CACHE, unknown_to_loader
from sallyport.patch.local_rules import LocalRules, read_local_rules
from sallyport.patch.model import Change, ChangedFile, Patched, PatchPlan, Script, UnknownScriptError, Upgrade
from sallyport.patch.omit import omitted
from sallyport.patch.owners import Owners, take_over
from sallyport.patch.plan import platform_of
from sallyport.patch.solve import solve
from sallyport.patch.vanish import vanished
from sallyport.patch.write import is_docker, write_image, write_layer
from sallyport.store import BlobStore

_MEND = "the archive is broken: use another mirror, and report it"


def patch(
    image: Image,
    plan: PatchPlan,
    archive: Archive,
    blobs: BlobStore,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    unknown_scripts: Literal["refuse", "skip"] = "refuse",
    base_name: str = "",
) -> Patched:
    """Carry out ``plan``, and keep layer, config and manifest in ``blobs``.

    ``unknown_scripts`` says what happens where a maintainer script would do something that is not known to be
    needless: refuse, or leave it undone and note it. ``base_name`` is upstream's name for the annotation.

    Raises:
        UnknownScriptError: see there.
        UnsatisfiableError: the plan does not fit the image.
        ConflictError: a package brings a file of another one, or the plan is for another image.
        DamagedError: the image, the archive or a package is broken.
    """
    if plan.image != image.descriptor.digest:
        raise ConflictError(f"the plan is for {plan.image}, not for {image.descriptor.digest}", "make the plan again")
    if not plan.upgrades:
        top = image.manifest.layers[-1] if image.manifest.layers else image.manifest.config
        return Patched(image.descriptor, image.descriptor, top, plan)
    progress = progress or Silent()
    architecture = debian_architecture(platform_of(image))
    base = read_base(image, blobs)
    installed = base.installed(architecture)
    # 1
    debs = archive.fetch_all([upgrade.new for upgrade in plan.upgrades], executor=executor, progress=progress)
    # 2
    for upgrade, deb in zip(plan.upgrades, debs, strict=True):
        _check_identity(upgrade, deb)
    _check_relations(plan, installed, archive, architecture)
    with Draft(base.rootfs) as draft, progress.task("patch", len(debs)) as task:
        work = _Work(base, draft, installed, read_local_rules(base))
        # 3
        conffiles = decide_conffiles(base, installed, plan.upgrades, debs)
        replacements = work.unpack(plan.upgrades, debs, conffiles, executor)
        draft.mtime = mtime = work.newest(replacements)
        task.advance(len(debs))
        # 4
        database = base.database.having(_record(base, item) for item in replacements)
        owners = Owners(database.packages, base.rootfs.resolve)
        database = take_over(database, replacements, draft, owners)
        work.remove_vanished(replacements, owners)
        # 5
        work.show(conffiles)
        # 6
        present = [package for package in database.packages if package.present]
        examined = examine(replacements, present, tree_before(base), tree_after(base, draft))
        _refuse_unknown(examined.scripts, unknown_scripts)
        work.do_natively(examined, replacements, mtime)
        # 7
        work.write_database(database, mtime)
        # 8
        layer, diff_id = write_layer(draft, blobs, docker=is_docker(image))
    after = write_image(image, layer, diff_id, plan.upgrades, blobs, mtime=mtime, base_name=base_name)
    notes = (*work.notes, *_warnings(examined.scripts))
    files = tuple(sorted(set(work.files), key=lambda file: (file.path, file.change.value)))
    return Patched(image.descriptor, after, layer, plan, examined.scripts, files, notes)


def _check_identity(upgrade: Upgrade, deb: Deb) -> None:
    new, control = upgrade.new, deb.control
    said = (control.get("Package"), control.get("Version"), control.get("Architecture"))
    if said != (new.name, new.version, new.architecture):
        raise MalformedError(
            f"the index promises {new.name} {new.version} ({new.architecture}), and the package says it is {said}",
            _MEND,
        )


def _check_relations(plan: PatchPlan, installed: Mapping[str, Installed], archive: Archive, architecture: str) -> None:
    """The plan may have been made without sight of what is installed, or for another state of it."""
    wanted = {upgrade.new.name: upgrade.new for upgrade in plan.upgrades}
    missing = sorted(upgrade.old.name for upgrade in plan.upgrades if upgrade.old and upgrade.old.name not in installed)
    solved = solve(members_of(installed), wanted, archive.packages(architecture))
    more = sorted(solved.changes.keys() - wanted.keys())
    if missing or more:
        raise ConflictError(
            f"the plan does not fit the image: it lacks {', '.join((*more, *missing))}", "make the plan again"
        )


def _record(base: Base, item: Replacement) -> Installed:
    """The new record, in the form that the old one has, or that the image's others have."""
    styles = [package.style for package in base.database.packages]
    style = item.old.style if item.old else max(styles, key=styles.count, default=Style.STATUS)
    return record(item.new, style, old=item.old)


def _refuse_unknown(scripts: Sequence[Script], policy: str) -> None:
    unknown = [script for script in scripts if script.unknown]
    if not unknown or policy == "skip":
        return
    lines = [
        f"{script.package}.{script.name}: {judged.command} ({judged.reason})"
        for script in unknown
        for judged in script.unknown
    ]
    shown = "\n".join(f"--- {script.package}.{script.name}\n{script.text}" for script in unknown)
    raise UnknownScriptError(
        "maintainer scripts would do what is not known to be needless in an image:\n  " + "\n  ".join(lines),
        "read the scripts below; then set unknown_scripts to skip, or build the image anew\n" + shown,
    )


def _warnings(scripts: Sequence[Script]) -> tuple[str, ...]:
    return tuple(
        f"{script.package}.{script.name} was not run: {judged.command}"
        for script in scripts
        for judged in script.unknown
    )


@dataclass(slots=True)
class _Work:
    """One patch in the making."""

    base: Base
    draft: Draft
    installed: Mapping[str, Installed]
    rules: LocalRules
    files: list[ChangedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def unpack(
        self,
        upgrades: Sequence[Upgrade],
        debs: Sequence[Deb],
        conffiles: Sequence[Conffile],
        executor: Executor | None,
    ) -> tuple[Replacement, ...]:
        """Unpack, leaving out what the image leaves out, and what must be looked at first."""
        olds = [self.installed[upgrade.old.name] for upgrade in upgrades if upgrade.old]
        configuration = {file.path for file in conffiles} | {path.lstrip("/") for old in olds for path in old.conffiles}
        kept = frozenset(file.path for file in conffiles if file.fate is not Fate.INSTALL)
        leaves_out = omitted(self.base, self.installed, olds, frozenset(configuration))
        rules = self.rules
        unpacked = unpack(
            debs,
            self.draft,
            exclude=lambda path: path in kept or path in rules.diversions or leaves_out(path),
            executor=executor,
        )
        replacements = tuple(
            Replacement(self.installed[upgrade.old.name] if upgrade.old else None, new)
            for upgrade, new in zip(upgrades, unpacked, strict=True)
        )
        for item in replacements:
            diverted = rules.place_diverted(self.draft, item)
            rules.override(self.draft, item)
            self._tell(item, leaves_out, diverted)
        return replacements

    def _tell(self, item: Replacement, leaves_out: Callable[[str], bool], diverted: Sequence[str]) -> None:
        folders = {path.rpartition("/")[0] for path in item.new.files}
        for path in item.new.files:
            relative = path.lstrip("/")
            if relative not in self.rules.diversions and path not in folders and leaves_out(relative):
                self.files.append(ChangedFile(self.base.real(relative), Change.LEFT_OUT, item.name))
        for real in (*item.new.placed.values(), *diverted):
            entry = self.draft.entry(real)
            if entry is not None and entry.kind is not Kind.DIRECTORY and self.draft.owner(real) == item.name:
                self.files.append(ChangedFile(real, Change.WRITTEN, item.name))

    def newest(self, replacements: Sequence[Replacement]) -> int:
        """The time of the newest file that the packages brought, in seconds since the epoch."""
        entries = (self.draft.entry(real) for item in replacements for real in item.new.placed.values())
        return max((entry.mtime for entry in entries if entry is not None), default=0)

    def remove_vanished(self, replacements: Sequence[Replacement], owners: Owners) -> None:
        for item in replacements:
            for path in vanished(self.base, self.draft, item, self.rules, owners.owned):
                self.draft.remove(path)
                self.files.append(ChangedFile(path, Change.REMOVED, item.name))

    def show(self, conffiles: Sequence[Conffile]) -> None:
        """Put the new version of each configuration file that stays beside it, as dpkg does."""
        for file in conffiles:
            if file.fate in (Fate.INSTALL, Fate.SAME):
                continue
            self.files.append(ChangedFile(file.real, Change.KEPT, file.package))
            if file.fate is Fate.KEEP:
                continue
            beside = f"{file.real}.dpkg-dist"
            self.draft.put(replace(file.entry, path=beside), file.content, owner=file.package)
            self.files.append(ChangedFile(beside, Change.WRITTEN, file.package))
            self.notes.append(
                f"/{file.real} differs from what {file.package} shipped: it stays, the new one is beside it"
            )

    def do_natively(self, examined: Examined, replacements: Sequence[Replacement], mtime: int) -> None:
        """What the scripts' known programs would do."""
        fresh: dict[str, bytes] = {}
        for item in replacements:
            if any(path.startswith(f"{SHARED}/") for path in item.new.placed):
                found = item.new.deb.files([f"{SHARED}/*"])
                fresh |= {
                    item.new.placed[path]: content for path, (_, content) in found.items() if path in item.new.placed
                }
        if fresh or {"update-ca-certificates", "update-ca-certificates-fresh"} & examined.triggers:
            for path in refresh_certificates(self.base, self.draft, fresh, mtime):
                change = Change.REMOVED if self.draft.entry(path) is None else Change.WRITTEN
                self.files.append(ChangedFile(path, change, "ca-certificates"))
            if self.base.rootfs.children("etc/ca-certificates/update.d"):
                self.notes.append("the hooks in /etc/ca-certificates/update.d were not run")
        cache = self.base.rootfs.read(CACHE)
        written = [file.path for file in self.files if file.change is Change.WRITTEN]
        for path in unknown_to_loader(cache, written) if cache else ():
            self.notes.append(f"/{path} is in no default folder of the loader, and /{CACHE} does not know it yet")

    def write_database(self, database: DpkgDatabase, mtime: int) -> None:
        written, removed = database.changes(self.base.database)
        for path, file in sorted(written.items()):
            there = self.draft.entry(self.draft.resolve(path))
            entry = Entry(path, Kind.FILE, file.mode, mtime=mtime)
            if there is not None and there.kind is Kind.FILE:
                entry = replace(entry, mode=there.mode, uid=there.uid, gid=there.gid)
            self.draft.put(entry, file.content)
        for path in sorted(removed):
            self.draft.remove(self.draft.resolve(path, follow_last=False))
