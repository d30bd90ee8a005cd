# SPDX-License-Identifier: LGPL-2.1-or-later
# Made by `make -C mount-helpers completions`: change the parsers, not this.

# The words so far that are neither options nor their values.
function __ostreefs_words
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
        else if contains -- $word $__ostreefs_with_value
            set skip yes
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

# Whether the verb is this one, and so many words follow it already, or more than that.
function __ostreefs_at
    set -l words (__ostreefs_words)
    test "$words[1]" = $argv[1]; or return
    set -q argv[2]; or return 0
    test (math (count $words) - 1) $argv[2] $argv[3]
end

function __ostreefs_refs
    set -l repo
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if string match -q -- '--repo=*' $words[$i]
            set repo --repo=(string replace -r '^--repo=' '' -- $words[$i])
        else if test "$words[$i]" = --repo
            set repo --repo=$words[(math $i + 1)]
        end
    end
    ostreefs $repo refs 2>/dev/null
end

function __ostreefs_mounts
    findmnt -nlo TARGET -t fuse.ostreefs 2>/dev/null
end

set -g __ostreefs_with_value --add-metadata --add-metadata-string --bad --base --between --bind --body --body-file --boot --bootloader --branch --changes --chdir --color --compress --create --deb --delete-commit --depth --dir --env --from --from-file --good --html --karg --karg-append --karg-delete --keep --keep-younger-than --log-file --max-count --mode --mount --name --on-conflict --only-branch --os --output --overlay --owner-gid --owner-uid --parent --prefix --print-metadata-key --recipe --recipe-of --repo --retain-branch-depth --ro-bind --rpm --run --since --skip-list --statoverride --subject --subpath --sysroot --term-bad --term-good --term-new --term-old --timestamp --tree --until --upper --user --var --write-recipe -F -b -m -n -o -s

