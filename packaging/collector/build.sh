#!/usr/bin/env bash
# Finds a Collector for the quickstart, the tests and the benches, or builds one from our manifest.
#
#   packaging/collector/build.sh                 $OTELCOL, else otelcol or otelcol-contrib on PATH, else builder.yaml
#   packaging/collector/build.sh --no-extension  one without the opamp extension: $OTELCOL_NOEXT, else builder-noext.yaml
#   packaging/collector/build.sh --next          another version of the first one: $OTELCOL_NEXT, else builder-next.yaml
#   packaging/collector/build.sh --own ...       looks at neither variable nor PATH: always the one from the manifest
#
# Prints its path on standard output and progress on standard error. What was built stays in target/collector/ until
# the manifest changes; the first build takes about two minutes and 1.3 GB of Go's cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/scripts/common.sh

builder=go.opentelemetry.io/collector/cmd/builder@v0.149.0
store=${CARGO_TARGET_DIR:-$PWD/target}/collector
which=example
own=no
for argument in "$@"; do
    case $argument in
        --no-extension) which=noext ;;
        --next) which=next ;;
        --own) own=yes ;;
        *) die 64 "unknown argument $argument; it takes --no-extension, --next and --own" ;;
    esac
done

# given NAME PATH: a Collector that a person named
given() {
    [ -f "$2" ] && [ -x "$2" ] || die 78 "$1=$2 is not an executable file"
    realpath "$2"
}

build() {
    local manifest=packaging/collector/$1 name=$2 hash work
    local made=$store/$name
    hash=$({ cat "$manifest"; echo "$builder"; } | sha256sum | cut -d ' ' -f 1)
    if [ -x "$made" ] && [ "$(cat "$made.manifest" 2> /dev/null)" = "$hash" ]; then
        echo "$made"
        return
    fi
    need_go "to build a Collector (or name one with OTELCOL=/path/to/otelcol)"
    work=$store/build-$name
    rm -rf "$work"
    mkdir -p "$work"
    cp "$manifest" "$work/manifest.yaml"
    say "building $name from $manifest; the first time takes about two minutes"
    (
        cd "$work"
        export GOWORK=off CGO_ENABLED=0 GOFLAGS="-buildvcs=false -modcacherw"
        with_ticks "still building $name" nice go run "$builder" --config manifest.yaml >&2
    ) || die 1 "the Collector could not be built; see above"
    mv "$work/$name/$name" "$made"
    echo "$hash" > "$made.manifest"
    rm -rf "$work"
    echo "$made"
}

mkdir -p "$store"
if command -v flock > /dev/null 2>&1; then
    exec 9> "$store/.lock"
    flock -n 9 || { say "waiting for another build of the Collector"; flock 9; }
fi

# found_or_built VARIABLE NAME MANIFEST
found_or_built() {
    if [ $own = no ] && [ -n "${!1:-}" ]; then
        given "$1" "${!1}"
    else
        build "$3" "$2"
    fi
}

case $which in
    noext) found_or_built OTELCOL_NOEXT otelcol-noext builder-noext.yaml ;;
    next) found_or_built OTELCOL_NEXT otelcol-next builder-next.yaml ;;
    example)
        if [ $own = no ] && [ -z "${OTELCOL:-}" ] && found=$(command -v otelcol || command -v otelcol-contrib); then
            realpath "$found"
        else
            found_or_built OTELCOL otelcol-example builder.yaml
        fi
        ;;
esac
