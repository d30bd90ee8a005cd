# SPDX-License-Identifier: LGPL-2.1-or-later
"""`compose`: a base and additions, without commands."""

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.archives import archive, directory, file, member
from tests.support.commands import complaint
from tests.support.packages import make_deb, make_rpm
from tests.support.trees import write

STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info"
OWNED = ("--owner-uid=0", "--owner-gid=0")


def paths(cli: Cli, revision: str) -> set[str]:
    return set(cli.lines("ls", "-R", revision, "--nul-filenames-only")[0].split("\0")) - {""}


def changes(cli: Cli, old: str, new: str) -> dict[str, str]:
    """Path -> what became of it."""
    lines = cli.lines("diff", old, new)
    return {line[5:]: line[:5].strip() for line in lines if line[5:6] == "/"}


@pytest.fixture
def base(cli: Cli, tmp_path: Path) -> Path:
    """A merged-usr tree with dpkg's database, committed as `os`."""
    root = tmp_path / "base"
    write(root / "usr/lib/libGL.so", b"old")
    write(root / "usr/bin/tool", b"tool")
    write(root / "etc/passwd", b"root:x:0:0::/:/bin/sh\ndaemon:x:1:2::/:/bin/false\n")
    write(root / "etc/group", b"root:x:0:\nadm:x:4:\n")
    write(root / "usr/bin/sh", b"\x7fELF\2\1\1".ljust(18, b"\0") + b"\x3e\0")  # for x86_64
    status = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
    write(root / STATUS, (status.format("dpkg") + status.format("hello")).encode())
    write(root / INFO / "format", b"1\n")
    (root / "lib").symlink_to("usr/lib")
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/lib").chmod(0o750)
    cli.commit(root, "os", *OWNED)
    return root


@pytest.fixture
def mesa(cli: Cli, tmp_path: Path) -> Path:
    """Two files, committed as `mesa`."""
    root = tmp_path / "mesa"
    write(root / "usr/lib/libGL.so", b"new")
    write(root / "usr/lib/dri/x", b"dri")
    cli.commit(root, "mesa", *OWNED)
    return root


@pytest.mark.usefixtures("base", "mesa")
def test_overlays_are_recorded_and_can_be_repeated(cli: Cli, tmp_path: Path) -> None:
    said = ("os", "--overlay=mesa", "--overlay=mesa:/usr/lib/dri=>/opt/dri")
    made = cli("compose", "-b", "mine", "--timestamp=@1", *said).strip()
    assert changes(cli, "os", "mine") == {
        "/usr/lib/libGL.so": "M",
        "/usr/lib/dri": "A",
        "/usr/lib/dri/x": "A",
        "/opt": "A",
        "/opt/dri": "A",
        "/opt/dri/x": "A",
    }
    assert cli("cat", "mine", "/usr/lib/libGL.so") == "new"
    shown = cli.json("show", "mine")
    base, mesa = (cli("rev-parse", ref).strip() for ref in ("os", "mesa"))
    assert (shown["parents"], shown["subject"]) == ([], "os + mesa + mesa:/usr/lib/dri")
    assert shown["metadata"]["compose.base"] == base
    assert f'compose.recipe =\n    base = "{base}"\n\n    [[step]]\n' in cli("show", "mine")
    assert f"Base:  {base}\n" in cli("log", "mine")
    again = cli("compose", "--orphan", "--recipe-of=mine").strip()
    subject = f"{base[:12]} + {mesa[:12]} + {mesa[:12]}:/usr/lib/dri"
    assert cli.json("show", again)["subject"] == subject
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(shown["metadata"]["compose.recipe"])
    assert recipe.read_text() == (
        f'base = "{base}"\n\n[[step]]\noverlay = "{mesa}"\n\n'
        f'[[step]]\noverlay = "{mesa}"\nsubpath = "/usr/lib/dri"\ndest = "/opt/dri"\n'
    )
    again = cli.json("compose", "--recipe", recipe, "-b", "mine", "--skip-if-unchanged")
    assert (again["commit"], again["new"], again["files_read"]) == (made, False, 0)
    cli("compose", "--recipe", recipe, "-b", "mine", "-s", "again", "-m", "body")
    shown = cli.json("show", "mine")
    assert (shown["parents"], shown["subject"], shown["body"]) == ([made], "again", "body")
    cli("compose", "--recipe-of=mine", "-b", "other", "mesa", "--overlay=os:/etc=>/etc")
    assert {"/opt/dri/x", "/usr/lib/dri/x", "/etc/passwd"} <= paths(cli, "other")
    assert "/usr/bin/tool" not in paths(cli, "other")
    assert "was not composed" in cli.fails("compose", "--recipe-of=os", "-b", "other")


