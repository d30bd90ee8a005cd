#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The main job on a real tree: commit it, commit a change, mount every commit, compare.
#
#   make quickstart [TREE=/usr/share]
#
# TREE            the directory to commit; it is only read
# QUICKSTART_DIR  where the repository, the checkout and the mount point go (default: quickstart/
#                 in this checkout): a new or empty directory, or that of an earlier run, whose
#                 repository and checkout are removed first
#
# The exit status is 0 only when the mounted commit equals its source and the change shows.
set -eu

tree=${TREE:-/usr/share}
here=$(cd "$(dirname "$0")/.." && pwd -P)
dir=${QUICKSTART_DIR:-$here/quickstart}
PATH=$here/.venv/bin:$PATH

die() {
    printf 'quickstart: error: %s\n' "$*" >&2
    exit 1
}

now() { echo $(($(date +%s%N) / 1000000)); }

start=0
begin() {
    printf '\n== %s\n' "$*"
    start=$(now)
}
finish() {
    ms=$(($(now) - start))
    printf '   %d.%02d s\n' $((ms / 1000)) $((ms % 1000 / 10))
}

# Print the command as one would type it, also where its output is captured; then run it.
exec 3>&1
run() {
    line=''
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./=:@%+,-]*) line="$line '$word'" ;;
            *) line="$line $word" ;;
        esac
    done
    printf '   $%s\n' "$line" >&3
    "$@"
}

command -v ostreefs >/dev/null || die "ostreefs is not installed; run ./bootstrap.sh first"
tree=$(cd "$tree" 2>/dev/null && pwd -P) || die "TREE=${TREE:-} is not a directory that you can enter"
dir=$(realpath -m "$dir")
case $dir/ in
    "${tree%/}"/*)
        die "TREE=$tree holds $dir, where the repository goes; set QUICKSTART_DIR to a directory elsewhere"
        ;;
esac
case $tree/ in
    "${dir%/}"/*)
        die "TREE=$tree lies in $dir, where earlier runs' files are removed; set QUICKSTART_DIR to a directory elsewhere"
        ;;
esac

repo=$dir/repo changed=$dir/changed mnt=$dir/mnt
export OSTREEFS_REPO="$repo"

# ---- what an earlier run left ----

# Only what a run of this script has made is removed, never a directory that happens to be there.
marker=$dir/.made-by-ostreefs-quickstart
if [ ! -e "$marker" ]; then
    if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
        die "$dir is not empty and not from an earlier run; set QUICKSTART_DIR to a new directory"
    fi
    mkdir -p "$dir" || die "cannot make $dir"
    : >"$marker"
fi

# findmnt also sees a mount whose server died, which cannot even be looked at.
is_mounted() { findmnt --mountpoint "$mnt" >/dev/null; }

if is_mounted; then
    ostreefs umount "$mnt" || die "$mnt is mounted and in use; leave it and run this again"
fi
rm -rf "$repo" "$changed" || die "cannot remove what an earlier run left in $dir (was it another user's?)"
mkdir -p "$mnt"

keep_mount=no
take_down() {
    status=$?
    trap - EXIT
    if [ "$keep_mount" = no ] && is_mounted; then
        ostreefs umount "$mnt" || status=1
    fi
    exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- a commit ----

begin "A repository, and a commit of $tree in it"
run ostreefs init
if ! first=$(run ostreefs commit --branch=quickstart --subject="$tree as it is" "$tree"); then
    if [ "$(id -u)" = 0 ]; then die "$tree was not committed"; fi
    die "$tree was not committed; where a file could not be read, run this as root or set TREE to a directory that you may read"
fi
echo "   $first"
finish

# ---- a second commit with a change ----

begin "A checkout, changed and committed again"
# A bare repository (root's) gives hard links that carry owner and mode; anyone else's carries
# owners in its index, so its checkout belongs to the user and the commit puts the owner back.
set --
as_user=''
if [ "$(id -u)" != 0 ]; then
    as_user=--user-mode
    set -- "--owner-uid=$(stat -c %u "$tree")" "--owner-gid=$(stat -c %g "$tree")"
fi
# shellcheck disable=SC2086 # nothing at all for root
run ostreefs checkout $as_user "$first" "$changed"

# Objects are shared with the repository by hard links: a file is changed by putting another in
# its place, never by writing into it.
new_file=NEW-IN-THE-SECOND-COMMIT
[ ! -e "$changed/$new_file" ] || die "$tree has a file $new_file already"
echo 'This file is in the second commit only.' >"$changed/$new_file"

# Three files of whatever the tree has, in directories where files can be replaced.
newline='
'
find "$changed" -type f -size +0 ! -name "$new_file" ! -path "*$newline*" -print | LC_ALL=C sort |
    while IFS= read -r path; do
        if [ -w "${path%/*}" ] && [ -r "$path" ]; then printf '%s\n' "$path"; fi
    done | sed 3q >"$dir/chosen"
path_of() { sed -n "$1p" "$dir/chosen"; }

edited=$(path_of 1) removed=$(path_of 2) chmodded=$(path_of 3)
if [ -n "$edited" ]; then
    cp -a "$edited" "$edited.new"
    echo 'This line is in the second commit only.' >>"$edited.new"
    mv "$edited.new" "$edited"
fi
if [ -n "$removed" ]; then rm "$removed"; fi
if [ -n "$chmodded" ]; then
    cp -a "$chmodded" "$chmodded.new"
    if [ -x "$chmodded" ]; then chmod a-x "$chmodded.new"; else chmod a+x "$chmodded.new"; fi
    mv "$chmodded.new" "$chmodded"
fi
rm "$dir/chosen"
second=$(run ostreefs commit --branch=quickstart --subject='Add, edit, remove, chmod' "$@" "$changed")
echo "   $second"
finish

# ---- mounted ----

begin "Every commit, mounted"
run ostreefs mount --all "$mnt"
run ls "$mnt/commits" "$mnt/refs"
finish

begin "The mounted first commit beside its source, byte for byte"
run diff -r --no-dereference "$tree" "$mnt/commits/$first" || die "the mounted commit differs from $tree"
echo "   no difference"
finish

begin "The change, as a diff between two mounted directories"
status=0
shown=$(run diff -r --no-dereference -q "$mnt/commits/$first" "$mnt/commits/$second") || status=$?
printf '%s\n' "$shown"
[ "$status" = 1 ] || die "diff should have found differences (exit status 1), and its status is $status"
case $shown in
    *"Only in $mnt/commits/$second: $new_file"*) ;;
    *) die "$new_file does not show" ;;
esac
finish

begin "And as the repository sees it, with modes and owners"
shown=$(run ostreefs diff "$first" "$second")
printf '%s\n' "$shown"
case $shown in
    *"/$new_file"*) ;;
    *) die "$new_file does not show" ;;
esac
finish

# ---- what next ----

cat <<END

Everything agrees. To go on by hand:

  export PATH=$here/.venv/bin:\$PATH OSTREEFS_REPO=$repo
  ostreefs log quickstart
  ostreefs ls -R quickstart | head
  ostreefs fsck
END
if [ -t 1 ]; then
    keep_mount=yes
    cat <<END
  ls $mnt/refs/quickstart/
  ostreefs umount $mnt              # when you are done; it is left mounted now
END
else
    cat <<END
  ostreefs mount --all $mnt         # standard output is no terminal: taken down now
END
fi
