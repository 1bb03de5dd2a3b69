"""What the maintainer scripts of an upgrade would do to an image, and which of it remains to be done.

A script is read, never trusted by name: each command that it could reach on this upgrade of this image
is judged. It only reads; or it concerns running processes, of which an image has none; or what it would
make is there already; or the installed version's script did the very same before; or sallyport does it
itself; or a person reviewed that command of that package (``reviewed.py``). The rest is unknown.

Sources: Debian Policy 6.5 and 6.6 (which scripts run, with which arguments); debhelper 13, autoscripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sallyport.archives import compare_debian
from sallyport.errors import MalformedError
from sallyport.oci import Kind
from sallyport.patch.model import Handling, Judged, Script
from sallyport.patch.reach import CONFMODULE, Call, Reached, find_program, reach
from sallyport.patch.reviewed import PRODUCTS, review_of
from sallyport.patch.truth import Tree


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELLS = re.compile(r"#!\s*(?:/usr)?/bin/(?:sh|dash|bash)(?:\s+-[a-z]+)?\s*$")
_READS = _words(
    "[ test true false : echo printf cat grep egrep fgrep cut tr head tail uniq wc ls stat readlink realpath "
    "basename dirname uname id who whoami getent dpkg-query dpkg-realpath md5sum sha1sum sha256sum sha512sum cmp "
    "diff pidof pgrep ps date expr seq sleep command which type hash ischroot runlevel ss netstat tty locale "
    "getconf arch nproc free df du mountpoint lsmod file strings od rev tac comm join paste fold fmt nl env "
    "ldd debconf-show debconf-communicate apt-config logger mktemp getcap "
    "cd umask export readonly local unset shift set read trap wait break continue getopts times alias jobs"
)
_RUNNING = _words(
    "invoke-rc.d service deb-systemd-invoke telinit initctl start-stop-daemon kill killall pkill killall5"
)
_RUNNING_SYSTEMCTL = _words(
    "daemon-reload daemon-reexec restart try-restart reload reload-or-restart try-reload-or-restart start stop kill "
    "is-active is-enabled is-failed status show list-units list-unit-files"
)
_UNITS = _words("deb-systemd-helper systemctl systemd-tmpfiles systemd-sysusers udevadm systemd-hwdb")
_BYTE_CODE = _words("py3compile py3clean pycompile pyclean pypy3compile pypy3clean")
_ACCOUNTS = {"adduser": "passwd", "useradd": "passwd", "addgroup": "group", "groupadd": "group"}
# What they leave is a state, not a product of the files that the upgrade brings: made twice, it is the same.
_STATES = _words(
    "chmod chown chgrp mkdir ln rm rmdir touch update-alternatives update-rc.d deb-systemd-helper adduser addgroup "
    "useradd groupadd usermod dpkg-statoverride dpkg-divert systemctl systemd-tmpfiles ucf ucfr"
)
# Where these are missing, what they were to do may still be needed.
_CORE = _words(
    "cp mv ln rm rmdir mkdir touch install chmod chown chgrp sed awk perl python python3 tar dd tee xargs find sort su "
    "runuser sh bash dash env eval exec . source cat ucf ucfr setcap setfacl chattr adduser useradd addgroup groupadd "
    "usermod groupmod deluser userdel delgroup groupdel dpkg dpkg-divert dpkg-statoverride dpkg-maintscript-helper "
    "dpkg-trigger update-alternatives update-rc.d update-passwd systemctl deb-systemd-helper unlink mknod mkfifo "
    "truncate patch ed gzip gunzip openssl"
)
_PASSING = ("/run/", "/var/run/", "/tmp/")  # noqa: S108 - of the image, which nobody shares yet
_FILES = _words("rm rmdir unlink chmod chown chgrp mkdir ln touch")
_RECURSIVE = ("-R", "--recursive")
_INITS = ("etc/init.d/rc", "usr/sbin/openrc", "sbin/openrc", "usr/sbin/init", "sbin/init")
_SYSTEMD = ("usr/lib/systemd/systemd", "lib/systemd/systemd")
_SAME = "the installed version's script did the same, and what came of it stands in the image"


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a judgement depends on, apart from the script."""

    tree: Tree
    package: str
    architecture: str
    old: str  # installed version; empty for a new package
    new: str
    before: frozenset[str] = frozenset()  # commands that the installed version's postinst reaches
    natives: frozenset[str] = frozenset()  # programs and triggers that sallyport does itself
    changed: frozenset[str] = frozenset()  # relative paths whose content the upgrade changes


