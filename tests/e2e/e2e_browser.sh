#!/usr/bin/env bash
# A browser loads a page of 50 parts through one proxy, and then, with new profiles, through the other, as its reverse
# and as its forward proxy: the page's script finds everything right each time, and from the second time on all of it
# comes from the shared cache.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin browser

CHROMIUM=$(command -v chromium || command -v chromium-headless-shell) ||
    skip "no chromium is installed; scripts/setup.sh ci installs it"

# ---- the page ----

ROOT=$DIR/root
mkdir "$ROOT"
ENCODED='?gzip=1&header=Vary:%20Accept-Encoding' # there is a .gz beside it

integrity() { # FILE: the browser takes no other bytes
    printf 'sha256-%s' "$(openssl dgst -sha256 -binary "$1" | base64 -w0)"
}

filler() { # BYTES: a comment of about that size, in CSS and in JavaScript
    printf '/* %s */\n' "$(head -c "$1" /dev/zero | tr '\0' x)"
}

number32() { # NUMBER: four bytes, most significant first
    local hex
    printf -v hex '\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255))
    printf '%b' "$hex"
}

png_chunk() { # TYPE LENGTH: data from standard input. The CRC is the one that gzip appends.
    local crc
    { printf '%s' "$1" && cat; } >"$DIR/chunk"
    crc=$(gzip -c "$DIR/chunk" | tail -c 8 | head -c 4 | od -An -tu4 --endian=little)
    number32 "$2"
    cat "$DIR/chunk"
    number32 "$crc"
}

# One row of white pixels: each byte is 255, behind the filter's 0. Deflated as one stored block.
png() { # WIDTH
    local a=1 b=1 i width=$1
    for ((i = 0; i < width; i++)); do
        a=$(((a + 255) % 65521)) b=$(((b + a) % 65521))
    done
    printf '\x89PNG\r\n\x1a\n'
    { number32 "$width" && number32 1 && printf '\x08\0\0\0\0'; } | png_chunk IHDR 13
    {
        printf '\x78\x01\x01'
        printf '%b' "$(printf '\\x%02x' $((width + 1 & 255)) $((width + 1 >> 8)) \
            $((~(width + 1) & 255)) $((~(width + 1) >> 8 & 255)))"
        printf '\0' && head -c "$width" /dev/zero | tr '\0' '\377'
        number32 $((b << 16 | a))
    } | png_chunk IDAT $((width + 12))
    png_chunk IEND 0 </dev/null
}

number32_little() {
    number32 $((($1 & 255) << 24 | ($1 >> 8 & 255) << 16 | ($1 >> 16 & 255) << 8 | $1 >> 24))
}

wav() { # SECONDS: silence, 8000 bytes a second
    local bytes=$(($1 * 8000))
    printf 'RIFF' && number32_little $((bytes + 36))
    printf 'WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data' && number32_little "$bytes"
    head -c "$bytes" /dev/zero | tr '\0' '\200'
}

make_parts() {
    local i
    for i in {1..10}; do
        { printf '#style%d { width: %dpx; }\n' "$i" $((i * 3)) && filler $((i * 2000)); } >"$ROOT/style$i.css"
        { printf 'window.ran = window.ran || {}; ran[%d] = %d;\n' "$i" $((i * i)) && filler $((i * 20000)); } \
            >"$ROOT/script$i.js"
        png "$i" >"$ROOT/pixels$i.png"
        printf '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="2"/>\n' $((i + 20)) \
            >"$ROOT/drawing$i.svg"
    done
    for i in {1..7}; do
        printf '{"number": %d, "text": "%s"}\n' "$i" "$(head -c $((i * 15000)) /dev/zero | tr '\0' "$i")" \
            >"$ROOT/data$i.json"
    done
    printf 'export const one = 1;\n' >"$ROOT/one.js"
    printf 'import { one } from "./one.js"; export const two = one + 1;\n' >"$ROOT/two.js"
    printf 'import { two } from "./two.js"; export const three = two + 1;\n' >"$ROOT/three.js"
    gzip -k "$ROOT"/style*.css "$ROOT"/script*.js
    wav 1500 >"$ROOT/sound.wav"
    printf '{"live": true}\n' >"$ROOT/live.json"
    FONT=$(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null || true)
    FONT_PARTS=0
    [[ -z $FONT ]] || { cp "$FONT" "$ROOT/font.ttf" && FONT_PARTS=1; }
}

