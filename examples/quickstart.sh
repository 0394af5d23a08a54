#!/usr/bin/env bash
# A server, a supervisor and a real Collector, in a private directory and on free ports.
#
#   examples/quickstart.sh                  stays: the page's address is on screen, Ctrl-C stops it all
#   examples/quickstart.sh --once           takes the tour by itself, prints what it saw with times, exits 0
#   examples/quickstart.sh --no-extension   with a Collector that has no opamp extension (works with --once too)
#
# The Collector is $OTELCOL, else otelcol or otelcol-contrib on PATH, else built from packaging/collector/builder.yaml.
# QUICKSTART_PROFILE is the Cargo profile to build with (default dev).
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/scripts/common.sh

once=()
extension=()
for argument in "$@"; do
    case $argument in
        --once) once=(--once) ;;
        --no-extension) extension=(--no-extension) ;;
        -h | --help)
            sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        *) die 64 "unknown argument $argument; it takes --once and --no-extension" ;;
    esac
done

need_cc
need_rust
collector=$(packaging/collector/build.sh "${extension[@]}")
say "Collector: $collector"

profile=${QUICKSTART_PROFILE:-dev}
say "building the three programs (profile $profile)"
cargo build --profile "$profile" --bins --example tour
target=${CARGO_TARGET_DIR:-target}
case $profile in
    dev | test) programs=$target/debug ;;
    bench) programs=$target/release ;;
    *) programs=$target/$profile ;;
esac
exec "$programs/examples/tour" --programs "$programs" --collector "$collector" "${once[@]}"
