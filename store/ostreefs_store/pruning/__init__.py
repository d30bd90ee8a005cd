# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is kept, what goes, and how much space that is."""