def test_directories_that_are_there_keep_their_metadata(
    cli: Cli, base: Path, tmp_path: Path
) -> None:
    """And links to directories are followed, wherever something is added below them."""
    added = tmp_path / "added"
    write(added / "lib/new/a", b"a")
    write(added / "lib/b", b"b")
    (added / "lib").chmod(0o700)
    (added / "lib/new").chmod(0o711)
    made = cli.json("compose", "-b", "mine", "os", "--dir", added, *OWNED)
    assert changes(cli, "os", "mine") == {
        "/usr/lib/new": "A",
        "/usr/lib/new/a": "A",
        "/usr/lib/b": "A",
    }
    cli("compose", "-b", "two", "os", f"--dir={added / 'lib'}=>lib", *OWNED)
    assert cli.json("show", "two")["root"] == made["root"]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(made["recipe"])
    assert "owner-uid = 0" in made["recipe"]
    write(added / "lib/b", b"c")
    assert "it is not what it was" in cli.fails("compose", "--recipe", recipe, "-b", "mine")
    assert base.exists()


@pytest.mark.usefixtures("base", "mesa")
def test_conflicts(cli: Cli, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other / "usr/lib/dri/x", b"other")
    write(other / "usr/lib/libGL.so", b"new")  # the same as mesa's
    write(other / "usr/bin", b"a file")
    os.chmod(other, 0o700)
    cli.commit(other, "other", *OWNED)
    words = ("compose", "-b", "mine", "os", "--overlay=mesa", "--overlay=other")
    error = cli.fails(*words)
    assert "/usr/bin: a directory in the base, a file in overlay other" in error
    assert "/usr/lib/dri/x: differs between overlay mesa and overlay other" in error
    assert cli.lines("refs") == ["mesa", "os", "other"]
    done = cli.run(*words, "--dry-run")
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.decode().splitlines() == [
        "conflict  /usr/bin  a directory in the base, a file in overlay other",
        "conflict  /usr/lib/dri/x  differs between overlay mesa and overlay other",
        "replaced  /usr/lib/libGL.so  by overlay mesa",
        "3 added, 1 modified, 3 deleted",
    ]
    assert cli.lines("refs") == ["mesa", "os", "other"]
    cli(*words, "--on-conflict=first")
    assert cli("cat", "mine", "/usr/lib/dri/x") == "dri"
    assert "/usr/bin/tool" in paths(cli, "mine")
    cli(*words, "--on-conflict=last")
    assert cli("cat", "mine", "/usr/lib/dri/x", "/usr/bin") == "othera file"
    found = cli.json(*words, "--dry-run", "--on-conflict=last")
    assert [conflict["kind"] for conflict in found["conflicts"]] == ["type", "content"]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "none"])
