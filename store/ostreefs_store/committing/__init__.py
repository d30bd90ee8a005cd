# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making commits: from what a source holds to a commit in the index."""
