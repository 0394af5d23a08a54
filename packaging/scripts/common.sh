# Shared by the scripts of this repository; sourced, never run.
# Everything here talks on standard error: standard output belongs to the script.
# Exit codes: 69 something is not on this machine, 78 a setting is wrong.

say() { printf '%s\n' "$*" >&2; }

# die CODE TEXT...
die() {
    local code=$1
    shift
    say "${0##*/}: $*"
    exit "$code"
}

# at_least WANTED HAVE: compares versions such as 1.95 and 1.95.0
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# as_root COMMAND...: by being root, or by sudo; fails when neither is there
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo > /dev/null 2>&1; then
        sudo "$@"
    else
        return 1
    fi
}

# want_packages PACKAGE...: installs Debian packages, or says which are wanted
want_packages() {
    command -v apt-get > /dev/null 2>&1 ||
        die 69 "please install what your system calls these Debian packages: $*"
    say "installing $*"
    as_root apt-get -q update >&2 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@" >&2 ||
        die 69 "could not install $*; run this and try again: apt-get install $*"
}

need_cc() {
    local cc
    for cc in "${CC:-cc}" gcc clang; do
        command -v "$cc" > /dev/null 2>&1 && return
    done
    die 69 "a C compiler is needed (for ring and SQLite), and none is here; on Debian: apt-get install build-essential"
}

need_rust() {
    local wanted=1.95 have
    command -v cargo > /dev/null 2>&1 ||
        die 69 "Rust $wanted or newer is needed, and no cargo is here; see https://rustup.rs"
    # In this directory, so that rustup may fetch what rust-toolchain.toml asks for.
    have=$(rustc --version | cut -d ' ' -f 2) || die 69 "rustc does not run; see the message above"
    at_least "$wanted" "${have%%-*}" ||
        die 69 "Rust $wanted or newer is needed, this is $have; run: rustup update"
}

# need_go WHY
need_go() {
    local wanted=1.25 have
    command -v go > /dev/null 2>&1 ||
        die 69 "Go $wanted or newer is needed $1, and no go is here; see https://go.dev/dl/"
    have=$(go env GOVERSION) || die 69 "go does not run; see the message above"
    have=${have#go}
    at_least "$wanted" "${have%%[- ]*}" ||
        die 69 "Go $wanted or newer is needed $1, this is $have; see https://go.dev/dl/"
}

# with_ticks TEXT COMMAND...: says every $TICK seconds (10) that a silent command is still at work, on the standard
# error that this shell began with, wherever the command's own goes
exec {terminal}>&2
with_ticks() {
    local text=$1 start=$SECONDS ticker status=0
    shift
    (
        while sleep "${TICK:-10}"; do printf '  %s, %d s\n' "$text" $((SECONDS - start)) >&"$terminal"; done
    ) > /dev/null 2>&1 9>&- &
    ticker=$!
    "$@" || status=$?
    kill "$ticker" 2> /dev/null || true
    wait "$ticker" 2> /dev/null || true
    return "$status"
}
