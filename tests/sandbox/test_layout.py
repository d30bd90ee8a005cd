# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stands where inside, as steps for bwrap(1)."""

import os
from pathlib import Path

import pytest

from ostreefs.sandbox.arguments import Descriptors, make_arguments, make_environment
from ostreefs.sandbox.errors import SandboxError
from ostreefs.sandbox.identity import Identity, complete_accounts, find_identity, parse_passwd
from ostreefs.sandbox.layout import DATA, Layout, plan_layout
from ostreefs.sandbox.options import Bind, SandboxOptions, parse_bind, parse_variable
from ostreefs.sandbox.rooted import View

ROOT = Identity("root", 0, 0, "/root", "/bin/sh", is_of_tree=True)
MOUNT_POINTS = ("dev", "etc", "home", "proc", "run", "sys", "tmp", "usr", "var")
LONE = SandboxOptions(home=False, network=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in MOUNT_POINTS:
        (root / name).mkdir(parents=True)
    return root


def plan(tree: Path, options: SandboxOptions = LONE, identity: Identity = ROOT) -> Layout:
    return plan_layout(View(tree), tree, options, identity)


def test_a_tree_with_all_mount_points(tree: Path) -> None:
    layout = plan(tree)
    assert layout.steps[0] == ("--ro-bind", str(tree), "/")
    assert ("--proc", "/proc") in layout.steps
    assert ("--dev", "/dev") in layout.steps
    for mode, place in (("1777", "/tmp"), ("0755", "/run"), ("0755", "/var")):
        assert ("--perms", mode, "--tmpfs", place) in layout.steps
    assert (layout.ends, layout.made, layout.data) == ([], {}, {})


def test_a_tree_without_one_is_opened(tree: Path) -> None:
    (tree / "tmp").rmdir()
    (tree / "lib").symlink_to("usr/lib")
    (tree / "init").touch()
    layout = plan(tree)
    assert ("--ro-bind", str(tree), "/") not in layout.steps
    assert ("--ro-bind", f"{tree}/usr", "/usr") in layout.steps
    assert ("--ro-bind", f"{tree}/init", "/init") in layout.steps
    assert ("--symlink", "usr/lib", "/lib") in layout.steps
    assert layout.ends == [("--remount-ro", "/")]


def test_only_the_nearest_directory_is_opened(tree: Path, tmp_path: Path) -> None:
    (tree / "usr/share").mkdir()
    bind = Bind(tmp_path, "/usr/share/a/b", writable=False)
    layout = plan(tree, LONE._replace(binds=(bind,)))
    assert layout.steps[0] == ("--ro-bind", str(tree), "/")
    assert layout.steps[1] == ("--perms", "0755", "--tmpfs", "/usr/share")
    assert layout.steps[-1] == ("--ro-bind", str(tmp_path), "/usr/share/a/b")
    assert layout.ends == [("--remount-ro", "/usr/share")]


def test_a_writable_tree_gets_mount_points(tree: Path) -> None:
    (tree / "tmp").rmdir()
    bind = Bind(tree, "/opt/a")
    layout = plan(tree, LONE._replace(writable=True, binds=(bind,)))
    assert layout.steps[0] == ("--bind", str(tree), "/")
    assert layout.made == {"/tmp": True, "/opt": True, "/opt/a": True}
    assert not any("/var" in step for step in layout.steps), "it is part of the tree"


def test_var_can_be_read_and_written(tree: Path) -> None:
    (tree / "var/lib/full").mkdir(parents=True)
    (tree / "var/lib/full/file").touch()
    (tree / "var/tmp").mkdir()
    (tree / "var/tmp").chmod(0o1777)
    (tree / "var/run").symlink_to("../run")
    steps = plan(tree).steps
    wanted = [
        ("--perms", "0755", "--dir", "/var/lib"),
        ("--ro-bind", f"{tree}/var/lib/full", "/var/lib/full"),
        ("--symlink", "../run", "/var/run"),
        ("--perms", "1777", "--dir", "/var/tmp"),
    ]
    assert [step for step in steps if step[-1].startswith("/var/")] == wanted


def test_home_goes_where_a_link_leads(tree: Path) -> None:
    (tree / "home").rmdir()
    (tree / "home").symlink_to("var/home")
    steps = plan(tree, LONE._replace(home=True)).steps
    assert ("--bind", os.path.realpath("/home"), "/var/home") in steps


def test_resolv_conf_is_usable_behind_a_link(tree: Path) -> None:
    source = os.path.realpath("/etc/resolv.conf")
    options = LONE._replace(network=True)
    (tree / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    wanted = ("--ro-bind", source, "/run/systemd/resolve/stub-resolv.conf")
    assert (wanted in plan(tree, options).steps) is os.path.isfile(source)
    assert wanted not in plan(tree).steps


def test_files_and_directories_do_not_mix(tree: Path, tmp_path: Path) -> None:
    (tree / "etc/file").touch()
    with pytest.raises(SandboxError, match="the tree has a file there"):
        plan(tree, LONE._replace(binds=(Bind(tmp_path, "/etc/file"),)))
    with pytest.raises(SandboxError, match="cannot bind /none: No such file"):
        plan(tree, LONE._replace(binds=(Bind(Path("/none"), "/etc/file"),)))


def test_whom_the_tree_does_not_know_gets_a_name(tree: Path) -> None:
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh")
    (tree / "etc/group").write_text("users:x:77:\n")
    stranger = Identity("me", 4321, 77, "/home/me")
    layout = plan(tree, LONE, stranger)
    line = "me:x:4321:77::/home/me:/bin/sh\n"
    wanted = {"/etc/passwd": f"{line}root:x:0:0::/root:/bin/sh".encode()}
    assert layout.data == wanted
    assert (DATA, "/etc/passwd") in layout.steps
    assert complete_accounts(View(tree), ROOT) == {}
    assert plan(tree, LONE._replace(writable=True), stranger).data == {}


def test_whom_a_name_means(tree: Path) -> None:
    (tree / "etc/passwd").write_text("bad line\nroot:x:7:8::/r:/bin/zsh\nme:x:5:6::/me:\n")
    view = View(tree)
    assert find_identity(view, "me") == Identity("me", 5, 6, "/me", "", is_of_tree=True)
    assert find_identity(view, "5:9")[:3] == ("me", 5, 9)
    assert find_identity(view, "4321")[:4] == ("4321", 4321, 4321, "/")
    assert find_identity(view, "daemon").is_of_tree is False
    assert find_identity(view, None)[1:3] == (os.geteuid(), os.getegid())
    for wrong in ("", ":", "me:1", "1:x", "nobodyatall", "99999999999"):
        with pytest.raises(SandboxError, match="there is no user"):
            find_identity(view, wrong)
    assert parse_passwd(b"\xff:x:1:2:::\n")[0].uid == 1


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("/a", "/a", "/a"),
        ("/a:/b/../c", "/a", "/c"),
        ("/a\\:b:/c", "/a:b", "/c"),
        ("/a/:/b", "/a", "/b"),
    ],
)
def test_binds_as_words(text: str, source: str, target: str) -> None:
    assert parse_bind(text, writable=True) == Bind(Path(source), target)


