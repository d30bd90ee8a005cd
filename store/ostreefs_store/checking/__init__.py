# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether everything is what its digest says, and making it so again."""