# The load ends, and with it the browser, when the script has said what it found: an image is held until then.
write_page() {
    local i
    echo '<!DOCTYPE html><html><head><meta charset="utf-8"><title>loading</title>'
    for i in {1..10}; do
        printf '<link rel="stylesheet" href="/style%d.css%s" integrity="%s">\n' "$i" "$ENCODED" \
            "$(integrity "$ROOT/style$i.css")"
    done
    echo '</head><body><p id="result">nothing yet</p><p id="hits"></p>'
    # shellcheck disable=SC2016 # for JavaScript
    echo '<script>const visit = location.hash.slice(1);
        document.write(`<img src="/visit-${visit}?size=1&hold=${visit}&hold_at=head&header=Cache-Control:%20no-store">`);
        </script>'
    for i in {1..10}; do
        printf '<div id="style%d"></div><img id="pixels%d" src="/pixels%d.png"><img id="drawing%d" src="/drawing%d.svg">' \
            "$i" "$i" "$i" "$i" "$i"
        printf '<script src="/script%d.js%s" integrity="%s" %s></script>\n' "$i" "$ENCODED" \
            "$(integrity "$ROOT/script$i.js")" "$([[ $((i % 2)) == 0 ]] && echo async)"
    done
    printf 'const font = %s, data = {%s};\n' "$([[ -n $FONT ]] && echo true || echo false)" \
        "$(for i in {1..7}; do printf '%d: "%s", ' "$i" "$(integrity "$ROOT/data$i.json")"; done)" >"$ROOT/list.part"
    echo '<audio id="sound" src="/sound.wav" preload="auto"></audio><script type="module">'
    cat "$ROOT/list.part" - <<'END'
const problems = [];
let loaded = 0, hits = 0;

async function part(name, check) {
    try {
        if (await check())
            loaded++;
        else
            problems.push(name);
    } catch (error) {
        problems.push(`${name} (${error})`);
    }
}

function happens(target, what) {
    return new Promise((resolve, reject) => {
        target.addEventListener(what, () => resolve(true), { once: true });
        target.addEventListener("error", () => reject(what), { once: true });
    });
}

async function image(name, width) {
    const element = document.getElementById(name);
    await element.decode();
    return element.naturalWidth === width;
}

async function json(path, options) {
    const response = await fetch(path, options);
    if (/larder; *hit/.test(response.headers.get("Cache-Status")))
        hits++;
    return response.json();
}

// An async script may be on its way still.
async function script(i) {
    while (!window.ran || !(i in window.ran))
        await new Promise(requestAnimationFrame);
    return window.ran[i] === i * i;
}

async function sound() {
    const element = document.getElementById("sound");
    if (!(element.readyState >= 1))
        await happens(element, "loadedmetadata");
    element.currentTime = 1400;
    await happens(element, "seeked");
    return element.duration === 1500;
}

// What the browser leaves as it is in paths and queries goes on as it came.
async function odd() {
    const wrong = [];
    for (const c of "!\"$&'()*+,;:=@[\\]^_`{|}~<> %\u00e9\u{1F600}") {
        const targets = [`/odd?echo=1&a=${c}x`].concat(c === "%" ? [] : [`/odd${c}x?echo=1`]);
        for (const target of targets) {
            const response = await fetch(target), url = new URL(response.url);
            if (!(await response.text()).startsWith(`GET ${url.pathname}${url.search} HTTP/1.1\r\n`))
                wrong.push(target);
        }
    }
    if (wrong.length)
        throw wrong.join(" ");
    return true;
}

// No change of protocol is offered, and the connections go on.
function socket() {
    return new Promise(resolve => {
        const socket = new WebSocket(`ws://${location.host}/posted?echo=1`);
        socket.onopen = () => resolve(false);
        socket.onerror = () => resolve(true);
    });
}

const work = [];
for (let i = 1; i <= 10; i++) {
    const style = () => getComputedStyle(document.getElementById(`style${i}`)).width === `${i * 3}px`;
    work.push(part(`style${i}`, style), part(`script${i}`, () => script(i)));
    work.push(part(`pixels${i}`, () => image(`pixels${i}`, i)));
    work.push(part(`drawing${i}`, () => image(`drawing${i}`, i + 20)));
}
for (const i in data)
    work.push(part(`data${i}`, async () => {
        const got = await json(`/data${i}.json`, { integrity: data[i] });
        return got.number == i && got.text === String(i).repeat(i * 15000);
    }));
work.push(part("modules", async () => {
    const { three } = await import("/three.js");
    loaded += 2;
    return three === 3;
}));
await Promise.all(work);
const parts = loaded;
await part("sound", sound);
await part("live", async () => (await json("/live.json?header=Cache-Control:%20no-cache")).live);
await part("posted", async () => (await fetch("/posted?echo=1", { method: "POST", body: "of " + visit }))
    .text().then(text => text.endsWith("\r\n\r\nof " + visit)));
await part("odd targets", odd);
await part("socket", socket);
if (font)
    await part("font", () => new FontFace("larder", "url(/font.ttf)").load());
const result = problems.length === 0 ? `all ${parts} loaded` : `wrong: ${problems.join(", ")}`;
document.getElementById("result").textContent = document.title = result;
document.getElementById("hits").textContent = hits + " hits";
await fetch("/_control/release?name=" + visit, { cache: "no-store" });
</script></body></html>
END
}

