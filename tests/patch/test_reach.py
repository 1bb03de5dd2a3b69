"""What a maintainer script could reach: never too little, and no more than it must."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import MalformedError
from sallyport.oci import Entry, Kind
from sallyport.patch.reach import Call, Reached, reach


@dataclass
class Paper:
    """A tree on paper: paths to entries, and texts of database files."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def entry(self, path: str, *, follow: bool) -> Entry | None:
        found = self.entries.get(path)
        if found is not None and follow and found.kind is Kind.SYMLINK:
            return self.entries.get(found.link.lstrip("/"))
        return found

    def text(self, path: str) -> str | None:
        return self.texts.get(path)


QUIET = {
    "set",
    "[",
    "test",
    "dpkg",
    "command",
    "which",
    "local",
    "export",
    "read",
    "true",
    "false",
    "ischroot",
    "getent",
}


def reached(script: str, *arguments: str, tree: Paper | None = None) -> list[str]:
    """The commands that could run, without those that only ask."""
    call = Call(arguments or ("configure", "1.0-1"), "pkg", "amd64")
    return [item.text for item in reach(script, call, tree or Paper()) if (item.argv or ("",))[0] not in QUIET]


def test_only_the_branch_of_these_arguments_is_reached() -> None:
    script = """
case "$1" in
  configure) if [ -z "$2" ]; then first; else again "$2"; fi ;;
  abort-*|remove) undo ;;
  *) exit 1 ;;
esac
after
"""
    assert reached(script, "configure", "") == ["first", "after"]
    assert reached(script, "configure", "1") == ['again "$2"', "after"]
    assert reached(script, "abort-upgrade", "1") == ["undo", "after"]
    assert reached(script, "triggered", "x") == []


def test_variables_carry_what_is_known() -> None:
    script = 'type=$1; old=${2:-none}; if [ "$type" = configure ] && [ "$old" != none ]; then hit; else miss; fi'
    assert reached(script, "configure", "1") == ["hit"]
    assert reached(script, "configure", "") == ["miss"]


def test_an_unknown_condition_reaches_both_sides() -> None:
    assert reached('if frob; then a; else b; fi; [ "$FROM_OUTSIDE" = x ] && c || d') == ["frob", "a", "b", "c", "d"]


def test_what_both_sides_agree_on_stays_known() -> None:
    script = 'if frob; then x=1 y=1; else x=1 y=2; fi; [ "$x" = 1 ] || never; [ "$y" = 1 ] || maybe'
    assert reached(script) == ["frob", "maybe"]


def test_versions_are_compared_as_dpkg_does() -> None:
    script = 'if dpkg --compare-versions "$2" lt-nl 1.0-1; then old; elif dpkg --compare-versions -- "$2" ge 1.0-1; then new; fi'
    assert reached(script, "configure", "0.9~rc1") == ["old"]
    assert reached(script, "configure", "1.0-1") == ["new"]
    assert reached(script, "configure", "") == []
    assert reached('dpkg --compare-versions "$2" lt 1 && fresh', "configure", "") == ["fresh"]
    assert reached('dpkg --compare-versions "$2" lt "not a version" && x') == ["x"]


def test_the_image_is_looked_at() -> None:
    tree = Paper(
        {
            "etc/x": Entry("etc/x", Kind.FILE, 0o644, size=3),
            "etc/link": Entry("etc/link", Kind.SYMLINK, link="/etc/gone"),
            "run": Entry("run", Kind.DIRECTORY, 0o755),
            "usr/bin/tool": Entry("usr/bin/tool", Kind.FILE, 0o755),
        }
    )
    script = """
[ -f /etc/x ] || a; [ -s /etc/x ] || b; [ -x /etc/x ] && c; [ -L /etc/link ] || d; [ -e /etc/link ] && e
[ -d /run/systemd/system ] && f; test ! -e /etc/none || g; [ -e /proc/1 ] && unknown
command -v tool >/dev/null || h; [ -x "$(command -v tool)" ] || i; which nothing && j
[ -f /etc/x -a ! -d /etc/x ] || k; [ "$1" = configure -o -e /etc/none ] || l
"""
    assert reached(script, tree=tree) == ["unknown"]


def test_accounts_and_diversions_are_looked_up() -> None:
    tree = Paper(
        texts={
            "etc/passwd": "root:x:0:0::/:/bin/sh\n_apt:x:42:65534::/:/x\n",
            "var/lib/dpkg/statoverride": "root adm 2755 /var/log/x\n",
            "var/lib/dpkg/diversions": "/bin/sh\n/bin/sh.distrib\ndash\n",
        }
    )
    script = """
getent passwd _apt >/dev/null || adduser _apt
getent passwd new >/dev/null || adduser new
dpkg-statoverride --list /var/log/x >/dev/null || chown root:adm /var/log/x
diverter=$(dpkg-divert --listpackage /bin/sh)
if [ "$diverter" = dash ]; then exit 0; fi
claim
"""
    found = reached(script, tree=tree)
    assert "adduser new" in found
    assert not {"adduser _apt", "chown root:adm /var/log/x", "claim"} & set(found)