def arguments_of(name: str, scene: Scene) -> tuple[str, ...]:
    """How dpkg calls the script ``name`` on this upgrade. Source: Debian Policy 6.5."""
    match name:
        case "postinst":
            return ("configure", scene.old)
        case "preinst":
            return ("upgrade", scene.old, scene.new) if scene.old else ("install",)
        case _:  # the old version's prerm and postrm
            return ("upgrade", scene.new)


def commands_before(text: str | None, scene: Scene) -> frozenset[str]:
    """The commands that the installed version's postinst could reach when it was installed or upgraded."""
    if text is None or not _SHELLS.match(text.partition("\n")[0]):
        return frozenset()
    found: set[str] = set()
    for old in ("", scene.old):
        try:
            reached = reach(text, Call(("configure", old), scene.package, scene.architecture), scene.tree)
        except MalformedError:
            return frozenset()
        found.update(item.text for item in reached)
    return frozenset(found)


def judge_script(name: str, text: str, arguments: tuple[str, ...], scene: Scene) -> tuple[Script, tuple[str, ...]]:
    """The script with its commands judged, and the triggers that it activates."""
    triggers: tuple[str, ...] = ()
    if not _SHELLS.match(text.partition("\n")[0]):
        why = f"it is no shell script but {text.partition(chr(10))[0][:40]!r}"
        judged: tuple[Judged, ...] = (Judged(name, Handling.UNKNOWN, why),)
    else:
        try:
            reached = reach(text, Call(arguments, scene.package, scene.architecture), scene.tree)
        except MalformedError as error:
            judged = (Judged(name, Handling.UNKNOWN, f"it is not understood: {error.message}"),)
        else:
            each = dict.fromkeys(judge_command(item, arguments, scene) for item in reached)
            judged = tuple(item for item in each if item.handling is not Handling.HARMLESS)
            triggers = tuple(dict.fromkeys(trigger for item in reached for trigger in _activated(item)))
    unknown = any(item.handling is Handling.UNKNOWN for item in judged)
    return Script(scene.package, name, arguments, text if unknown else "", judged), triggers


def judge_command(reached: Reached, arguments: tuple[str, ...], scene: Scene) -> Judged:
    """What becomes of one command."""
    program = (reached.argv[0] or "").rpartition("/")[2] if reached.argv else ""
    rest = reached.argv[1:]
    skipped = _skipped(program, rest, arguments, reached, scene)
    if not reached.writes:
        if _reads(program, rest, reached):
            return Judged(reached.text, Handling.HARMLESS, "it only reads")
        if program in scene.natives:
            return Judged(reached.text, Handling.NATIVE, f"sallyport does what {program} does")
        if skipped:
            return Judged(reached.text, Handling.SKIPPED, skipped)
    elif all(path is not None and path.startswith(_PASSING) for path in reached.writes):
        return Judged(reached.text, Handling.SKIPPED, "it writes where nothing outlives a running system")
    reviewed = review_of(scene.package, reached.text)
    if reviewed is not None and not any(path.startswith(reviewed.sources) for path in scene.changed):
        return Judged(reached.text, reviewed.handling, reviewed.reason)
    if reached.writes:
        return Judged(reached.text, Handling.UNKNOWN, f"it writes {reached.writes[0] or 'a file'}")
    return Judged(reached.text, Handling.UNKNOWN, f"what {program or 'it'} would do is not known")


