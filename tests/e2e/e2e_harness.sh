#!/usr/bin/env bash
# The stories can fail: each kind of trouble makes tests/support/e2e.sh report it, and nothing survives.
# shellcheck disable=SC2016 # the stories are text
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin harness

# Runs a story given as text; its output is in $DIR/said. One that is to wait in vain makes its DEADLINE short, but
# only when what it has started is there, however long that takes.
tell() { # STORY_TEXT
    local status=0
    printf '%s\n' "source '$E2E_ROOT/tests/support/e2e.sh'" "e2e_begin inner" "$1" >"$DIR/story.sh"
    bash "$DIR/story.sh" >"$DIR/said" 2>&1 || status=$?
    echo "$status"
}

expect_story() { # STATUS WORDS STORY_TEXT
    expect_eq "exit status of: $3" "$(tell "$3")" "$1"
    echo "$(<"$DIR/said")" | grep -q "$2" || fail "$3: said $(cat "$DIR/said")"
}

expect_story 0 '^' 'e2e_done'
expect_story 77 'SKIP: because' 'skip because'
expect_story 1 'ended early' 'true'
expect_story 1 '^' 'false; e2e_done'
expect_story 1 'got "1", wanted "2"' 'expect_eq number 1 2; e2e_done'
expect_story 1 'wanted a match' 'expect_match text abc "^b"; e2e_done'
expect_story 1 'wanted no match' 'expect_no_match text abc b; e2e_done'
expect_story 1 'less than 5' 'expect_below number 5 5; e2e_done'
expect_story 1 'bytes differ' 'echo a >"$DIR/a"; echo b >"$DIR/b"; expect_same "$DIR/a" "$DIR/b"; e2e_done'
expect_story 1 'waited 2 s in vain: rain' 'DEADLINE=2; wait_until rain false; e2e_done'
expect_story 1 'left behind' ': >"/dev/shm/larder.$INSTANCE.0123456789abcdef"; e2e_done'
expect_story 0 '^' ': >"/dev/shm/larder.${INSTANCE}0"; e2e_done; rm "/dev/shm/larder.${INSTANCE}0"'
expect_story 1 'did not end; killed' 'start deaf env --ignore-signal=TERM sleep 60
    wait_until "it is deaf" grep -q "^SigIgn:.*[4-7c-f]...$" "/proc/${PID[deaf]}/status"; DEADLINE=2; e2e_done'
expect_story 1 'ended instead of printing' 'start mute true; await_line mute ready; e2e_done'
expect_story 1 'ended with status 3' 'start bad bash -c "trap \"exit 3\" TERM; echo ready; read -r x <>\"$DIR/never\""
    await_line bad ready; stop bad; e2e_done'
expect_story 1 'did not close' 'start_origin; DEADLINE=2; printf "GET / HTTP/1.1\r\nHost: a\r\n\r\n" | raw "$DIR/answer" "$ORIGIN"; e2e_done'

# The origin itself, without anything between it and the client.
start_origin --root "$DIR" --max-age 60
get_ok "$DIR/body" "http://$ORIGIN/x?size=100000&seed=3"
cmp "$DIR/body" <(generated 100000:3) >&2 || fail "bytes differ"
etag=$(header ETag)
expect_eq "Cache-Control" "$(header cache-control)" "max-age=60"
get_status 304 "$DIR/body" "http://$ORIGIN/x?size=100000&seed=3" -H "If-None-Match: W/$etag"
get_status 206 "$DIR/body" "http://$ORIGIN/x?size=100000&seed=3" -r 100-199 -H "If-Range: $etag"
cmp "$DIR/body" <(generated 100000:3 | tail -c +101 | head -c 100) >&2 || fail "the range differs"
get_ok "$DIR/body" "http://$ORIGIN/x?size=100000&seed=3" -r 100-199 -H 'If-Range: "other"'
get_status 416 "$DIR/body" "http://$ORIGIN/x?size=10" -r 10-
get "$DIR/body" "http://$ORIGIN/x?size=1000&close=10"
expect_eq "curl's exit status" "$CURL_EXIT" 18
expect_eq "bytes before the end" "$(stat -c %s "$DIR/body")" 10
get_status 404 "$DIR/body" "http://$ORIGIN/../../etc/passwd"
ln -s /etc/passwd "$DIR/link"
get_status 404 "$DIR/body" "http://$ORIGIN/link"
start client curl -sS "http://$ORIGIN/held?size=1000&hold=gate"
await_held gate
release gate
await_end client
cmp "$DIR/client.out" <(generated 1000) >&2 || fail "bytes differ after a gate"
expect_origin .not_modified 1
expect_origin '.by_path["/x"]' 6
stop origin
e2e_done
