# SPDX-License-Identifier: LGPL-2.1-or-later
# Made by `make -C mount-helpers completions`: change the parsers, not this.

# shellcheck shell=bash disable=SC2034,SC2086,SC2154 # they share variables

_ostreefs_refs() {
    ostreefs ${repo:+--repo="$repo"} refs 2>/dev/null
}

_ostreefs_mounts() {
    findmnt -nlo TARGET -t fuse.ostreefs 2>/dev/null
}

# Offer those of the lines of standard input that begin with what is typed.
_ostreefs_offer() {
    local line
    while IFS= read -r line; do
        if [[ $line == "$cur"* ]]; then COMPREPLY+=("$line"); fi
    done
}

_ostreefs_candidates() {
    local before='' name
    case $1 in
        words\ *) printf '%s\n' ${1#words } ;;
        refs) _ostreefs_refs ;;
        mounts) _ostreefs_mounts ;;
        files) compgen -f -- "$cur" ;;
        directories) compgen -d -- "$cur" ;;
        refs-or-files)
            _ostreefs_refs
            compgen -f -- "$cur"
            ;;
        mount-options)
            if [[ $cur == *,* ]]; then before=${cur%,*},; fi
            for name in allow_other allow_root suid nosuid dev nodev exec noexec uid= gid= stats= verify=open follow; do
                printf '%s\n' "$before$name"
            done
            ;;
    esac
}

_ostreefs_global() {
    options+='-h --help --repo --json -v --verbose --version '
    values[--repo]='directories'
    verbs='init commit compose log history show rev-parse refs reset ls cat checkout export diff checksum fsck df prune pin config mount switch umount bisect run shell mounts admin'
}

