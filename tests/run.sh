#!/usr/bin/env bash
# Runs every test of the project, after installing what they need.
#
#   tests/run.sh            everything; under 40 minutes on 2 cores from a clean clone
#   tests/run.sh --full     and builds the supervisor as it ships (profile small), to check its size, to break it at
#                           every step (the N-loop), and to leave it ten thousand orphans
#
# Wants Rust and Go; Debian packages (Chromium, haproxy, proxies, strace, systemd) are installed with root or sudo, or named. Each section has its
# time and its log in target/test-logs; the last line is `N passed, N failed`, and one failure makes the exit code 1.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/scripts/common.sh

full=no
for argument in "$@"; do
    case $argument in
        --full) full=yes ;;
        *) die 64 "unknown argument $argument; it takes --full" ;;
    esac
done

target=${CARGO_TARGET_DIR:-$PWD/target}
logs=$target/test-logs
# The tick of with_ticks, which says that a section is still at work.
export TICK=30
passed=0
failed=0
summary=()
broken=()

# Counts the tests that a log tells of: cargo's, Go's and node's own words.
count() {
    awk -v want="$2" '
        /^test result:/ { for (i = 2; i <= NF; i++) if ($i ~ "^" want) n += $(i - 1) }
        want == "passed" && /^ *--- PASS/ { n++ }
        want == "failed" && /^ *--- FAIL/ { n++ }
        want == "passed" && /^(ℹ|#) pass [0-9]/ { n += $3 }
        want == "failed" && /^(ℹ|#) fail [0-9]/ { n += $3 }
        END { print n + 0 }' "$1"
}

# section NAME COMMAND...: what it ran counts by test when the log tells of tests, else as one
section() {
    local name=$1 log status=0 start=$SECONDS good bad took
    shift
    log=$logs/${name//[^a-zA-Z0-9]/-}.log
    printf '== %s\n' "$name"
    (with_ticks "$name" "$@") > "$log" 2>&1 || status=$?
    good=$(count "$log" passed)
    bad=$(count "$log" failed)
    took=$((SECONDS - start))
    if [ $status = 0 ] && [ "$bad" = 0 ]; then
        [ "$good" -gt 0 ] || good=1
        summary+=("$(printf 'ok    %5d s  %-44s %4d passed' "$took" "$name" "$good")")
    else
        [ "$bad" -gt 0 ] || bad=1
        broken+=("$log")
        summary+=("$(printf 'FAIL  %5d s  %-44s %4d passed, %d failed; see %s' "$took" "$name" "$good" "$bad" "$log")")
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    printf '%s\n' "${summary[-1]}"
}

# words LOG: the names of the tests that failed and what each said, or the end of a log that tells of no test
words() {
    grep -E "^test .* FAILED$|^ *--- FAIL|^error: [0-9]+ target" "$1" || true
    awk '/^---- .* stdout ----$/ { shown = 1; n = 0 } /^failures:$/ { shown = 0 } shown && n++ < 60' "$1"
    grep -qE "^---- .* stdout ----$" "$1" || tail -n 80 "$1"
}

# sabotaged HOW: the tour must notice it, say so and fail
sabotaged() {
    local status=0 said
    said=$(QUICKSTART_SABOTAGE=$1 examples/quickstart.sh --once 2>&1) || status=$?
    printf '%s\nexit code %s\n' "$said" "$status"
    [ "$status" = 1 ] && grep -q "^MISSED after [3-9] good rows" <<< "$said"
}

install_tools() {
    local wanted=()
    command -v strace || wanted+=(strace)
    command -v haproxy || wanted+=(haproxy)
    command -v tinyproxy || wanted+=(tinyproxy)
    command -v microsocks || wanted+=(microsocks)
    command -v minisign || wanted+=(minisign)
    command -v systemd-analyze || wanted+=(systemd)
    if [ -e tests/browser/package.json ]; then
        command -v chromium || wanted+=(chromium)
        command -v node || wanted+=(nodejs)
        command -v npm || wanted+=(npm)
    fi
    [ ${#wanted[@]} = 0 ] || want_packages "${wanted[@]}"
}

# The Collector project's supervisor, at the version that tests/interop/established pins; built anew when that changes.
established() {
    local hash
    hash=$(cat tests/interop/established/go.* | sha256sum)
    mkdir -p "$target/established"
    [ "$(cat "$established.sums" 2> /dev/null)" != "$hash" ] || return 0
    (
        cd tests/interop/established &&
            CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off go build -o "$established" \
                github.com/open-telemetry/opentelemetry-collector-contrib/cmd/opampsupervisor
    ) || return
    echo "$hash" > "$established.sums"
}

interop() {
    local bin=$target/debug
    cd tests/interop &&
        OPAMP_SUPERVISOR=$bin/opamp-supervisor OPAMP_SERVER=$bin/opamp-server OTELCOL=$otelcol \
            ESTABLISHED_SUPERVISOR=$established \
            GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off go test -count=1 -v ./...
}

browser() {
    cd tests/browser && npm ci --no-audit --no-fund &&
        OPAMP_SUPERVISOR=$target/debug/opamp-supervisor OPAMP_SERVER=$target/debug/opamp-server \
            OPAMPCTL=$target/debug/opampctl OTELCOL=$otelcol npm test
}

# The supervisor as it ships: at most 8 MB on disk.
small() {
    local bytes
    cargo build --profile small --bin opamp-supervisor --no-default-features --features supervisor || return
    bytes=$(stat -c %s "$target/small/opamp-supervisor")
    echo "target/small/opamp-supervisor has $bytes bytes"
    [ "$bytes" -le 8000000 ]
}

# The N-loop at every N, of which `cargo test` takes a sample.
nloop() {
    SUPERVISOR_BIN=$target/small/opamp-supervisor NLOOP=full cargo test --test nloop -- --nocapture
}

orphans() {
    SUPERVISOR_BIN=$target/small/opamp-supervisor ORPHANS=10000 cargo test --test supervisor -- f_86
}

# All connect, the server is restarted, then killed: the table says what that costs.
storm() {
    cargo build --release --bin opamp-server --example storm || return
    "$target/release/examples/storm" --agents 5000
}

feature() {
    cargo check --no-default-features --features "$1" --lib --bins
}

# Each requirement of OpAMP is proven by a test that ran and passed, or has its reason. It reads the logs of the sections
# before it.
conformance() {
    cargo run -q --example conformance -- --check
}

# What people read of the rooms, and what those who work on them do: no link leads nowhere.
docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps && RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
}

need_cc
need_rust
need_go "for the Collector and the interop tests"
# What an earlier run proved is not proven by this one.
rm -rf "$logs"
mkdir -p "$logs"
section "tools" install_tools
section "Collector" packaging/collector/build.sh --own
section "Collector without the opamp extension" packaging/collector/build.sh --own --no-extension
section "Collector to upgrade to" packaging/collector/build.sh --own --next
otelcol=$target/collector/otelcol-example
noext=$target/collector/otelcol-noext
established=$target/established/opampsupervisor
export OTELCOL=$otelcol OTELCOL_NOEXT=$noext OTELCOL_NEXT=$target/collector/otelcol-next

section "cargo fmt" cargo fmt --check
section "cargo clippy" cargo clippy --all-targets -- -D warnings
section "cargo doc" docs
section "cargo build" cargo build --bins --examples
section "cargo test" cargo test --no-fail-fast
for feature in supervisor server cli; do
    section "only feature $feature" feature "$feature"
done
section "supervisor of the Collector project" established
section "interop with opamp-go, that supervisor and the extension" interop
[ ! -e tests/browser/package.json ] || section "browser" browser
section "quickstart" examples/quickstart.sh --once
section "quickstart without the opamp extension" examples/quickstart.sh --once --no-extension
section "quickstart notices a wrong config let through" sabotaged wrong-component-accepted
section "quickstart notices a Collector that stays dead" sabotaged dead-collector
if [ $full = yes ]; then
    section "supervisor as it ships" small
    section "N-loop on it, every N" nloop
    section "ten thousand orphans" orphans
    section "five thousand agents in a storm" storm
fi

section "conformance" conformance

printf '\n== summary, %d s\n' "$SECONDS"
printf '%s\n' "${summary[@]}"
# What failed is said last, where a log that is cut somewhere still has it.
for log in ${broken[@]+"${broken[@]}"}; do
    printf '\n== failed: %s\n' "$log"
    words "$log"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
