# shellcheck shell=bash
# Plots of a group's figures, as SVG in docs/, by gnuplot. What is drawn is shown behind the group's table.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

readonly plots=$root/docs
# Those of the servers, in the order of the table; colours that can be told apart without seeing red and green.
readonly plot_servers=(floor larder nginx varnish haproxy trafficserver)
readonly plot_colours=("#999999" "#0072b2" "#e69f00" "#009e73" "#cc79a7" "#56b4e9")

draw() { # draw GROUP
    if ! has gnuplot; then
        say "no gnuplot: no plots"
        return
    fi
    case $1 in
    hit)
        draw_bars hits "Processor time for a hit at 32 connections" "CPU us/request, all processes" 1 "%.0f" \
            hit-{1k,16k,64k,1m,10m}-32
        draw_bars latency "p99 latency of a 1 KiB hit" "us" 4 "%.0f" hit-1k-{1,32,256}
        ;;
    uniform) draw_bars objects "Processor time for a 1 KiB hit among many objects" "CPU us/request" 1 "%.0f" \
        uniform-{1k,100k,1m} ;;
    miss) draw_bars misses "Processor time for a request of 1 KiB" "CPU us/request, without the origin's" 1 "%.0f" miss mix ;;
    proxies) draw_proxies ;;
    ipc) draw_ipc ;;
    esac
}

bar_label() { # bar_label CASE, which was described
    case $1 in
    hit-1k-*) [[ $plot == latency ]] && echo "$connections connection$([[ $connections -eq 1 ]] || echo s)" || echo "$title" ;;
    hit-*) echo "$title" ;;
    uniform-*) echo "$objects objects" ;;
    miss) echo "every URL new" ;;
    mix) echo "nine hits to a miss" ;;
    esac
}

# draw_bars FILE TITLE UNIT COLUMN FORMAT CASE...: a group of bars for each case that was measured, on a logarithmic
# scale, with the figures above them
draw_bars() {
    local plot=$1 heading=$2 unit=$3 number=$4 format=$5 name server i drawn=() data=$work/plot.data
    shift 5
    for server in "${plot_servers[@]}"; do
        for name in "$@"; do
            was_measured "$server" "$name" && drawn+=("$server") && break
        done
    done
    : >"$data"
    for name in "$@"; do
        [[ " ${group_cases[*]} " == *" $name "* ]] || continue
        describe "$name"
        printf '"%s"' "$(bar_label "$name")" >>"$data"
        for server in "${drawn[@]}"; do
            if was_measured "$server" "$name"; then
                printf ' %s' "$(median "$work/result-$server-$name" "$number")" >>"$data"
            else
                printf ' ?' >>"$data"
            fi
        done
        echo >>"$data"
    done
    [[ -s $data ]] || return 0
    {
        plot_head "$plot" "$heading" "$unit"
        printf 'set style data histograms\nset style histogram clustered gap 1\nset style fill solid\nset logscale y\n'
        printf 'set datafile missing "?"\nset yrange [1:*]\nset key outside bottom center horizontal\nplot '
        for i in "${!drawn[@]}"; do
            [[ $i -eq 0 ]] || printf ', '
            printf '"%s" using %d:xtic(1) title "%s" linecolor rgb "%s"' "$data" $((i + 2)) \
                "$(peer_title "${drawn[i]}")" "$(colour_of "${drawn[i]}")"
        done
        for i in "${!drawn[@]}"; do
            # The bars of a group are 1/(count + gap) wide and centred on the group.
            # shellcheck disable=SC2016 # gnuplot's columns
            printf ', "%s" using ($0 + (%d - %d / 2.0 + 0.5) / (%d + 1.0)):%d:(sprintf("%s", $%d)) with labels' "$data" \
                "$i" "${#drawn[@]}" "${#drawn[@]}" $((i + 2)) "$format" $((i + 2))
            printf ' offset 0,0.5 font ",8" notitle'
        done
        echo
    } >"$work/plot"
    run_gnuplot "$plot" "$heading"
}

colour_of() {
    local i
    for i in "${!plot_servers[@]}"; do
        [[ ${plot_servers[i]} != "$1" ]] || echo "${plot_colours[i]}"
    done
}

plot_head() { # plot_head FILE TITLE UNIT
    printf 'set terminal svg noenhanced size 900,420 dynamic background rgb "white" font "sans-serif,12"\n'
    printf 'set output "%s/bench-%s.svg"\nset title "%s"\nset ylabel "%s"\nset grid ytics\nset border 3\n' "$plots" "$1" \
        "$2" "$3"
    printf 'set tics nomirror\nset format y "%%.0f"\n'
}

run_gnuplot() { # run_gnuplot FILE TITLE
    gnuplot "$work/plot" 2>"$work/gnuplot.log" || { tail -n 5 "$work/gnuplot.log" >&2 && fail "gnuplot: $1"; }
    say "drew docs/bench-$1.svg"
    printf '\n![%s](bench-%s.svg)\n' "$2" "$1" >>"$work/table"
}

draw_proxies() {
    local name server heading="Processor time for a 1 KiB hit, proxies on one cache"
    for server in larder floor; do
        for name in "${group_cases[@]}"; do
            echo "${name#proxies-} $(column "$work/result-$server-$name" 1)"
        done >"$work/plot.$server"
    done
    {
        plot_head proxies "$heading" "CPU us/request, all processes"
        printf 'set logscale x 2\nset xlabel "proxies"\nset yrange [0:*]\nset offsets graph 0.05, graph 0.05, graph 0.2, 0\n'
        printf 'plot "%s" using 1:2:3:4 with yerrorlines linewidth 2 pointtype 7 linecolor rgb "%s" title "Larder, 256 connections", ' \
            "$work/plot.larder" "$(colour_of larder)"
        printf '"%s" using 1:2:3:4 with yerrorlines linewidth 2 pointtype 7 linecolor rgb "%s" title "as many bare epoll servers"\n' \
            "$work/plot.floor" "$(colour_of floor)"
    } >"$work/plot"
    run_gnuplot proxies "$heading"
}

draw_ipc() {
    local size depth server heading="Look-ups between two processes: object, under way at a time"
    : >"$work/plot.data"
    for size in "${ipc_sizes[@]}"; do
        for depth in "${ipc_depths[@]}"; do
            printf '"%s, %s"' "$(human_size "$size")" "$depth"
            for server in larder memcached; do
                [[ -s $work/result-ipc-$server-$depth-$size ]] &&
                    printf ' %s' "$(median "$work/result-ipc-$server-$depth-$size" 1)" || printf ' ?'
            done
            echo
        done
    done >"$work/plot.data"
    {
        plot_head ipc "$heading" "operations/s"
        printf 'set style data histograms\nset style histogram clustered gap 1\nset style fill solid\nset logscale y\n'
        printf 'set datafile missing "?"\nset key outside bottom center horizontal\n'
        printf 'plot "%s" using 2:xtic(1) title "Larder" linecolor rgb "%s", "" using 3 title "memcached, unix socket" linecolor rgb "%s"\n' \
            "$work/plot.data" "$(colour_of larder)" "$(colour_of nginx)"
    } >"$work/plot"
    run_gnuplot ipc "$heading"
}