def test_functions_return_and_exit() -> None:
    script = """
helper() { local x=$1; [ -n "$x" ] || return 0; use "$x"; }
leave() { exit 0; }
helper ""; helper b
if frob; then early() { return; }; leave; fi
rest
"""
    assert reached(script) == ['use "$x"', "frob", "rest"]
    assert reached("f() { exit 1; }; f; never") == []
    assert reached("f() { if frob; then x=1; return; fi; x=2; }; f; [ $x = 2 ] || other") == ["frob", "other"]


def test_loops() -> None:
    assert reached('for i in a b; do if [ $i = b ]; then hit; fi; done; [ "$i" = b ] || never') == ["hit"]
    assert reached("for i in $(list); do use $i; done") == ["list", "use $i"]
    assert reached("x=1; while frob; do x=2; done; [ $x = 1 ] && a; [ $x = 2 ] && b") == ["frob", "a", "b"]
    assert reached("for i in 1 2; do [ $i = 1 ] && break; two; done; [ $i = 1 ] || more") == ["break", "two", "more"]
    assert reached('for i; do use "$i"; done', "a") == ['use "$i"']


def test_subshells_do_not_change_the_shell() -> None:
    assert reached("x=1; ( x=2; exit 1 ); echo y | x=3; [ $x = 1 ] && still") == ["echo y", "still"]


def test_expansions() -> None:
    script = 'v=/usr/share/x/a.conf; [ "${v##*/}" = a.conf ] || a; [ "${v%/*}" = /usr/share/x ] || b; [ "${#v}" = 19 ] || c; [ "${v#/usr}" = /share/x/a.conf ] || d'
    assert reached(script) == []
    assert reached('[ "${none:+x}" = "" ] || unknown') == ["unknown"]


def test_redirections_are_seen_unless_they_lead_nowhere() -> None:
    script = (
        'echo a > "$DPKG_ROOT/etc/a"; echo b >/dev/null 2>&1; { c; } >> /etc/c; > /etc/d; f() { echo; }; f > /etc/f'
    )
    writes = [item.writes for item in reach(script, Call(("configure", ""), "p", "amd64"), Paper()) if item.writes]
    assert writes == [("/etc/a",), ("/etc/c",), ("/etc/d",), ("/etc/f",)]


def test_what_is_sourced_or_evaluated_makes_all_unknown() -> None:
    assert reached('x=1; . /lib/other; [ "$x" = 1 ] || changed') == [". /lib/other", "changed"]
    assert reached('x=1; eval "$y"; [ "$x" = 1 ] || changed') == ['eval "$y"', "changed"]
    confmodule = 'x=1; . /usr/share/debconf/confmodule; [ "$x" = 1 ] || never; db_get a; [ "$RET" = 1 ] && maybe'
    assert reached(confmodule)[-1] == "maybe"
    assert "never" not in reached(confmodule)


def test_traps_count() -> None:
    assert reached("trap 'rm -f /etc/x' EXIT") == ["trap 'rm -f /etc/x' EXIT", "rm -f /etc/x"]


def test_arguments_are_passed_on() -> None:
    call = Call(("upgrade", "1", "2"), "p", "amd64")
    found = reach('helper rm_conffile /etc/x 1.2\\~ -- "$@"; shift; rest $*', call, Paper())
    assert found == (
        Reached(
            ("helper", "rm_conffile", "/etc/x", "1.2~", "--", "upgrade", "1", "2"),
            (),
            'helper rm_conffile /etc/x 1.2\\~ -- "$@"',
        ),
        Reached(("shift",), (), "shift"),
        Reached(("rest", "1", "2"), (), "rest $*"),
    )


@pytest.mark.parametrize("script", ["f() { f; }; f", "a && (", "x() { x | x; }; x"])
def test_what_cannot_be_walked_is_an_error(script: str) -> None:
    with pytest.raises(MalformedError):
        reached(script)


def test_a_script_bomb_ends() -> None:
    bomb = "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; f{n + 1}; }}\n" for n in range(18)) + "f18() { a; }\nf0\n"
    with pytest.raises(MalformedError, match="involved"):
        reached(bomb)


CONDITIONS = st.sampled_from(
    ['[ "$1" = configure ]', '[ -n "$2" ]', "true", "false", "frob", '[ "$x" = 1 ]', "dpkg --compare-versions 1 lt 2"]
)
BODIES = st.recursive(
    st.sampled_from(["run a", "run b", "x=1", "x=2", "x=$2"]),
    lambda inner: st.one_of(
        st.builds("if {}; then {}; else {}; fi".format, CONDITIONS, inner, inner),
        st.builds("{} && {}".format, CONDITIONS, inner),
        st.builds("{{ {}; {}; }}".format, inner, inner),
        st.builds("for i in 1 2; do {}; done".format, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(BODIES, st.booleans())
def test_whatever_a_shell_runs_was_reached(body: str, frob: bool) -> None:  # noqa: FBT001
    """The promise, held against a real shell."""
    import shutil
    import subprocess

    shell = shutil.which("dash") or shutil.which("sh")
    if shell is None:
        pytest.skip("no POSIX shell is installed")
    real = f"run() {{ echo run $1; }}\nfrob() {{ {'true' if frob else 'false'}; }}\nx=0\n{body}\n"
    ran = subprocess.run([shell, "-c", real, "sh", "configure", "1"], capture_output=True, timeout=10, check=False)
    found = {item.text for item in reach(f"x=0\n{body}\n", Call(("configure", "1"), "p", "amd64"), Paper())}
    assert set(ran.stdout.decode().splitlines()) <= found
