# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tar archives: taking them in, and writing commits as them."""