complete -c ostreefs -f
complete -c ostreefs -s h -l help -d 'show this help message and exit'
complete -c ostreefs -l repo -r -f -a '(__fish_complete_directories)' -d 'the repository (else OSTREEFS_REPO, else /ostree/repo)'
complete -c ostreefs -l json -d 'print JSON for scripts'
complete -c ostreefs -s v -l verbose -d 'say more on stderr'
complete -c ostreefs -l version -d 'show program\'s version number and exit'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a init -d 'Make a repository'
complete -c ostreefs -n '__ostreefs_at init' -l mode -r -f -a 'bare bare-user' -d 'bare: object files carry owner, mode and xattrs (for root, the default there); bare-user: only permissions, the rest is in the index (for anyone)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a commit -d 'Commit a directory tree to a branch'
complete -c ostreefs -n '__ostreefs_at commit' -s b -l branch -r -f -a '(__ostreefs_refs)' -d 'the ref to move'
complete -c ostreefs -n '__ostreefs_at commit' -l orphan -d 'move no ref'
complete -c ostreefs -n '__ostreefs_at commit' -s s -l subject -r -f -d 'one line about the commit'
complete -c ostreefs -n '__ostreefs_at commit' -s m -l body -r -f -d 'more about the commit'
complete -c ostreefs -n '__ostreefs_at commit' -s F -l body-file -r -F -d 'the body from a file (\'-\' for standard input); with no subject its first line is it'
complete -c ostreefs -n '__ostreefs_at commit' -s e -l editor -d 'write the message in an editor'
complete -c ostreefs -n '__ostreefs_at commit' -l timestamp -r -f -d 'instead of now: @SECONDS, or as 2026-01-31T12:00:00Z'
complete -c ostreefs -n '__ostreefs_at commit' -l add-metadata-string -r -f -d 'add text to the metadata'
complete -c ostreefs -n '__ostreefs_at commit' -l add-metadata -r -f -d 'add a number, true, false or quoted text to the metadata'
complete -c ostreefs -n '__ostreefs_at commit' -l tree -r -f -d 'lay this over what was named before: dir=PATH, ref=REV, tar=FILE (\'-\' for standard input), overlay=UPPER (the upper directory of an overlay)'
complete -c ostreefs -n '__ostreefs_at commit' -l base -r -f -a '(__ostreefs_refs)' -d 'begin with this commit, to which no modifiers apply'
complete -c ostreefs -n '__ostreefs_at commit' -l whiteouts -d 'in archives, .wh.NAME deletes NAME (as in the layers of containers)'
complete -c ostreefs -n '__ostreefs_at commit' -l parent -r -f -a '(__ostreefs_refs)' -d 'the parent (default: the branch; \'none\' for no parent)'
complete -c ostreefs -n '__ostreefs_at commit' -l owner-uid -r -f -d 'record this owner for everything'
complete -c ostreefs -n '__ostreefs_at commit' -l owner-gid -r -f -d 'record this group for everything'
complete -c ostreefs -n '__ostreefs_at commit' -l canonical-permissions -d 'record root as the owner, and no mode bits beyond 0755'
complete -c ostreefs -n '__ostreefs_at commit' -l mode-ro-executables -d 'record no permission to write for what can be executed'
complete -c ostreefs -n '__ostreefs_at commit' -l no-xattrs -d 'record no extended attributes'
complete -c ostreefs -n '__ostreefs_at commit' -l statoverride -r -F -d 'change modes: lines \'+BITS PATH\' (add) or \'=BITS PATH\' (set), BITS in decimal'
complete -c ostreefs -n '__ostreefs_at commit' -l skip-list -r -F -d 'leave out the paths in this file, one a line'
complete -c ostreefs -n '__ostreefs_at commit' -l skip-if-unchanged -d 'make no commit when the tree is the parent\'s; print the parent\'s id'
complete -c ostreefs -n '__ostreefs_at commit' -l bootable -d 'require a kernel, and note its version'
complete -c ostreefs -n '__ostreefs_at commit' -l consume -d 'move the files in instead of copying them, and delete the source afterwards'
complete -c ostreefs -n '__ostreefs_at commit' -l checksum -d 'read every file, also one that looks unchanged'
complete -c ostreefs -n '__ostreefs_at commit' -l link-checkout-speedup -d 'accepted, without effect: it is always so'
complete -c ostreefs -n '__ostreefs_at commit' -s I -l devino-canonical -d 'accepted, without effect: it is always so'
complete -c ostreefs -n '__ostreefs_at commit' -l tar-autocreate-parents -d 'accepted, without effect: it is always so'
complete -c ostreefs -n '__ostreefs_at commit -eq 0' -F

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a compose -d 'Make a commit out of a base and additions'
complete -c ostreefs -n '__ostreefs_at compose' -s b -l branch -r -f -a '(__ostreefs_refs)' -d 'the ref to move'
complete -c ostreefs -n '__ostreefs_at compose' -l orphan -d 'move no ref'
complete -c ostreefs -n '__ostreefs_at compose' -l overlay -r -f -a '(__ostreefs_refs)' -d 'lay this commit, or what it has at SUBPATH, over what there is'
complete -c ostreefs -n '__ostreefs_at compose' -l dir -r -f -a '(__fish_complete_directories)' -d 'lay a directory on the disk over what there is'
complete -c ostreefs -n '__ostreefs_at compose' -l deb -r -F -d 'unpack a Debian package'
complete -c ostreefs -n '__ostreefs_at compose' -l rpm -r -F -d 'unpack an rpm package'
complete -c ostreefs -n '__ostreefs_at compose' -l run -r -f -d 'run a shell command inside, and keep what it changes'
complete -c ostreefs -n '__ostreefs_at compose' -l on-conflict -r -f -a 'fail first last' -d 'what becomes of a path that two additions have: fail (default), or which one wins'
complete -c ostreefs -n '__ostreefs_at compose' -l recipe -r -F -d 'begin with what this file says'
complete -c ostreefs -n '__ostreefs_at compose' -l recipe-of -r -f -a '(__ostreefs_refs)' -d 'begin with the base and the steps of this commit, which was composed'
complete -c ostreefs -n '__ostreefs_at compose' -l write-recipe -r -F -d 'write what the command line says as a recipe (\'-\' for standard output), do no more'
complete -c ostreefs -n '__ostreefs_at compose' -s n -l dry-run -d 'list conflicts and what would be replaced'
complete -c ostreefs -n '__ostreefs_at compose' -l owner-uid -r -f -d 'the owner of all that --dir brings'
complete -c ostreefs -n '__ostreefs_at compose' -l owner-gid -r -f -d 'the group of all that --dir brings'
complete -c ostreefs -n '__ostreefs_at compose' -s s -l subject -r -f -d 'one line about the commit'
complete -c ostreefs -n '__ostreefs_at compose' -s m -l body -r -f -d 'more about the commit'
complete -c ostreefs -n '__ostreefs_at compose' -s F -l body-file -r -F -d 'the body from a file (\'-\' for standard input); with no subject its first line is it'
complete -c ostreefs -n '__ostreefs_at compose' -s e -l editor -d 'write the message in an editor'
complete -c ostreefs -n '__ostreefs_at compose' -l timestamp -r -f -d 'instead of now: @SECONDS, or as 2026-01-31T12:00:00Z'
complete -c ostreefs -n '__ostreefs_at compose' -l add-metadata-string -r -f -d 'add text to the metadata'
complete -c ostreefs -n '__ostreefs_at compose' -l add-metadata -r -f -d 'add a number, true, false or quoted text to the metadata'
complete -c ostreefs -n '__ostreefs_at compose' -l parent -r -f -a '(__ostreefs_refs)' -d 'the parent (default: the branch; \'none\' for no parent)'
complete -c ostreefs -n '__ostreefs_at compose' -l skip-if-unchanged -d 'make no commit when the tree is the parent\'s; print the parent\'s id'
complete -c ostreefs -n '__ostreefs_at compose -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a log -d 'Show the history of a revision'
complete -c ostreefs -n '__ostreefs_at log' -s n -l max-count -r -f -d 'show at most N commits'
complete -c ostreefs -n '__ostreefs_at log' -l first -d 'for each PATH, or what is in a directory PATH, the commit that made it what it is'
complete -c ostreefs -n '__ostreefs_at log' -s R -l recursive -d 'with --first, for everything below PATH'
complete -c ostreefs -n '__ostreefs_at log' -s d -l dironly -d 'with --first, for directories themselves'
complete -c ostreefs -n '__ostreefs_at log -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a history -d 'Show the builds of a ref: what changed, as a graph, as a page'
complete -c ostreefs -n '__ostreefs_at history' -l graph -d 'draw how the commits follow from one another, instead of counting what changed'
complete -c ostreefs -n '__ostreefs_at history' -l html -r -F -d 'write a page for a browser (\'-\': to stdout)'
complete -c ostreefs -n '__ostreefs_at history' -l changes -r -f -d 'with --html, list the N largest changes of each build (default: 20)'
complete -c ostreefs -n '__ostreefs_at history' -s n -l max-count -r -f -d 'show at most N commits'
complete -c ostreefs -n '__ostreefs_at history' -l since -r -f -d 'only commits that are not older'
complete -c ostreefs -n '__ostreefs_at history' -l until -r -f -d 'only commits that are not younger'
complete -c ostreefs -n '__ostreefs_at history' -l first-parent -d 'leave out what was merged'
complete -c ostreefs -n '__ostreefs_at history' -l color -r -f -a 'auto always never' -d 'use colours always, never, or auto: on a terminal unless NO_COLOR is set (default)'
complete -c ostreefs -n '__ostreefs_at history -ge 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a show -d 'Show one commit'
complete -c ostreefs -n '__ostreefs_at show' -l stats -d 'count what differs from the parent, too'
complete -c ostreefs -n '__ostreefs_at show' -l print-metadata-key -r -f -d 'print the value of one metadata key alone'
complete -c ostreefs -n '__ostreefs_at show -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a rev-parse -d 'Print the commit id of a revision'
complete -c ostreefs -n '__ostreefs_at rev-parse -ge 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a refs -d 'List, create and delete refs, and tell how they moved'
complete -c ostreefs -n '__ostreefs_at refs' -l list -d 'with PREFIX, print whole names (the default is the rest)'
complete -c ostreefs -n '__ostreefs_at refs' -l delete -d 'delete a ref, all under PREFIX, or all that match'
complete -c ostreefs -n '__ostreefs_at refs' -l create -r -f -d 'create the ref NEW for a revision'
complete -c ostreefs -n '__ostreefs_at refs' -l history -d 'print the reflog, the newest first'
complete -c ostreefs -n '__ostreefs_at refs' -s A -l alias -d 'list aliases; with --create, make NEW an alias of the ref that is the argument'
complete -c ostreefs -n '__ostreefs_at refs' -l force -d 'with --create, move a ref that is there already'
complete -c ostreefs -n '__ostreefs_at refs' -s n -l max-count -r -f -d 'with --history: N moves a ref'
complete -c ostreefs -n '__ostreefs_at refs -ge 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a reset -d 'Make a ref name another commit'
complete -c ostreefs -n '__ostreefs_at reset -eq 0' -f -a '(__ostreefs_refs)'
complete -c ostreefs -n '__ostreefs_at reset -eq 1' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a ls -d 'List files of a commit'
complete -c ostreefs -n '__ostreefs_at ls' -s R -l recursive -d 'list directories recursively'
complete -c ostreefs -n '__ostreefs_at ls' -s d -l dironly -d 'list directories themselves, not contents'
complete -c ostreefs -n '__ostreefs_at ls' -s C -l checksum -d 'print the digest of each object'
complete -c ostreefs -n '__ostreefs_at ls' -s X -l xattrs -d 'print extended attributes'
complete -c ostreefs -n '__ostreefs_at ls' -l nul-filenames-only -d 'print only names, each ended by NUL'
complete -c ostreefs -n '__ostreefs_at ls -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a cat -d 'Print files of a commit'
complete -c ostreefs -n '__ostreefs_at cat -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a checkout -d 'Check out a commit as ordinary files'
complete -c ostreefs -n '__ostreefs_at checkout' -s U -l user-mode -d 'keep no owner, no xattrs and no setuid bits: for ordinary users'
complete -c ostreefs -n '__ostreefs_at checkout' -s H -l require-hardlinks -d 'fail rather than copy a file'
complete -c ostreefs -n '__ostreefs_at checkout' -s C -l force-copy -d 'copy, never hardlink'
complete -c ostreefs -n '__ostreefs_at checkout' -l subpath -r -f -d 'check out this part of the commit'
complete -c ostreefs -n '__ostreefs_at checkout' -l union -d 'into an existing directory, replacing files'
complete -c ostreefs -n '__ostreefs_at checkout' -l union-add -d 'into an existing directory, keeping its files'
complete -c ostreefs -n '__ostreefs_at checkout' -l union-identical -d 'into an existing directory, failing where a file differs'
complete -c ostreefs -n '__ostreefs_at checkout' -l whiteouts -d 'process \'.wh.NAME\' files of container layers'
complete -c ostreefs -n '__ostreefs_at checkout' -l allow-noent -d 'do nothing where --subpath does not exist'
complete -c ostreefs -n '__ostreefs_at checkout' -l skip-list -r -F -d 'leave out the paths that FILE has, one a line'
complete -c ostreefs -n '__ostreefs_at checkout' -l from-file -r -F -d 'check out all that FILE (\'-\' for standard input) has, as REV and PATH, each with a NUL after it; the argument is DEST alone'
complete -c ostreefs -n '__ostreefs_at checkout' -l from-stdin -d 'the same, from standard input'
complete -c ostreefs -n '__ostreefs_at checkout -eq 0' -f -a '(__ostreefs_refs)'
complete -c ostreefs -n '__ostreefs_at checkout -eq 1' -f -a '(__fish_complete_directories)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a export -d 'Write a commit as a tar archive'
complete -c ostreefs -n '__ostreefs_at export' -s o -l output -r -F -d 'write there (default: standard output)'
complete -c ostreefs -n '__ostreefs_at export' -l subpath -r -f -d 'export this part of the commit'
complete -c ostreefs -n '__ostreefs_at export' -l prefix -r -f -d 'put this before every name, as it is'
complete -c ostreefs -n '__ostreefs_at export' -l no-xattrs -d 'leave extended attributes and ACLs out'
complete -c ostreefs -n '__ostreefs_at export' -l sparse -d 'leave the holes of sparse files out'
complete -c ostreefs -n '__ostreefs_at export' -l compress -r -f -a 'none gzip xz zstd bzip2' -d 'none, gzip, xz, zstd or bzip2 (default: as the name of FILE says)'
complete -c ostreefs -n '__ostreefs_at export -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a diff -d 'Show which paths differ between two commits'
complete -c ostreefs -n '__ostreefs_at diff' -l stats -d 'count what differs, instead of listing it'
complete -c ostreefs -n '__ostreefs_at diff' -s p -l patch -d 'print text diffs, instead of the list'
complete -c ostreefs -n '__ostreefs_at diff' -l packages -d 'print which packages changed, by the databases of dpkg and rpm, instead of the list'
complete -c ostreefs -n '__ostreefs_at diff' -l fs-diff -d 'print the list, too, with --stats, --packages or -p'
complete -c ostreefs -n '__ostreefs_at diff' -l no-xattrs -d 'do not compare extended attributes'
complete -c ostreefs -n '__ostreefs_at diff' -l owner-uid -r -f -d 'as if this owned all of a DIR'
complete -c ostreefs -n '__ostreefs_at diff' -l owner-gid -r -f -d 'as if all of a DIR had this group'
complete -c ostreefs -n '__ostreefs_at diff -eq 0' -F -a '(__ostreefs_refs)'
complete -c ostreefs -n '__ostreefs_at diff -eq 1' -F -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a checksum -d 'Print the digest of a file or directory on the disk'
complete -c ostreefs -n '__ostreefs_at checksum' -l content -d 'print the digest of a file\'s bytes alone, as b3sum does'
complete -c ostreefs -n '__ostreefs_at checksum' -l ignore-xattrs -d 'leave extended attributes out, as commit --no-xattrs does'
complete -c ostreefs -n '__ostreefs_at checksum' -l owner-uid -r -f -d 'as if everything had this owner'
complete -c ostreefs -n '__ostreefs_at checksum' -l owner-gid -r -f -d 'as if everything had this group'
complete -c ostreefs -n '__ostreefs_at checksum -ge 0' -F

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a fsck -d 'Check the repository against its digests'
complete -c ostreefs -n '__ostreefs_at fsck' -s q -l quiet -d 'print only what is damaged'
complete -c ostreefs -n '__ostreefs_at fsck' -l quick -d 'read no object file: compare its size, mode, owner, time and inode with the record'
complete -c ostreefs -n '__ostreefs_at fsck' -l repair -d 'make damaged objects whole from copies of their content'
complete -c ostreefs -n '__ostreefs_at fsck' -l from -r -f -a '(__fish_complete_directories)' -d 'look here for copies, and for files that share a damaged inode (may be repeated)'
complete -c ostreefs -n '__ostreefs_at fsck' -l delete -d 'delete damaged objects that were not repaired, so that they are missing'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a df -d 'Show how much space refs and commits take'
complete -c ostreefs -n '__ostreefs_at df' -l commits -d 'show every commit instead of every ref'
complete -c ostreefs -n '__ostreefs_at df' -l between -r -f -a '(__ostreefs_refs)' -d 'show what an update from the first to the second commit adds'
complete -c ostreefs -n '__ostreefs_at df' -s b -l bytes -d 'print exact numbers of bytes'
complete -c ostreefs -n '__ostreefs_at df -ge 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a prune -d 'Delete what no ref, pin or mount keeps'
complete -c ostreefs -n '__ostreefs_at prune' -l refs-only -d 'delete commits that no ref leads to'
complete -c ostreefs -n '__ostreefs_at prune' -l depth -r -f -d 'with --refs-only, keep so many parents of each ref\'s commit (default: -1, all)'
complete -c ostreefs -n '__ostreefs_at prune' -l keep-younger-than -r -f -d 'delete commits older than that: 2026-01-31, \'2026-01-31 12:00\', \'3 weeks ago\''
complete -c ostreefs -n '__ostreefs_at prune' -l keep -r -f -d 'of each ref keep, for instance, \'7 daily, 52 weekly, 12 monthly\''
complete -c ostreefs -n '__ostreefs_at prune' -l retain-branch-depth -r -f -d 'keep so many parents of this branch\'s commit, whatever else is asked for'
complete -c ostreefs -n '__ostreefs_at prune' -l only-branch -r -f -a '(__ostreefs_refs)' -d 'prune this branch alone; may be given several times'
complete -c ostreefs -n '__ostreefs_at prune' -l delete-commit -r -f -a '(__ostreefs_refs)' -d 'delete this commit; may be given several times'
complete -c ostreefs -n '__ostreefs_at prune' -l no-prune -d 'only show what would be deleted'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a pin -d 'Keep commits whatever becomes of the refs'
complete -c ostreefs -n '__ostreefs_at pin' -l list -d 'list the pins (the default)'
complete -c ostreefs -n '__ostreefs_at pin' -l delete -d 'take out each pin NAME'
complete -c ostreefs -n '__ostreefs_at pin' -l name -r -f -d 'name the pin (default: the commit\'s id)'
complete -c ostreefs -n '__ostreefs_at pin -ge 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a config -d 'Read and change the repository\'s settings'
complete -c ostreefs -n '__ostreefs_at config' -l list -d 'show all that is set'
complete -c ostreefs -n '__ostreefs_at config -eq 0' -f -a 'get set unset'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a mount -d 'Mount a commit, or all of them'
complete -c ostreefs -n '__ostreefs_at mount' -l all -d 'mount every commit: commits/<id> and refs/<ref>'
complete -c ostreefs -n '__ostreefs_at mount' -l follow -d 'REV is a ref: show its newest commit as soon as it moves'
complete -c ostreefs -n '__ostreefs_at mount' -l rw -d 'with a writable layer on top, which keeps the changes'
complete -c ostreefs -n '__ostreefs_at mount' -l upper -r -f -a '(__fish_complete_directories)' -d 'the writable layer; without it changes are thrown away'
complete -c ostreefs -n '__ostreefs_at mount' -l foreground -d 'serve until unmounted, log on stderr'
complete -c ostreefs -n '__ostreefs_at mount' -l log-file -r -F -d 'log there (in the background the default is syslog)'
complete -c ostreefs -n '__ostreefs_at mount' -s o -r -f -a '(__fish_append , allow_other allow_root suid nosuid dev nodev exec noexec uid= gid= stats= verify=open follow)' -d 'comma-separated: allow_other, allow_root, suid, dev, noexec, uid=, gid=, …'
complete -c ostreefs -n '__ostreefs_at mount -eq 0' -f -a '(__ostreefs_refs)'
complete -c ostreefs -n '__ostreefs_at mount -ge 1' -f -a '(__fish_complete_directories)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a switch -d 'Let a live mount show another commit'
complete -c ostreefs -n '__ostreefs_at switch -eq 0' -f -a '(__ostreefs_mounts)'
complete -c ostreefs -n '__ostreefs_at switch -eq 1' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a umount -d 'Take down a mount'
complete -c ostreefs -n '__ostreefs_at umount' -s l -l lazy -d 'detach now, clean up when it is not used'
complete -c ostreefs -n '__ostreefs_at umount -eq 0' -f -a '(__ostreefs_mounts)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a bisect -d 'Find the commit that broke something'
complete -c ostreefs -n '__ostreefs_at bisect' -l name -r -f -d 'which bisection (default: default)'
complete -c ostreefs -n '__ostreefs_at bisect' -l mount -r -f -a '(__fish_complete_directories)' -d 'start, replay: where candidates are to be shown'
complete -c ostreefs -n '__ostreefs_at bisect' -l bad -r -f -a '(__ostreefs_refs)' -d 'start: a commit that is bad'
complete -c ostreefs -n '__ostreefs_at bisect' -l good -r -f -a '(__ostreefs_refs)' -d 'start: a commit that is good'
complete -c ostreefs -n '__ostreefs_at bisect' -l term-new -l term-bad -r -f -d 'start: what to say instead of \'bad\'; terms: print that'
complete -c ostreefs -n '__ostreefs_at bisect' -l term-old -l term-good -r -f -d 'start: what to say instead of \'good\'; terms: print that'
complete -c ostreefs -n '__ostreefs_at bisect' -s o -r -f -a '(__fish_append , allow_other allow_root suid nosuid dev nodev exec noexec uid= gid= stats= verify=open follow)' -d 'start, replay: options of the mount, as \'ostreefs mount\' has them'
complete -c ostreefs -n '__ostreefs_at bisect' -l in-tree -d 'run: inside the candidate, not beside it'
complete -c ostreefs -n '__ostreefs_at bisect' -l html -r -F -d 'report: write a page with the history as a picture'
complete -c ostreefs -n '__ostreefs_at bisect -eq 0' -f -a 'start bad good new old skip run log replay visualize view report terms reset'
complete -c ostreefs -n '__ostreefs_at bisect -ge 1' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a run -d 'Run a command inside a commit'
complete -c ostreefs -n '__ostreefs_at run' -l rw -d 'let it write everywhere, and throw that away'
complete -c ostreefs -n '__ostreefs_at run' -l upper -r -f -a '(__fish_complete_directories)' -d 'with --rw, keep what it writes there'
complete -c ostreefs -n '__ostreefs_at run' -l no-home -d 'without the real /home'
complete -c ostreefs -n '__ostreefs_at run' -l var -r -f -a '(__fish_complete_directories)' -d 'a directory for /var, instead of a private one'
complete -c ostreefs -n '__ostreefs_at run' -l network -d 'with this machine\'s network (the default)'
complete -c ostreefs -n '__ostreefs_at run' -l no-network -d 'without any network'
complete -c ostreefs -n '__ostreefs_at run' -l bind -r -F -d 'show SRC, writable'
complete -c ostreefs -n '__ostreefs_at run' -l ro-bind -r -F -d 'show SRC, read-only'
complete -c ostreefs -n '__ostreefs_at run' -l env -r -f -d 'set a variable'
complete -c ostreefs -n '__ostreefs_at run' -l chdir -r -f -a '(__fish_complete_directories)' -d 'start there'
complete -c ostreefs -n '__ostreefs_at run' -l user -r -f -d 'run it as somebody else'
complete -c ostreefs -n '__ostreefs_at run -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a shell -d 'Start a shell inside a commit'
complete -c ostreefs -n '__ostreefs_at shell' -l rw -d 'let it write everywhere, and throw that away'
complete -c ostreefs -n '__ostreefs_at shell' -l upper -r -f -a '(__fish_complete_directories)' -d 'with --rw, keep what it writes there'
complete -c ostreefs -n '__ostreefs_at shell' -l no-home -d 'without the real /home'
complete -c ostreefs -n '__ostreefs_at shell' -l var -r -f -a '(__fish_complete_directories)' -d 'a directory for /var, instead of a private one'
complete -c ostreefs -n '__ostreefs_at shell' -l network -d 'with this machine\'s network (the default)'
complete -c ostreefs -n '__ostreefs_at shell' -l no-network -d 'without any network'
complete -c ostreefs -n '__ostreefs_at shell' -l bind -r -F -d 'show SRC, writable'
complete -c ostreefs -n '__ostreefs_at shell' -l ro-bind -r -F -d 'show SRC, read-only'
complete -c ostreefs -n '__ostreefs_at shell' -l env -r -f -d 'set a variable'
complete -c ostreefs -n '__ostreefs_at shell' -l chdir -r -f -a '(__fish_complete_directories)' -d 'start there'
complete -c ostreefs -n '__ostreefs_at shell' -l user -r -f -d 'run it as somebody else'
complete -c ostreefs -n '__ostreefs_at shell -eq 0' -f -a '(__ostreefs_refs)'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a mounts -d 'List what is mounted where, and who serves it'

complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)' -a admin -d 'Deploy commits, and choose what the machine boots'
complete -c ostreefs -n '__ostreefs_at admin' -l sysroot -r -f -d 'the root of the machine\'s disk (else /)'
complete -c ostreefs -n '__ostreefs_at admin' -l modern -d 'make boot and ostree, and no other directory'
complete -c ostreefs -n '__ostreefs_at admin' -l bootloader -r -f -a 'none bls grub2 syslinux' -d 'what to write for (else what is there in boot): none: nothing is written, and \'current\' says what boots; bls: entries of the Boot Loader Specification; grub2: a menu that GRUB includes; syslinux: a menu that extlinux, syslinux or U-Boot includes'
complete -c ostreefs -n '__ostreefs_at admin' -l boot -r -f -a '(__fish_complete_directories)' -d 'the folder below the root that the boot loader reads, such as efi (else boot)'
complete -c ostreefs -n '__ostreefs_at admin' -l os -r -f -d 'the operating system (else that which runs, or the only one)'
complete -c ostreefs -n '__ostreefs_at admin' -l retain -d 'keep all other deployments'
complete -c ostreefs -n '__ostreefs_at admin' -l no-prune -d 'do not prune the repository afterwards'
complete -c ostreefs -n '__ostreefs_at admin' -l no-rebase -d 'apply no step of rebase.d: the release as it is'
complete -c ostreefs -n '__ostreefs_at admin' -l dry-run -d 'say what would be deployed and what it takes'
complete -c ostreefs -n '__ostreefs_at admin' -l not-as-default -d 'let what boots now boot next, too'
complete -c ostreefs -n '__ostreefs_at admin' -l karg-none -d 'take over no arguments of the kernel'
complete -c ostreefs -n '__ostreefs_at admin' -l karg-proc-cmdline -d 'take over the arguments of the running kernel'
complete -c ostreefs -n '__ostreefs_at admin' -l karg -r -f -d 'set an argument, NAME or NAME=VALUE, in the place of all of its name'
complete -c ostreefs -n '__ostreefs_at admin' -l karg-append -r -f -d 'add an argument, also beside one of its name'
complete -c ostreefs -n '__ostreefs_at admin' -l karg-delete -r -f -d 'take out an argument; its NAME will do where there is one of it'
complete -c ostreefs -n '__ostreefs_at admin' -s r -l reboot -d 'reboot when something was deployed'
complete -c ostreefs -n '__ostreefs_at admin' -l allow-downgrade -d 'also to a commit with an older timestamp'
complete -c ostreefs -n '__ostreefs_at admin' -l check -d 'only say whether there is something newer'
complete -c ostreefs -n '__ostreefs_at admin' -s u -l unpin -d 'let it go in its turn'
complete -c ostreefs -n '__ostreefs_at admin' -l repair -d 'make deployments what their commits say'
complete -c ostreefs -n '__ostreefs_at admin' -l from -r -f -a '(__fish_complete_directories)' -d 'look here for copies of what is damaged in the repository, too (may be repeated)'
complete -c ostreefs -n '__ostreefs_at admin -eq 0' -f -a 'init-fs os-init deploy upgrade switch status rollback set-default undeploy pin unpin kargs verify diff cleanup'
complete -c ostreefs -n '__ostreefs_at admin -eq 1' -f -a '(__ostreefs_refs)'