_ostreefs_verb() {
    case $verb in
        init)
            options+='--mode '
            values[--mode]='words bare bare-user'
            words='none'
            ;;
        commit)
            options+='-b --branch --orphan -s --subject -m --body -F --body-file -e --editor --timestamp --add-metadata-string --add-metadata --tree --base --whiteouts --parent --owner-uid --owner-gid --canonical-permissions --mode-ro-executables --no-xattrs --statoverride --skip-list --skip-if-unchanged --bootable --consume --checksum --link-checkout-speedup -I --devino-canonical --tar-autocreate-parents '
            values[-b]='refs'
            values[--branch]='refs'
            values[-s]='none'
            values[--subject]='none'
            values[-m]='none'
            values[--body]='none'
            values[-F]='files'
            values[--body-file]='files'
            values[--timestamp]='none'
            values[--add-metadata-string]='none'
            values[--add-metadata]='none'
            values[--tree]='none'
            values[--base]='refs'
            values[--parent]='refs'
            values[--owner-uid]='none'
            values[--owner-gid]='none'
            values[--statoverride]='files'
            values[--skip-list]='files'
            words=$'files\nnone'
            ;;
        compose)
            options+='-b --branch --orphan --overlay --dir --deb --rpm --run --on-conflict --recipe --recipe-of --write-recipe -n --dry-run --owner-uid --owner-gid -s --subject -m --body -F --body-file -e --editor --timestamp --add-metadata-string --add-metadata --parent --skip-if-unchanged '
            values[-b]='refs'
            values[--branch]='refs'
            values[--overlay]='refs'
            values[--dir]='directories'
            values[--deb]='files'
            values[--rpm]='files'
            values[--run]='none'
            values[--on-conflict]='words fail first last'
            values[--recipe]='files'
            values[--recipe-of]='refs'
            values[--write-recipe]='files'
            values[--owner-uid]='none'
            values[--owner-gid]='none'
            values[-s]='none'
            values[--subject]='none'
            values[-m]='none'
            values[--body]='none'
            values[-F]='files'
            values[--body-file]='files'
            values[--timestamp]='none'
            values[--add-metadata-string]='none'
            values[--add-metadata]='none'
            values[--parent]='refs'
            words=$'refs\nnone'
            ;;
        log)
            options+='-n --max-count --first -R --recursive -d --dironly '
            values[-n]='none'
            values[--max-count]='none'
            words=$'refs\nnone'
            ;;
        history)
            options+='--graph --html --changes -n --max-count --since --until --first-parent --color '
            values[--html]='files'
            values[--changes]='none'
            values[-n]='none'
            values[--max-count]='none'
            values[--since]='none'
            values[--until]='none'
            values[--color]='words auto always never'
            words='refs'
            ;;
        show)
            options+='--stats --print-metadata-key '
            values[--print-metadata-key]='none'
            words=$'refs\nnone'
            ;;
        rev-parse)
            words='refs'
            ;;
        refs)
            options+='--list --delete --create --history -A --alias --force -n --max-count '
            values[--create]='none'
            values[-n]='none'
            values[--max-count]='none'
            words='refs'
            ;;
        reset)
            words=$'refs\nrefs\nnone'
            ;;
        ls)
            options+='-R --recursive -d --dironly -C --checksum -X --xattrs --nul-filenames-only '
            words=$'refs\nnone'
            ;;
        cat)
            words=$'refs\nnone'
            ;;
        checkout)
            options+='-U --user-mode -H --require-hardlinks -C --force-copy --subpath --union --union-add --union-identical --whiteouts --allow-noent --skip-list --from-file --from-stdin '
            values[--subpath]='none'
            values[--skip-list]='files'
            values[--from-file]='files'
            words=$'refs\ndirectories\nnone'
            ;;
        export)
            options+='-o --output --subpath --prefix --no-xattrs --sparse --compress '
            values[-o]='files'
            values[--output]='files'
            values[--subpath]='none'
            values[--prefix]='none'
            values[--compress]='words none gzip xz zstd bzip2'
            words=$'refs\nnone'
            ;;
        diff)
            options+='--stats -p --patch --packages --fs-diff --no-xattrs --owner-uid --owner-gid '
            values[--owner-uid]='none'
            values[--owner-gid]='none'
            words=$'refs-or-files\nrefs-or-files\nnone'
            ;;
        checksum)
            options+='--content --ignore-xattrs --owner-uid --owner-gid '
            values[--owner-uid]='none'
            values[--owner-gid]='none'
            words='files'
            ;;
        fsck)
            options+='-q --quiet --quick --repair --from --delete '
            values[--from]='directories'
            words='none'
            ;;
        df)
            options+='--commits --between -b --bytes '
            values[--between]='refs'
            words='refs'
            ;;
        prune)
            options+='--refs-only --depth --keep-younger-than --keep --retain-branch-depth --only-branch --delete-commit --no-prune '
            values[--depth]='none'
            values[--keep-younger-than]='none'
            values[--keep]='none'
            values[--retain-branch-depth]='none'
            values[--only-branch]='refs'
            values[--delete-commit]='refs'
            words='none'
            ;;
        pin)
            options+='--list --delete --name '
            values[--name]='none'
            words='refs'
            ;;
        config)
            options+='--list '
            words=$'words get set unset\nnone'
            ;;
        mount)
            options+='--all --follow --rw --upper --foreground --log-file -o '
            values[--upper]='directories'
            values[--log-file]='files'
            values[-o]='mount-options'
            words=$'refs\ndirectories'
            ;;
        switch)
            words=$'mounts\nrefs\nnone'
            ;;
        umount)
            options+='-l --lazy '
            words=$'mounts\nnone'
            ;;
        bisect)
            options+='--name --mount --bad --good --term-new --term-bad --term-old --term-good -o --in-tree --html '
            values[--name]='none'
            values[--mount]='directories'
            values[--bad]='refs'
            values[--good]='refs'
            values[--term-new]='none'
            values[--term-bad]='none'
            values[--term-old]='none'
            values[--term-good]='none'
            values[-o]='mount-options'
            values[--html]='files'
            words=$'words start bad good new old skip run log replay visualize view report terms reset\nrefs'
            ;;
        run)
            options+='--rw --upper --no-home --var --network --no-network --bind --ro-bind --env --chdir --user '
            values[--upper]='directories'
            values[--var]='directories'
            values[--bind]='files'
            values[--ro-bind]='files'
            values[--env]='none'
            values[--chdir]='directories'
            values[--user]='none'
            words=$'refs\nnone'
            ;;
        shell)
            options+='--rw --upper --no-home --var --network --no-network --bind --ro-bind --env --chdir --user '
            values[--upper]='directories'
            values[--var]='directories'
            values[--bind]='files'
            values[--ro-bind]='files'
            values[--env]='none'
            values[--chdir]='directories'
            values[--user]='none'
            words=$'refs\nnone'
            ;;
        mounts)
            words='none'
            ;;
        admin)
            options+='--sysroot --modern --bootloader --boot --os --retain --no-prune --no-rebase --dry-run --not-as-default --karg-none --karg-proc-cmdline --karg --karg-append --karg-delete -r --reboot --allow-downgrade --check -u --unpin --repair --from '
            values[--sysroot]='none'
            values[--bootloader]='words none bls grub2 syslinux'
            values[--boot]='directories'
            values[--os]='none'
            values[--karg]='none'
            values[--karg-append]='none'
            values[--karg-delete]='none'
            values[--from]='directories'
            words=$'words init-fs os-init deploy upgrade switch status rollback set-default undeploy pin unpin kargs verify diff cleanup\nrefs\nnone'
            ;;
    esac
}

_ostreefs() {
    local cur=${COMP_WORDS[COMP_CWORD]} verb='' repo='' option='' kind='' count=0
    local options='' words='' i word name
    local -A values=()
    _ostreefs_global
    # Readline has made words of "=": an option and its value are "--repo", "=", "/path".
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $option ]]; then
            if [[ $word == = ]]; then continue; fi
            if [[ $option == --repo ]]; then repo=${word/#\~\//$HOME/}; fi
            option=''
        elif [[ $word == -* ]]; then
            if [[ -n ${values[$word]-} ]]; then option=$word; fi
        elif [[ -z $verb ]]; then
            verb=$word
            _ostreefs_verb
        elif [[ $word != = ]]; then
            count=$((count + 1))
        fi
    done
    if [[ $cur == = ]]; then cur=''; fi
    COMPREPLY=()
    if [[ -n $option ]]; then
        kind=${values[$option]}
    elif [[ $cur == -* ]]; then
        kind="words $options"
    elif [[ -z $verb ]]; then
        kind="words $verbs"
    else
        kind=none
        while IFS= read -r name; do
            kind=$name
            if ((count-- == 0)); then break; fi
        done <<<"$words"
    fi
    case $kind in
        files | directories | mounts | refs-or-files) compopt -o filenames 2>/dev/null ;;
    esac
    if [[ $kind == mount-options ]]; then compopt -o nospace 2>/dev/null; fi
    _ostreefs_offer < <(_ostreefs_candidates "$kind")
}

complete -F _ostreefs ostreefs
