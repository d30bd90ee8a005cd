# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees in which programs of this machine can run."""

import re
import shutil
from pathlib import Path

from tests.support.commands import output

_LIBRARY = re.compile(rb"(/\S+) \(0x")


def make_runnable_tree(root: Path, *programs: str) -> Path:
    """A merged-usr tree with a shell and other programs, and the libraries that they need."""
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc", "dev", "proc", "run", "tmp", "var"):
        (root / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for program in ("sh", *programs):
        found = shutil.which(program)
        assert found is not None, program
        shutil.copy2(found, root / "usr/bin" / program)
        for path in _LIBRARY.findall(output("ldd", found)):
            library = Path(path.decode())
            inside = Path("/usr", *library.parts[1:]) if library.parts[1] != "usr" else library
            target = root / inside.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, target)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    return root
