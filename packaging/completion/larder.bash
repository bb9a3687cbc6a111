# shellcheck shell=bash disable=SC2207
# Completion of cache_server, proxy_client and cache_ctl. The options are those of --help.

_larder_options() { # PROGRAM
    "$1" --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u
}

_larder_values() { # OPTION WORD: 0 if the option takes a value, which is completed
    case $1 in
    --config | --access-log | --origin-ca) COMPREPLY=($(compgen -f -- "$2")) ;;
    --user | --cache-user) COMPREPLY=($(compgen -u -- "$2")) ;;
    --group) COMPREPLY=($(compgen -g -- "$2")) ;;
    --log-level) COMPREPLY=($(compgen -W "error warn info debug" -- "$2")) ;;
    --instance) # those that have a queue
        COMPREPLY=($(compgen -W "$(find /dev/mqueue -maxdepth 1 -name 'larder.*' -printf '%f\n' 2>/dev/null |
            cut -d. -f2 | sort -u)" -- "$2"))
        ;;
    --origin) COMPREPLY=($(compgen -W "http:// https://" -- "$2")) ;;
    --memory | --max-object | --shards | --*-time | --*-limit | --*-timeout | --listen | --getfile | --tenant | --segments | --spin | \
        --segment-size | --targeted-fields | --tag-fields | --purge-from | --key | --prefix | --tag | --max-* | --timeout | --count) COMPREPLY=() ;;
    *) return 1 ;;
    esac
}

_larder() {
    local word=${COMP_WORDS[COMP_CWORD]} commands=
    _larder_values "${COMP_WORDS[COMP_CWORD - 1]}" "$word" && return
    [[ ${1##*/} != cache_ctl ]] || commands="ping stats tenants proxies top show purge drain undrain reload doctor"
    COMPREPLY=($(compgen -W "$commands $(_larder_options "$1")" -- "$word"))
}

complete -F _larder cache_server proxy_client cache_ctl
