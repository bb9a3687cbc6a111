# shellcheck shell=bash
# The cases: their names, and what each asks for.
# shellcheck disable=SC2034 # what is set here is used by other parts

# Cases of one group are measured with the same servers, which are started for it.
readonly groups=(hit uniform miss proxies fleet killed cold ipc micro)
readonly standard_cases=(
    hit-{1k,16k,64k,1m,10m}-{1,32,256}
    uniform-{1k,100k,1m}
    miss mix
    {proxies,fleet}-{1,4,16,64}
    killed cold ipc micro
)
# The mix: nine of ten requests go to this many objects, whose popularity follows Zipf's law.
readonly zipf_objects=20000
readonly zipf_exponent=0.9

list_cases() { printf '%s\n' "${standard_cases[@]}"; }

add_all_cases() { wanted_cases=("${standard_cases[@]}"); }

add_case() { # add_case NAME: of a case or of a group
    local name
    if [[ $1 =~ ^(hit-[1-9][0-9]*[km]-[1-9][0-9]{0,3}|uniform-[1-9][0-9]*[km]|(proxies|fleet)-[1-9][0-9]{0,2})$ ||
        $1 =~ ^(miss|mix|killed|cold|ipc|micro)$ ]]; then
        wanted_cases+=("$1")
    elif [[ $1 =~ ^(hit|uniform|proxies|fleet)$ ]]; then
        for name in "${standard_cases[@]}"; do
            [[ $name != "$1"-* ]] || wanted_cases+=("$name")
        done
    else
        return 1
    fi
}

cases_of_group() { # cases_of_group GROUP: sets $group_cases
    local name
    group_cases=()
    for name in "${wanted_cases[@]}"; do
        [[ ${name%%-*} != "$1" && $name/$1 != mix/miss ]] || group_cases+=("$name")
    done
}

bytes_of_size() { # bytes_of_size 16k
    case $1 in
    *k) echo $((${1%k} * 1024)) ;;
    *m) echo $((${1%m} * 1048576)) ;;
    esac
}

count_of() { # count_of 100k
    case $1 in
    *k) echo $((${1%k} * 1000)) ;;
    *m) echo $((${1%m} * 1000000)) ;;
    esac
}

# describe CASE: sets what it asks for.
#   title, connections, bytes (of a body)
#   script     that wrk runs
#   prefix     with a number behind it: the URL of an object
#   objects    that are fetched before, numbered from 0
#   share      of the requests that may reach the origin, and the tolerance of that
describe() {
    local size large=
    connections=32 bytes=1024 objects=1 share=0 tolerance=0.0001
    case $1 in
    hit-*)
        IFS=- read -r _ size connections <<<"$1"
        bytes=$(bytes_of_size "$size")
        title="${size%[km]} $([[ $size == *k ]] && echo KiB || echo MiB)"
        script=hit
        [[ $bytes -lt 65536 ]] || large=large-
        ;;
    uniform-*)
        objects=$(count_of "${1#uniform-}")
        title="1 KiB, uniform over $objects objects"
        script=uniform
        ;;
    miss)
        title="1 KiB, every URL new" script=miss objects=0 share=1 tolerance=0.01
        ;;
    mix)
        title="1 KiB, nine hits (Zipf $zipf_exponent over $zipf_objects) to a miss"
        script=mix objects=$zipf_objects share=0.1 tolerance=0.02
        ;;
    proxies-*)
        title="1 KiB, ${1#proxies-} proxies" script=hit connections=256
        ;;
    fleet-*)
        title="1 KiB, ${1#fleet-} proxies" script=hit connections=$((32 * ${1#fleet-}))
        ;;
    killed)
        title="1 KiB" script=hit
        ;;
    esac
    prefix="/${large}object?size=$bytes&seed="
}
