# SPDX-License-Identifier: LGPL-2.1-or-later
"""The administrator's configuration: steps that are run on top of each new release.

`declarations` says what a step can say without a program, pure; `steps` finds the steps.
"""
