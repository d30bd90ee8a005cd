#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Install what is missing and make .venv; when nothing is missing, return at once and offline.
#
#   ./bootstrap.sh          what is needed to run ostreefs
#   ./bootstrap.sh test     and to test it
#
# PYTHON names the interpreter to use (default: the system's, else a python3 or python3.N on the PATH that is new enough).
#
# .venv/.stamp is written last, so that a half-made environment is never taken for a whole one.
# It names what the environment was made from; when that differs, the environment is made again.
set -eu

say() { printf 'bootstrap: %s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

kind=${1:-run}
case $kind in
    run | test) ;;
    *)
        say "usage: ./bootstrap.sh [test]"
        exit 2
        ;;
esac
cd "$(dirname "$0")" || exit 1
here=$(pwd -P)

# ---- system packages ----

# libc6-dev only comes along as a recommendation of gcc.
packages='fuse3 libfuse3-dev pkg-config gcc libc6-dev'
# Names that some releases do not have; what needs them does without.
optional=''
if [ "$kind" = test ]; then
    packages="$packages attr acl rsync tar xz-utils zstd bzip2 libarchive-tools diffutils strace fuse-overlayfs bubblewrap busybox-static shellcheck e2fsprogs util-linux make systemd zsh fish rpm"
    optional='b3sum shfmt chromium'
fi

# Print those of the given packages that are not installed.
missing_of() {
    installed=$(dpkg-query -W -f '${db:Status-Status}:${Package}\n' "$@" 2>/dev/null) || :
    for package in "$@"; do
        case "
$installed
" in
            *"
installed:$package
"*) ;;
            *) printf '%s ' "$package" ;;
        esac
    done
}

# Run a command with its output in the log; when it fails, show the log's end.
logged() {
    what=$1
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "$what failed"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

is_root_or_needs_no_password() {
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

# Without the lock on .venv (descriptor 9), which a service that a package starts would keep.
apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" 9>&-
}

# A first try without `update` is enough on most machines; on a fresh one the lists are empty.
apt_install() {
    apt install --no-install-recommends "$@" || {
        apt update && apt install --no-install-recommends "$@"
    }
}

may_install() {
    is_root_or_needs_no_password && return 0
    # This asks for the password, where there is somebody to ask.
    command -v sudo >/dev/null 2>&1 && sudo -v
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        die "these are missing, and apt-get is not here to install them; install what your system calls: $*"
    fi
    may_install || die "an administrator must install these packages first: apt-get install $*"
    say "installing system packages: $*"
    logged "apt-get install $*" apt_install "$@"
}

# Install what the archive has of the optional ones, where that takes no password of its own.
install_optional() {
    if ! command -v apt-cache >/dev/null 2>&1; then return; fi
    # shellcheck disable=SC2046 # a list of words
    set -- $(missing_of "$@")
    for package in "$@"; do
        shift
        if apt-cache show --no-all-versions "$package" >/dev/null 2>&1; then set -- "$@" "$package"; fi
    done
    if [ $# -gt 0 ] && is_root_or_needs_no_password; then install_packages "$@"; fi
}

# ---- interpreter ----

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 || die "PYTHON=$PYTHON is not a command"
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11 or newer"
        python=$PYTHON
        return
    fi
    # The system's own first: one in somebody's home is of no use to other users of the machine.
    for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$python"; then return; fi
    done
    die "Python 3.11 or newer is needed (PYTHON=/path/to/python3 names one that is not on the PATH)"
}

# Print the packages without which this interpreter cannot make an environment or build pyfuse3.
# One that the distribution did not build brings its own headers and venv, or nobody can add them.
missing_of_python() {
    "$python" - <<'PY'
import os, sys, sysconfig

lacks = []
try:
    import ensurepip, venv
except ImportError:
    lacks.append("venv")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    lacks.append("dev")
if lacks and sys.base_prefix != "/usr":
    sys.exit(f"bootstrap: error: {sys.executable} lacks its own " + " and ".join(lacks) + " files")
own = "python%d.%d" % sys.version_info[:2]
default = os.path.basename(os.path.realpath("/usr/bin/python3")) == own
print(*(f"{'python3' if default else own}-{part}" for part in lacks))
PY
}

# ---- environment ----

# What .venv is made from. The path is part of it, because scripts in .venv hold it.
sources() {
    {
        cat pyproject.toml bootstrap.sh
        grep '^__version__' ostreefs/__init__.py
    } | cksum
}

wanted="$(sources) $here ${PYTHON:-python3} $(command -v "${PYTHON:-/usr/bin/python3}" || command -v python3 || :)"

# Kinds of environment: with the tools for tests, or without; the first serves for the second.
is_made() {
    [ -x .venv/bin/python ] && [ -r .venv/.stamp ] || return 1
    [ "$(cat .venv/.stamp)" = "$wanted +dev" ] && return 0
    [ "$kind" != test ] && [ "$(cat .venv/.stamp)" = "$wanted" ]
}

make_venv() {
    extra='' stamp=$wanted
    if [ "$kind" = test ]; then
        extra='[dev]' stamp="$wanted +dev"
    fi
    # A whole environment of this place and interpreter is brought up to date, any other made anew.
    case $(cat .venv/.stamp 2>/dev/null || :) in
        *" $here ${PYTHON:-python3} "*) is_whole=yes ;;
        *) is_whole=no ;;
    esac
    [ -x .venv/bin/python ] || is_whole=no
    rm -f .venv/.stamp
    if [ "$is_whole" = no ]; then
        say "making .venv with $("$python" -c 'import sys; print(sys.executable)')"
        logged "making .venv" "$python" -m venv --clear .venv
    fi
    say "installing ostreefs$extra and its Python dependencies into .venv"
    logged "pip install" .venv/bin/python -m pip install --no-input --disable-pip-version-check \
        -e ".$extra"
    printf '%s\n' "$stamp" >.venv/.stamp.new
    mv .venv/.stamp.new .venv/.stamp
}

main() {
    missing=''
    if command -v dpkg-query >/dev/null 2>&1; then
        # shellcheck disable=SC2086 # a list of words
        missing=$(missing_of $packages)
    fi
    if [ -z "$missing" ] && is_made; then return; fi

    # Two at once would spoil each other's work; the second finds it done.
    if command -v flock >/dev/null 2>&1; then
        exec 9>.venv.lock
        flock 9
    fi
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    find_python
    missing="$missing$(missing_of_python)" || exit 1
    if [ -n "${missing% }" ]; then
        # shellcheck disable=SC2086
        install_packages $missing
    fi
    # shellcheck disable=SC2086
    if [ -n "$optional" ]; then install_optional $optional; fi
    if is_made; then return; fi
    make_venv
}

main
