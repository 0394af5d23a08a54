#!/usr/bin/env bash
# Runs cargo-mutants on `src/protocol` and `src/wire`, against their own tests, tests/protocol and tests/wire.
#
#   tests/mutants.sh [ARGUMENTS OF cargo mutants...]
#
# Both rooms are pure and need few crates, so they are put into a package of their own, with the generated messages in
# another one that is compiled once and not once for each of the mutants. Wants `cargo install cargo-mutants`. Results
# are in target/mutants/mutants.out.
set -euo pipefail
cd "$(dirname "$0")/.."
to=${CARGO_TARGET_DIR:-$PWD/target}/mutants

rm -rf "$to/opamp" "$to/messages"
mkdir -p "$to/opamp/src" "$to/opamp/tests" "$to/messages/src"
cp -r src/protocol src/wire "$to/opamp/src/"
cp -r tests/protocol tests/wire "$to/opamp/tests/"
cp -r proto rustfmt.toml "$to/opamp/"
cp -r proto build.rs "$to/messages/"
printf 'pub mod protocol;\npub mod wire;\n' > "$to/opamp/src/lib.rs"
printf 'pub mod proto {\n    include!(concat!(env!("OUT_DIR"), "/opamp.proto.v1.rs"));\n}\n' > "$to/messages/src/lib.rs"
printf 'pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/opamp.bin"));\n' >> "$to/messages/src/lib.rs"
# The generated code is taken from the other package.
python3 - "$to/opamp/src/wire/mod.rs" << 'END'
import re, sys
path = sys.argv[1]
text = open(path).read()
text = re.sub(r'pub mod proto \{.*?\n\}', 'pub use messages::proto;', text, flags=re.S)
text = re.sub(r'(#\[cfg[^\n]*\n)*(#\[allow[^\n]*\n)?pub mod otlp \{.*?\n\}', '', text, flags=re.S)
text = re.sub(r'#\[allow[^\n]*\n(pub use messages)', r'\1', text)
text = re.sub(r'pub const DESCRIPTORS[^;]*;', 'pub use messages::DESCRIPTORS;', text)
open(path, 'w').write(text)
END
dependency() { grep -E "^$1 = " Cargo.toml | head -n 1 | sed 's/, optional = true//'; }
{
    printf '[package]\nname = "opamp"\nversion = "0.0.0"\nedition = "2024"\n\n[features]\ndefault = ["supervisor"]\nsupervisor = []\nserver = []\n\n'
    printf '[dependencies]\nmessages = { path = "../messages" }\n'
    for crate in prost sha2 thiserror uuid serde flate2; do dependency $crate; done
    printf '\n[dev-dependencies]\n'
    for crate in prost-types proptest serde_json; do dependency $crate; done
    printf '\n[profile.dev]\ndebug = false\n\n[workspace]\n'
} > "$to/opamp/Cargo.toml"
{
    printf '[package]\nname = "messages"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n'
    dependency prost
    printf '\n[build-dependencies]\n'
    for crate in prost-build protox; do dependency $crate; done
    printf '\n[workspace]\n'
} > "$to/messages/Cargo.toml"
cp Cargo.lock "$to/opamp/"

cd "$to/opamp"
# A part of the simulation's runs finds what the whole of it finds, in a part of the time. Examples in comments prove
# nothing that the tests do not.
OPAMP_SIM_SEEDS=${OPAMP_SIM_SEEDS:-80} cargo mutants --in-place --output "$to" --timeout 25 "$@" -- --lib --tests