def test_a_deb(cli: Cli, tmp_path: Path, compression: str) -> None:
    large = random.Random(1).randbytes(2_000_000).hex()
    deb = make_deb(
        tmp_path,
        {"lib/x/data": large, "bin/hello": "hello", "etc/hello.conf": "conf"},
        Version="2:1.0~rc1",
        control={"postinst": "#!/bin/sh\nexit 1\n", "conffiles": "/etc/hello.conf\n"},
        compression=compression,
    )
    done = cli.run("compose", "-b", "mine", "os", "--deb", deb)
    assert done.returncode == 0, done
    assert b"postinst) were not run: --run 'dpkg --configure -a' runs them" in done.stderr
    added = {path for path, change in changes(cli, "os", "mine").items() if change == "A"}
    assert added == {
        *("/usr/lib/x", "/usr/lib/x/data", "/usr/bin/hello", "/etc/hello.conf"),
        *(f"/{INFO}/hello.{name}" for name in ("list", "postinst", "conffiles")),
    }
    assert cli("cat", "mine", "/usr/lib/x/data") == large
    assert cli.json("ls", "-d", "mine", "/usr/lib/x/data")[0]["uid"] == 0
    assert "hello 1 -> 2:1.0~rc1" in cli("diff", "--packages", "os", "mine")
    assert cli("cat", "mine", f"/{INFO}/hello.list").splitlines()[:3] == [
        "/.",
        "/bin",
        "/bin/hello",
    ]
    metadata = cli.json("show", "mine")["metadata"]
    assert metadata["compose.packages"] == "hello 2:1.0~rc1 (amd64)"


def test_dpkg_agrees(cli: Cli, base: Path, tmp_path: Path) -> None:
    """With what was registered, and takes it up from there."""
    files = dict.fromkeys((f"usr/share/hello/{n}" for n in ("old", "both", "shared")), "1")
    files["etc/old.conf"] = "1"
    scripts = {"conffiles": "/etc/old.conf\n", "prerm": "#!/bin/sh\n"}
    old = make_deb(tmp_path, files, control=scripts)
    dotted = make_deb(tmp_path, {"usr/share/y": "1"}, Package="hello.x")
    other = make_deb(tmp_path, {"usr/share/hello/shared": "1"}, Package="other")
    control = {"triggers": "activate-noawait x\n", "conffiles": "/etc/hello.conf\n"}
    files = {"usr/share/hello/both": "2", "usr/share/hello/new": "2", "etc/hello.conf": "conf"}
    new = make_deb(tmp_path, files, Version="2.0", control=control)
    foreign = make_deb(tmp_path, {"usr/share/lib/x": "x"}, Package="lib", Multi_Arch="same")
    cli.run("compose", "-b", "mine", "os", "--deb", old, "--deb", other, "--deb", dotted)
    assert "/usr/share/hello/old" in paths(cli, "mine")
    done = cli.run("compose", "-b", "mine", "mine", "--deb", new, "--deb", foreign)
    assert b"its scripts (triggers) were not run" in done.stderr
    found = paths(cli, "mine")
    assert "/usr/share/hello/old" not in found
    assert {f"/usr/share/hello/{name}" for name in ("both", "new", "shared")} <= found
    assert f"/{INFO}/hello.prerm" not in found
    assert {f"/{INFO}/hello.x.list", "/etc/old.conf", f"/{INFO}/lib:amd64.list"} <= found
    out = tmp_path / "out"
    cli("checkout", "-U", "mine", out)
    query = ["dpkg-query", f"--admindir={out / 'var/lib/dpkg'}"]

    def asked(*words: str) -> str:
        return subprocess.run([*query, *words], check=True, capture_output=True).stdout.decode()

    shown = asked("-W", "-f", "${Package} ${db:Status-Status} ${Version}\\n")
    assert shown.splitlines() == [
        *(
            "dpkg installed 1",
            "hello unpacked 2.0",
            "hello.x installed 1.0",
            "lib installed 1.0",
            "other installed 1.0",
        )
    ]
    assert "/usr/share/hello/new" in asked("-L", "hello")
    assert asked("-S", "/usr/share/lib/x") == "lib:amd64: /usr/share/lib/x\n"
    assert asked("-W", "-f", "${Conffiles}", "hello").split() == [
        "/etc/hello.conf",
        hashlib.md5(b"conf").hexdigest(),
    ]
    assert base.exists()


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("payload", ["w3.gzdio", "w2.xzdio", "w3.zstdio"])
def test_an_rpm(cli: Cli, tmp_path: Path, payload: str) -> None:
    rpm = make_rpm(
        tmp_path,
        {"usr/bin/hello": "hello", "usr/bin/su": "su", "usr/lib/big": "x" * 300_000},
        script="ln %{buildroot}/usr/bin/hello %{buildroot}/usr/bin/also\n"
        "ln -s hello %{buildroot}/usr/bin/link\n"
        "mkdir -p %{buildroot}/var/lib/hello; touch %{buildroot}/usr/lib/empty\n",
        listed="/usr/bin/*\n/usr/lib/*\n%attr(4755,daemon,adm) /usr/bin/su\n"
        "%caps(cap_net_raw,cap_setuid=ep) /usr/bin/hello\n"
        "%attr(0640,nobody-has-it,root) /usr/lib/empty\n%dir %attr(2750,root,adm) /var/lib/hello\n"
        "%post\nexit 1\n",
        payload=payload,
    )
    done = cli.run("compose", "-b", "mine", "os", "--rpm", rpm)
    assert done.returncode == 0, done
    for words in ("%post) were not run", "no user nobody-has-it", "rpm database does not list"):
        assert words in done.stderr.decode()
    listed = cli.json("ls", "-R", "mine", "/")
    found = {item["path"]: (item["mode"], item["uid"], item["gid"]) for item in listed}
    xattrs = {item["path"]: item["xattrs"] for item in listed}
    assert (
        xattrs["/usr/bin/also"]
        == xattrs["/usr/bin/hello"]
        == {"security.capability": "0100000280200000000000000000000000000000"}
    )
    assert found["/usr/bin/su"] == ("4755", 1, 4)
    assert found["/usr/lib/empty"] == ("0640", 0, 0)
    assert found["/var/lib/hello"] == ("2750", 0, 4)
    assert cli("cat", "mine", "/usr/bin/also", "/usr/bin/hello") == "hellohello"
    assert cli("cat", "mine", "/usr/lib/big") == "x" * 300_000
    assert cli.json("show", "mine")["metadata"]["compose.packages"] == "hello 2:1.0-1 (x86_64)"


