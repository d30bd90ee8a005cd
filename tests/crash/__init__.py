# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is left when the process dies at any trace point."""