make_parts
write_page >"$ROOT/index.html"

# ---- three visits ----

# What is stored; browsers ask for things of their own besides.
PARTS='/(index|style|script|pixels|drawing|data|one|two|three|sound|font)[0-9]*[.]'

requests_of_parts() { # how often the origin was asked for each
    origin_stat ".by_path | to_entries | map(select(.key | test(\"^$PARTS\")))
        | sort_by(.key) | .[] | \"\\(.key) \\(.value)\""
}

no_browser_left() { # PROFILE; the pattern does not match itself
    ! grep -qas -- "--user-data-di[r]=$1" /proc/[0-9]*/cmdline
}

# The browser ends by itself when the page has loaded, and in any case.
visit() { # NAME BASE [OPTION...]
    mkdir "$DIR/home-$1"
    start "$1" env HOME="$DIR/home-$1" XDG_CONFIG_HOME="$DIR/home-$1" XDG_CACHE_HOME="$DIR/home-$1" \
        timeout -k 5 50 "$CHROMIUM" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --disable-default-apps \
        --disable-extensions --disable-breakpad --disable-dev-shm-usage --mute-audio \
        --disable-features=OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider \
        --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' --user-data-dir="$DIR/profile-$1" \
        "${@:3}" --dump-dom "http://$2/index.html#$1"
    DEADLINE=60 await_end "$1"
    expect_eq "the browser's exit status" "$EXIT_STATUS" 0
    wait_until "the browser's processes have ended" no_browser_left "$DIR/profile-$1"
    RESULT=$(sed -n 's/.*<p id="result">\([^<]*\)<.*/\1/p' "$DIR/$1.out")
    HITS=$(sed -n 's/.*<p id="hits">\([^<]*\)<.*/\1/p' "$DIR/$1.out")
    expect_eq "what the page found at the $1 visit" "$RESULT" "all 50 loaded"
    grep -q '<title>all 50 loaded</title>' "$DIR/$1.out" || fail "the title says something else"
}

start_origin --root "$ROOT" --max-age 600
start_cache --memory 64M
start_proxy proxy --access-log "$DIR/proxy.log"
start_proxy other --access-log "$DIR/other.log"
await_proxies 2

# Browsers ask for media by parts, and parts of what is not stored need not be stored.
get_ok "$DIR/body" "http://${HTTP[proxy]}/sound.wav"
expect_same "$DIR/body" "$ROOT/sound.wav"
expect_forwarded
wait_until "no fill is under way" cache_shows .cache.leases 0

visit first "${HTTP[proxy]}" --no-proxy-server
wait_until "no fill is under way" cache_shows .cache.leases 0
wait_until "nothing is pinned" cache_shows .cache.pins 0
requests_of_parts >"$DIR/requests"
parts=$(wc -l <"$DIR/requests")
expect_eq "parts that the origin was asked for" "$parts" $((FONT_PARTS + 52)) # the page and the sound besides
expect_eq "parts that it was asked for more than once" "$(grep -v ' 1$' "$DIR/requests" || true)" ""
validated=$(origin_stat .not_modified)
hits=$(cache_stat .cache.hits)

expect_from_cache() { # NAME: a visit that the origin has hardly seen
    requests_of_parts >"$DIR/requests.$1"
    diff "$DIR/requests" "$DIR/requests.$1" >&2 || fail "the origin was asked again for what is stored"
    expect_eq "answers from the cache to what was fetched by script" "$HITS" "7 hits"
    validated=$((validated + 1)) # what is to be validated each time
    expect_origin .not_modified "$validated"
    hits=$((hits + parts)) # a look-up for each, and a second one where there are variants
    expect_cache ".cache.hits >= $hits" true
}

visit second "${HTTP[other]}" --no-proxy-server
expect_from_cache second
visit third "$ORIGIN" --proxy-server="http://${HTTP[other]}" --proxy-bypass-list='<-loopback>' # for loopback too
expect_from_cache third

# ---- the end ----

wait_until "nothing is pinned" cache_shows .cache.pins 0
stop proxy
stop other
for name in proxy other; do # playing begins; then the browser leaves that response and asks for a later part
    sounds=$(grep -c '"GET /sound.wav [^"]*" 206 ' "$DIR/$name.log" || true)
    expect_below "requests for parts of the sound through $name: one" 1 "$sounds"
done
hits=$(grep -Ec "\"GET (http://$ORIGIN)?$PARTS.* hit [0-9.]+\$" "$DIR/other.log" || true)
asked=$(grep -Ec "\"GET (http://$ORIGIN)?$PARTS" "$DIR/other.log")
expect_eq "hits of the second and the third visit" "$hits" "$asked"
expect_below "one less than two visits have parts" $((2 * parts - 1)) "$hits"
expect_cache .cache.bad_requests 0
expect_cache .cache.leases 0
stop cache
e2e_done
