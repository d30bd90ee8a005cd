# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many processes at one repository for minutes, compared byte for byte (``make stress``)."""
