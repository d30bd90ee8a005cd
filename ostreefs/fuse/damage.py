# SPDX-License-Identifier: LGPL-2.1-or-later
"""What this mount could not show because it is damaged, for whoever judges what it shows.

One mount a process, so this is the process's own (as pyfuse3's state is). It is forgotten when
the mount is made to show another commit.
"""

from __future__ import annotations


class Damage:
    """How often something damaged was asked for, and what it was the first time."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def note(self, what: str) -> None:
        """Something could not be shown."""
        self.first = self.first or what
        self.count += 1

    def forget(self) -> None:
        """Begin anew."""
        self.count = 0
        self.first = ""


DAMAGE = Damage()
