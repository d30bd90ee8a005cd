# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store's unit tests, named after its modules."""
