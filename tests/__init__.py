# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests; see CONTRIBUTING.md for how they are laid out."""
