# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is known of verbs and options (`completion`), as scripts for bash, zsh and fish.

Refs come from the repository that the command line names, mount points from findmnt(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ostreefs.cli.completion import Option, Verb

_HEAD = """\
# SPDX-License-Identifier: LGPL-2.1-or-later
# Made by `make -C mount-helpers completions`: change the parsers, not this.
"""

MOUNT_OPTIONS = (
    "allow_other",
    "allow_root",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "uid=",
    "gid=",
    "stats=",
    "verify=open",
    "follow",
)

# ---- bash

_BASH_START = r"""
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
"""

_BASH_CANDIDATES = rf"""
_ostreefs_candidates() {{
    local before='' name
    case $1 in
        words\ *) printf '%s\n' ${{1#words }} ;;
        refs) _ostreefs_refs ;;
        mounts) _ostreefs_mounts ;;
        files) compgen -f -- "$cur" ;;
        directories) compgen -d -- "$cur" ;;
        refs-or-files)
            _ostreefs_refs
            compgen -f -- "$cur"
            ;;
        mount-options)
            if [[ $cur == *,* ]]; then before=${{cur%,*}},; fi
            for name in {" ".join(MOUNT_OPTIONS)}; do
                printf '%s\n' "$before$name"
            done
            ;;
    esac
}}
"""

_BASH_END = r"""
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
"""


def write_bash(options: Sequence[Option], verbs: Sequence[Verb]) -> str:
    """The completion for bash; needs nothing else."""
    lines = [
        _HEAD,
        "# shellcheck shell=bash disable=SC2034,SC2086,SC2154 # they share variables",
        _BASH_START + _BASH_CANDIDATES,
        "_ostreefs_global() {",
        *_bash_options(options, "    "),
        f"    verbs='{' '.join(verb.name for verb in verbs)}'",
        "}",
        "",
        "_ostreefs_verb() {",
        "    case $verb in",
    ]
    for verb in verbs:
        lines += [
            f"        {verb.name})",
            *_bash_options(verb.options, " " * 12),
            f"            words={_ansi(verb.words)}",
            "            ;;",
        ]
    return "\n".join([*lines, "    esac", "}", _BASH_END.rstrip("\n"), ""])


def _bash_options(options: Sequence[Option], indent: str) -> Iterable[str]:
    names = [name for option in options for name in option.names]
    if names:
        yield f"{indent}options+='{' '.join(names)} '"
    for option in options:
        if option.kind is not None:
            for name in option.names:
                yield f"{indent}values[{name}]='{option.kind}'"


def _ansi(words: Sequence[str]) -> str:
    if len(words) == 1:
        return f"'{words[0]}'"
    return "$'" + r"\n".join(words) + "'"


# ---- zsh

_ZSH_FUNCTIONS = r"""
_ostreefs_refs() {
    local -a refs
    refs=(${(f)"$(ostreefs ${repo:+--repo=$repo} refs 2>/dev/null)"})
    _describe -t refs ref refs
}

_ostreefs_mounts() {
    local -a mounts
    mounts=(${(f)"$(findmnt -nlo TARGET -t fuse.ostreefs 2>/dev/null)"})
    compadd -a mounts
}

_ostreefs_refs_or_files() {
    _ostreefs_refs
    _files
}
"""

_ZSH_KINDS = {
    "none": " ",
    "refs": "_ostreefs_refs",
    "mounts": "_ostreefs_mounts",
    "files": "_files",
    "directories": "_directories",
    "refs-or-files": "_ostreefs_refs_or_files",
    "mount-options": f"_sequence compadd -S '' - {' '.join(MOUNT_OPTIONS)}",
}


def write_zsh(options: Sequence[Option], verbs: Sequence[Verb]) -> str:
    """The completion for zsh."""
    described = [f"        {_quote(f'{verb.name}:{verb.summary}')}" for verb in verbs]
    lines = [
        "#compdef ostreefs",
        _HEAD + _ZSH_FUNCTIONS,
        "_ostreefs() {",
        "    local curcontext=$curcontext state line repo=$OSTREEFS_REPO i",
        "    typeset -A opt_args",
        "    local -a global verbs",
        "    global=(",
        *(f"        {text}" for option in options for text in _zsh_option(option)),
        "    )",
        "    verbs=(",
        *described,
        "    )",
        "    for ((i = 2; i <= $#words; i++)); do",
        "        case $words[i] in",
        "            --repo=*) repo=${~words[i]#--repo=} ;;",
        "            --repo) repo=${~words[i + 1]} ;;",
        "        esac",
        "    done",
        "    _arguments -C $global '(-): :->verb' '(-)*:: :->words' && return",
        "    if [[ $state == verb ]]; then",
        "        _describe -t verbs verb verbs",
        "        return",
        "    fi",
        "    case $words[1] in",
    ]
    for verb in verbs:
        lines.append(f"        {verb.name})")
        lines.append("            _arguments -S $global \\")
        texts = [text for option in verb.options for text in _zsh_option(option)]
        texts += _zsh_words(verb.words)
        lines += [f"                {text} \\" for text in texts[:-1]]
        lines += [f"                {texts[-1]}", "            ;;"]
    return "\n".join([*lines, "    esac", "}", "", '_ostreefs "$@"', ""])


def _zsh_option(option: Option) -> Iterable[str]:
    text = _zsh_text(option.help)
    for name in option.names:
        if option.kind is None:
            yield _quote(f"{name}[{text}]")
        else:
            sign = "=" if name.startswith("--") else "+"
            action = _zsh_action(option.kind)
            yield _quote(f"*{name}{sign}[{text}]:{name.lstrip('-')}:{action}")


def _zsh_words(words: Sequence[str]) -> Iterable[str]:
    for number, kind in enumerate(words[:-1], 1):
        yield _quote(f"{number}: :{_zsh_action(kind)}")
    yield _quote(f"*: :{_zsh_action(words[-1])}")


def _zsh_action(kind: str) -> str:
    if kind.startswith("words "):
        return f"({kind.removeprefix('words ')})"
    return _ZSH_KINDS[kind]


def _zsh_text(text: str) -> str:
    for special in "\\[]:":
        text = text.replace(special, f"\\{special}")
    return text


# ---- fish

_FISH_FUNCTIONS = r"""
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
"""

_FISH_KINDS = {
    "none": "-f",
    "refs": "-f -a '(__ostreefs_refs)'",
    "mounts": "-f -a '(__ostreefs_mounts)'",
    "files": "-F",
    "directories": "-f -a '(__fish_complete_directories)'",
    "refs-or-files": "-F -a '(__ostreefs_refs)'",
    "mount-options": f"-f -a '(__fish_append , {' '.join(MOUNT_OPTIONS)})'",
}


def write_fish(options: Sequence[Option], verbs: Sequence[Verb]) -> str:
    """The completion for fish."""
    everything = [*options, *(option for verb in verbs for option in verb.options)]
    with_value = {name for option in everything if option.kind for name in option.names}
    lines = [
        _HEAD + _FISH_FUNCTIONS,
        f"set -g __ostreefs_with_value {' '.join(sorted(with_value))}",
        "",
        "complete -c ostreefs -f",
        *(_fish_option(option, "") for option in options),
    ]
    for verb in verbs:
        lines += [
            "",
            "complete -c ostreefs -n 'not string length -q -- (__ostreefs_words)'"
            f" -a {verb.name} -d {_fish_quote(verb.summary)}",
            *(_fish_option(option, f" -n '__ostreefs_at {verb.name}'") for option in verb.options),
            *_fish_words(verb),
        ]
    return "\n".join([*lines, ""])


def _fish_option(option: Option, condition: str) -> str:
    names = [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    ]
    value = "" if option.kind is None else f" -r {_fish_action(option.kind)}"
    text = _fish_quote(option.help)
    return f"complete -c ostreefs{condition} {' '.join(names)}{value} -d {text}"


def _fish_words(verb: Verb) -> Iterable[str]:
    last = len(verb.words) - 1
    for number, kind in enumerate(verb.words):
        if kind != "none":
            at = f"__ostreefs_at {verb.name} {'-ge' if number == last else '-eq'} {number}"
            yield f"complete -c ostreefs -n '{at}' {_fish_action(kind)}"


def _fish_action(kind: str) -> str:
    if kind.startswith("words "):
        return f"-f -a {_fish_quote(kind.removeprefix('words '))}"
    return _FISH_KINDS[kind]


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


WRITERS: dict[str, Callable[[Sequence[Option], Sequence[Verb]], str]] = {
    "bash": write_bash,
    "zsh": write_zsh,
    "fish": write_fish,
}
