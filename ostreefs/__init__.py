# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mount, check out and boot commits of a content-addressed store of operating-system trees."""

__version__ = "0.1.0"