def _activated(reached: Reached) -> Iterable[str]:
    if reached.argv and reached.argv[0] == "dpkg-trigger":
        return (word for word in reached.argv[1:] if word is not None and not word.startswith("-"))
    return ()


def _reads(program: str, rest: tuple[str | None, ...], reached: Reached) -> bool:
    match program:
        case "":
            return not reached.argv  # an assignment, or a redirection that writes nothing
        case "sed":
            return not any(word is None or word.startswith(("-i", "--in-place")) for word in rest if word != "-e") or (
                None in rest and re.search(r"\s(-i|--in-place|-[a-z]*i)", reached.text) is None
            )
        case "awk" | "gawk" | "mawk":
            return None not in rest and not any(re.search(r">|\||system", word or "") for word in rest)
        case "sort":
            return not any((word or "-o").startswith(("-o", "--output")) for word in rest)
        case "find":
            return re.search(r"\s-(delete|exec|execdir|ok|okdir|fprint\w*|fls)\b", reached.text) is None
        case "dpkg":
            return (
                bool(rest)
                and re.match(
                    r"--(compare-versions|status|list|listfiles|search|print-.*|get-selections|assert-.*|validate-.*)$|-[slLS]$",
                    rest[0] or "",
                )
                is not None
            )
        case "dpkg-divert":
            return bool({"--list", "--listpackage", "--truename"} & set(rest))
        case "dpkg-statoverride":
            return "--list" in rest
        case "update-alternatives":
            return bool({"--list", "--query", "--display", "--get-selections"} & set(rest))
        case "dpkg-maintscript-helper":
            return rest[:1] == ("supports",)
        case _:
            return program in _READS


def _skipped(
    program: str, rest: tuple[str | None, ...], arguments: tuple[str, ...], reached: Reached, scene: Scene
) -> str:
    """Why the command changes nothing here; empty where it might."""
    tree = scene.tree
    if program in _RUNNING or (program == "systemctl" and _RUNNING_SYSTEMCTL & set(rest)):
        return "it concerns running processes, and nothing runs in an image"
    if program in _UNITS and not any(tree.entry(path, follow=True) for path in _SYSTEMD):
        return "it sets up systemd, which the image does not have"
    if program == "update-rc.d" and not any(tree.entry(path, follow=True) for path in _INITS):
        return "it sets up an init system, and the image has none"
    if program.startswith("db_") or (program == "." and rest == (CONFMODULE,)):
        return "it asks debconf, whose answers stay as they are in the image"
    if program in _BYTE_CODE:
        return "Python compares its byte code with the source, and goes on without it"
    if program == "dpkg-trigger" and None not in rest:
        return "the triggers that it names are looked at on their own"
    if program == "dpkg-maintscript-helper":
        return _helper(rest, scene)
    if reason := _there_already(program, rest, scene):
        return reason
    if program in _ACCOUNTS and rest and (name := rest[-1]):
        text = tree.text(f"etc/{_ACCOUNTS[program]}") or ""
        if any(line.partition(":")[0] == name for line in text.splitlines()):
            return f"the image has the account {name}"
    if program == "update-alternatives" and (reason := _alternative(rest, arguments, scene)):
        return reason
    if program in _STATES and reached.text in scene.before:
        return _SAME
    if (sources := PRODUCTS.get(program)) and not any(path.startswith(sources) for path in scene.changed):
        return f"it makes something of /{sources[0]}, where nothing changes"
    if program and program not in _CORE and find_program(tree, reached.argv[0] or "") is None:
        return f"the image has no {program} to run"
    return ""