@pytest.mark.parametrize("text", ["", ":", ":/b", "/a:b"])
def test_binds_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(SandboxError, match="cannot bind"):
        parse_bind(text, writable=False)


def test_variables_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "x")
    assert parse_variable("A=b=c") == ("A", "b=c")
    assert parse_variable("A=") == ("A", "")
    assert parse_variable("OURS") == ("OURS", "x")
    for wrong in ("", "=x", "NOT_THERE_AT_ALL"):
        with pytest.raises(SandboxError, match="there is no variable"):
            parse_variable(wrong)


def arguments(options: SandboxOptions = LONE, code: int | None = 9, *, is_root: bool) -> list[str]:
    who = Identity("me", 5, 6)
    descriptors = Descriptors(3, 4, 5, code)
    steps = [("--proc", "/proc")]
    return make_arguments(steps, options, who, descriptors, is_root=is_root, directory="/x")


def test_arguments() -> None:
    words = " ".join(arguments(is_root=False))
    assert "--unshare-user --uid 5 --gid 6 --unshare-net --proc /proc --chdir /x" in words
    assert words.endswith("--info-fd 3 --block-fd 4 --json-status-fd 5 --seccomp 9")
    assert "--die-with-parent" not in words, "it would die of ^C"
    assert "--new-session" in arguments(code=None, is_root=False)
    words = " ".join(arguments(LONE._replace(network=True), is_root=True))
    assert "--cap-drop ALL --cap-add CAP_CHOWN" in words
    assert "CAP_SYS_ADMIN" not in words
    assert "--unshare-user" not in words
    assert "--unshare-net" not in words


def test_environment() -> None:
    ours = {"TERM": "x", "LC_ALL": "C", "SECRET": "s", "https_proxy": "p", "PATH": "/odd"}
    options = LONE._replace(environment=(("TERM", "y"),))
    found = make_environment(ours, options, ROOT, "/root")
    assert {"TERM", "LC_ALL", "PATH", "HOME", "USER"} <= set(found)
    assert found["TERM"] == "y"
    assert found["PATH"] != "/odd"
    assert {"SECRET", "https_proxy"} & set(found) == set()
    assert "https_proxy" in make_environment(ours, LONE._replace(network=True), ROOT, "/root")
