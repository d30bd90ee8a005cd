# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is written for boot loaders: `loader` says what each must promise, `choose` finds it."""
