"""Commands of maintainer scripts that a person read, with why they need nothing when an image is patched.

The key is the package and the command itself, as the script writes it, not the package alone: a new version
that does something else is unknown again. Add an entry only after reading the whole script, and say in the
reason what the command is for, so that the next reader can check it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sallyport.patch.model import Handling


@dataclass(frozen=True, slots=True)
class Review:
    """What becomes of a command, and why."""

    handling: Handling
    reason: str
    sources: tuple[str, ...] = ()  # it holds only where the upgrade changes nothing below these folders


PRODUCTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fc-cache": ("usr/share/fonts/", "etc/fonts/"),
        "gio-querymodules": ("usr/lib/x86_64-linux-gnu/gio/modules/", "usr/lib/aarch64-linux-gnu/gio/modules/"),
        "glib-compile-schemas": ("usr/share/glib-2.0/schemas/",),
        "pam-auth-update": ("usr/share/pam-configs/",),
        "update-catalog": ("etc/sgml/", "usr/share/sgml/"),
        "update-mime-database": ("usr/share/mime/packages/",),
        "update-passwd": ("usr/share/base-passwd/",),
        "update-shells": ("usr/share/debianutils/shells.d/",),
        "update-xmlcatalog": ("usr/share/xml/",),
    }
)
"""Programs that make something of the files below these folders: where those do not change, nor does the product."""


def _same(reason: str, *commands: str, handling: Handling = Handling.SKIPPED) -> dict[str, Review]:
    return dict.fromkeys(commands, Review(handling, reason))


_BYTE_CODE = "it makes or removes byte code, which Python compares with the source, and does without"
_PYTHON = _same(
    _BYTE_CODE,
    "LANG=C LC_ALL=C xargs --show-limits < /dev/null 2>&1",
    'xargs --max-chars="$max" echo \\',
    "rm -f $files",
    "rm -f /usr/lib/python3.N/__pycache__/__phello__.cpython-*.py*",
    "xargs -r rm -rf",
    "xargs -r rmdir",
    "$filt",
    "/usr/bin/python3.N -E -S /usr/lib/python3.N/py_compile.py $files",
    "/usr/bin/python3.N -E -S -O /usr/lib/python3.N/py_compile.py $files",
)
_ANY = _same(
    # dh_python's clean-up where py3clean is not installed.
    _BYTE_CODE,
    "perl -ne 's,/([^/]*)\\.py$,/__pycache__/\\1.*, or next; unlink $_ or die $! foreach glob($_)'",
    "xargs --null --no-run-if-empty rmdir",
)
_REVIEWED: Mapping[str, Mapping[str, Review]] = MappingProxyType(
    {
        "base-files": dict.fromkeys(
            (
                'cp -p "$DPKG_ROOT/usr/share/base-files/$1" "$DPKG_ROOT$2"',
                'cp -p "/usr/share/base-files/$1" "$2"',
            ),
            Review(Handling.SKIPPED, "it copies templates, which do not change", ("usr/share/base-files/",)),
        ),
        "base-passwd": _same(
            "it compares the accounts, into a file of the script's own", 'update-passwd --dry-run > "$tmp"'
        ),
        "ca-certificates": {
            **_same(
                "sallyport writes the list of enabled certificates itself",
                "> /etc/ca-certificates.conf.dpkg-new",
                'echo "$ca" >> /etc/ca-certificates.conf.dpkg-new',
                'echo "!$ca" >> /etc/ca-certificates.conf.dpkg-new',
                "mv -f /etc/ca-certificates.conf /etc/ca-certificates.conf.dpkg-old",
                "mv /etc/ca-certificates.conf.dpkg-new /etc/ca-certificates.conf",
                handling=Handling.NATIVE,
            ),
            **_same(
                "a folder for certificates that a machine's administrator adds; whoever adds some to an image makes it",
                "mkdir -m $(stat -L -c %a /usr/local) /usr/local/share/ca-certificates 2>/dev/null",
                "chgrp $(stat -L -c %g /usr/local) /usr/local/share/ca-certificates",
                "chmod $(stat -L -c %a /usr/local) /usr/local/share/ca-certificates",
                "chown $(stat -L -c %u /usr/local):$(stat -L -c %g /usr/local) /usr/local/share/ca-certificates",
            ),
        },
        "libc6": {
            **_same("it asks whether perl runs, to use debconf", 'perl -e "" 2>/dev/null'),
            **_same(
                "it keeps the loader from a processor's own copies of the library while half of them is new, and the "
                "postinst takes it away again",
                'touch "$DPKG_ROOT/etc/ld.so.nohwcap"',
            ),
        },
        "libgcrypt20": _same(
            "it looks for copies of the library that no package owns, left behind on machines that were upgraded from "
            "a release before the merged /usr",
            *(
                f'/usr/share/libgcrypt20/clean-up-unmanaged-libraries --bug-ref=984884 "$@" {machine} libgcrypt.so.20'
                for machine in ("x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf")
            ),
        ),
        "libpython3.N-minimal": _PYTHON,
        "libpython3.N-stdlib": _PYTHON,
        "libstdc++6": _PYTHON,
        "nginx-common": _same(
            "an example page, made on the first installation where there is none: an image without it serves its own",
            "mkdir -p /var/www/html",
            "cp /usr/share/nginx/html/index.html /var/www/html/index.nginx-debian.html",
        ),
        "python3.N": _PYTHON,
        "python3.N-minimal": _PYTHON,
        "python3.N-venv": _PYTHON,
        "tzdata": _same(
            "it sets the time zone that debconf read from the image's /etc/localtime, which is the one that is set",
            'ln -nsf "/usr/share/zoneinfo/$TIMEZONE" "$DPKG_ROOT/etc/localtime.dpkg-new"',
            'mv -f "$DPKG_ROOT/etc/localtime.dpkg-new" "$DPKG_ROOT/etc/localtime"',
            'echo "$TIMEZONE" > "$DPKG_ROOT/etc/timezone"',
        ),
    }
)
_PYTHON_VERSION = re.compile(r"python3\.[0-9]+")


def review_of(package: str, command: str) -> Review | None:
    """What a person found out about ``command`` of ``package``."""
    command = _PYTHON_VERSION.sub("python3.N", command)
    return _REVIEWED.get(_PYTHON_VERSION.sub("python3.N", package), {}).get(command) or _ANY.get(command)
