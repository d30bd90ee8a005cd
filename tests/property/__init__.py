# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for any input, tried with hypothesis."""