@pytest.mark.usefixtures("base")
def test_packages_that_cannot_be(cli: Cli, tmp_path: Path) -> None:
    deb = make_deb(tmp_path, {"usr/share/x": "x" * 4000}, Architecture="arm64", compression="none")
    rpm = make_rpm(tmp_path, {"usr/share/x": "x"}, arch="aarch64", payload="w3.gzdio")
    words = ("compose", "-b", "mine", "os")
    assert "for arm64, and the base is for amd64" in cli.fails(*words, "--deb", deb)
    assert "for aarch64, and the base is for x86_64" in cli.fails(*words, "--rpm", rpm)
    assert "no Debian package" in cli.fails(*words, "--deb", rpm)
    assert "no rpm package" in cli.fails(*words, "--rpm", deb)
    for package, option in ((deb, "--deb"), (rpm, "--rpm")):
        whole = package.read_bytes()
        for length in (0, 7, 70, len(whole) // 2, len(whole) - 50):
            package.write_bytes(whole[:length])
            assert str(package) in cli.fails(*words, option, package)
    assert cli.lines("refs") == ["os"]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([file("../x")], "leads upwards"),
        ([file("/etc/x")], "is absolute"),
        ([member("a", b"1", linkname="b")], "which has not come before"),
        ([member("a", b"2", linkname="/etc"), file("a/x")], "something else than a directory"),
        (
            [directory("etc/passwd"), file("etc/passwd/x")],
            "a file in the base, a directory in deb",
        ),
    ],
)
def test_hostile_debs(cli: Cli, tmp_path: Path, members: list[object], words: str) -> None:
    control = archive(file("./control", b"Package: x\nVersion: 1\nArchitecture: all\n"))
    parts = {"debian-binary": b"2.0\n", "control.tar": control, "data.tar": archive(*members)}  # type: ignore[arg-type]
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    subprocess.run(["ar", "qc", "x.deb", *parts], check=True, cwd=tmp_path)
    assert words in cli.fails("compose", "-b", "mine", "os", "--deb", tmp_path / "x.deb")


