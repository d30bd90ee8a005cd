# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between commits, and how they came about."""
