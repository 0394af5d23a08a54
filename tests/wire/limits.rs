//! Numbers that the protocol or its advice fixes.

use opamp::wire::DEFAULT_MESSAGE_LIMIT;

/// B-LM-01, B-LM-02: 64 MiB unless configured.
#[test]
fn the_default_limit_is_64_mib() {
    assert_eq!(DEFAULT_MESSAGE_LIMIT, 67_108_864);
}