@pytest.mark.usefixtures("base", "mesa")
def test_what_cannot_be_meant(cli: Cli, tmp_path: Path) -> None:
    words = ("compose", "-b", "mine", "os")
    assert "-b BRANCH" in cli.fails("compose", "os", "--overlay=mesa", status=2)
    assert "nothing to add" in cli.fails(*words, status=2)
    assert "BASE" in cli.fails("compose", "-b", "x", "--overlay=mesa", status=2)
    assert "'nope' not found" in cli.fails(*words, "--overlay=nope")
    assert "'nope' not found" in cli.fails("compose", "-b", "x", "nope", "--overlay=mesa")
    assert "has no /nope" in cli.fails(*words, "--overlay=mesa:/nope")
    assert "/etc/passwd is not a directory" in cli.fails(*words, "--overlay=mesa=>/etc/passwd/x")
    assert "leads upwards" in cli.fails(*words, "--overlay=mesa=>/../x", status=2)
    assert "No such file" in cli.fails(*words, "--dir", tmp_path / "nope")
    assert "No such file" in cli.fails(*words, "--deb", tmp_path / "nope")
    deb = make_deb(tmp_path, {"usr/share/x": "x"})
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'base = "os"\n[[step]]\ndeb = "{deb.name}"\ndigest = "{"ab" * 32}"\n')
    error = cli.fails("compose", "--recipe", recipe, "-b", "mine")
    assert f"{deb}: it is not the file of the recipe" in error
    recipe.write_text('base = "os"\nbrunch = "x"\n')
    assert f"{recipe}:2: unknown key 'brunch'" in cli.fails("compose", "--recipe", recipe)
    assert cli.lines("refs") == ["mesa", "os"]


@pytest.mark.usefixtures("base", "mesa")
def test_a_recipe_that_is_kept(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "recipes"
    write(place / "files/etc/motd", b"hi")
    recipe = place / "mine.toml"
    words = ("-b", "mine", "os", "--overlay=mesa", "--dir", place / "files", *OWNED)
    assert cli("compose", *words, "-s", "Mine", "--write-recipe", recipe) == ""
    assert 'dir = "files"\n' in recipe.read_text()
    before = place / "before"
    before.hardlink_to(recipe)
    assert cli("compose", *words, "-s", "Yours", "--write-recipe", recipe) == ""
    assert 'subject = "Mine"\n' in before.read_text(), "it was replaced when it was whole"
    assert cli("compose", *words, "-s", "Mine", "--write-recipe", recipe) == ""
    assert cli.lines("refs") == ["mesa", "os"]
    cli("compose", "--recipe", recipe)
    shown = cli.json("show", "mine")
    assert shown["subject"] == "Mine"
    place.rename(tmp_path / "moved")
    recipe = tmp_path / "moved/mine.toml"
    found = cli.json("compose", "--recipe", recipe, "--orphan", "mesa")
    assert found["base"] == cli("rev-parse", "mesa").strip()
    assert json.loads(json.dumps(found))["conflicts"] == []


def test_inputs_that_are_not_there_have_a_hint(empty_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    empty_cli("init")
    empty_cli("commit", "-b", "os", tmp_path / "tree")
    for option in ("--dir", "--deb", "--rpm", "--recipe"):
        done = empty_cli.run("compose", "-b", "mine", "os", f"{option}={tmp_path}/none")
        assert "No such file" in complaint(done)
        assert b"ostreefs: hint: " in done.stderr, option
    done = empty_cli.run("compose", "-b", "mine", "os", f"--recipe={tmp_path}")
    assert b"ostreefs: hint: " in done.stderr