def _helper(rest: tuple[str | None, ...], scene: Scene) -> str:
    """``dpkg-maintscript-helper``, which acts on upgrades from before the version that it names."""
    words = list(rest[: rest.index("--")] if "--" in rest else rest)
    number = {"rm_conffile": 2, "mv_conffile": 3, "symlink_to_dir": 3, "dir_to_symlink": 3}.get(
        words[0] or "" if words else ""
    )
    if number is None:
        return ""
    last = words[number] if len(words) > number else ""
    if last is None:
        return ""
    if not scene.old:
        return "it acts on upgrades, and the package is new"
    # The helper compares with "le-nl"; an empty version means every upgrade.
    if last and compare_debian(scene.old, last) > 0:
        return f"it acts on upgrades from {last} or older"
    path = (words[1] or "").strip("/")
    entry = scene.tree.entry(path, follow=False) if path else None
    wanted = {"symlink_to_dir": Kind.SYMLINK, "dir_to_symlink": Kind.DIRECTORY}.get(words[0] or "")
    if path and (entry is None if wanted is None else entry is None or entry.kind is not wanted):
        return f"/{path} is not what it would replace"
    return ""


def _there_already(program: str, rest: tuple[str | None, ...], scene: Scene) -> str:
    """Why a command that makes or removes files finds its work done; empty where it does not."""
    if program not in _FILES or any(word in _RECURSIVE for word in rest):
        return ""
    operands = [word for word in rest if word is None or not word.startswith("-")]
    if program in ("chmod", "chown", "chgrp", "ln"):
        setting, operands = (operands[0], operands[1:]) if operands else (None, [])
        if setting is None:
            return ""
    else:
        setting = ""
    if not operands or any(word is None or not word.startswith("/") for word in operands):
        return ""
    if all((word or "").startswith(_PASSING) for word in operands):
        return "nothing outlives a running system there"
    entries = [
        scene.tree.entry((word or "").strip("/"), follow=program not in ("rm", "unlink", "ln")) for word in operands
    ]
    match program:
        case "rm" | "rmdir" | "unlink":
            return "" if any(entries) else "there is nothing to remove"
        case "touch":
            return ""
        case "mkdir":
            fits = [entry is not None and entry.kind is Kind.DIRECTORY for entry in entries]
            return "the folder is there" if all(fits) else ""
        case "ln":
            fits = [entry is not None and entry.kind is Kind.SYMLINK and entry.link == setting for entry in entries]
            return "the link is there" if all(fits) else ""
        case "chmod":
            wanted = int(setting, 8) if re.fullmatch(r"[0-7]{3,4}", setting) else None
            fits = [entry is not None and entry.mode == wanted for entry in entries]
            return "the mode is so already" if all(fits) else ""
        case _:
            user, group = _owner(setting, scene) if program == "chown" else (None, _number(setting, "group", scene))
            if user == -1 or group == -1:
                return ""
            fits = [entry is not None and user in (None, entry.uid) and group in (None, entry.gid) for entry in entries]
            return "the owner is so already" if all(fits) else ""


def _owner(setting: str, scene: Scene) -> tuple[int | None, int | None]:
    user, _, group = setting.replace(".", ":").partition(":")
    return (
        _number(user, "passwd", scene) if user else None,
        _number(group, "group", scene) if group else None,
    )


def _number(name: str, database: str, scene: Scene) -> int:
    """The number of an account; -1 where it is not known."""
    if name.isdigit():
        return int(name)
    for line in (scene.tree.text(f"etc/{database}") or "").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdigit():  # noqa: PLR2004 - name, password, number
            return int(fields[2])
    return -1


def _alternative(rest: tuple[str | None, ...], arguments: tuple[str, ...], scene: Scene) -> str:
    words = [word for word in rest if word not in ("--quiet", "--force")]
    if words[:1] == ["--install"] and len(words) > 3 and words[2] and words[3]:  # noqa: PLR2004 - link, name, path
        known = scene.tree.text(f"var/lib/dpkg/alternatives/{words[2]}")
        if known is not None and words[3] in known.splitlines():
            return "the alternative is registered"
    if words[:1] == ["--remove"] and len(words) > 1 and words[1]:
        if scene.tree.entry(f"var/lib/dpkg/alternatives/{words[1]}", follow=False) is None:
            return "no such alternative is registered"
        if arguments[:1] == ("upgrade",):
            return "the new version registers it again"
    return ""
