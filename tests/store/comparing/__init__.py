# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unit tests of `ostreefs_store.comparing`."""
