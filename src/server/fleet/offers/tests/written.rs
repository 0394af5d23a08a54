//! What is written of an offer, and what follows from the numbers in it.

use serde_json::{Value, json};

use super::*;

#[test]
fn shares_are_numbers_or_percentages_and_limits_follow_from_them() {
    let spec =
        |value: Value| serde_json::from_value::<PackageOfferSpec>(value).map_err(|error| error.to_string());
    let most = |value: Value, targets| spec(json!({"maxInFlight": value})).unwrap().most_in_flight(targets);
    assert_eq!(
        (most(json!("10%"), 5), most(json!("25%"), 40), most(json!("100%"), 7)),
        (Some(1), Some(10), Some(7))
    );
    assert_eq!((most(json!(0), 5), most(json!(3), 5), most(json!("3"), 5)), (None, Some(3), Some(3)));
    assert_eq!(
        (most(json!(null), 5), most(json!(null), 400), most(json!(null), 5000)),
        (Some(1), Some(40), Some(50))
    );
    for wrong in [json!("101%"), json!("-1"), json!("x"), json!(-1), json!(1.5), json!("%")] {
        assert!(spec(json!({"maxInFlight": wrong})).is_err(), "{wrong}");
    }
    let shown = serde_json::to_value(spec(json!({"maxInFlight": "10%", "maxFailed": 3})).unwrap()).unwrap();
    assert_eq!((&shown["maxInFlight"], &shown["maxFailed"]), (&json!("10%"), &json!(3)));
    let stops = |max: Value, failed, done, targets| {
        spec(json!({"maxFailed": max})).unwrap().too_many_failed(failed, done, targets)
    };
    assert!(stops(json!(null), 1, 1, 9), "in a small fleet the first failure");
    assert!(!stops(json!(null), 1, 1, 10) && stops(json!(null), 2, 2, 10) && stops(json!(null), 2, 19, 500));
    assert!(!stops(json!(null), 2, 20, 500) && !stops(json!(null), 0, 0, 0));
    assert!(stops(json!(0), 1, 100, 100) && !stops(json!(3), 3, 3, 3) && stops(json!(3), 4, 100, 1000));
    assert!(stops(json!("0%"), 1, 100, 100) && !stops(json!("100%"), 9, 9, 9));
}

#[test]
fn what_could_only_fail_later_is_refused_when_it_is_written() {
    let check = |packages: Value| {
        let spec: PackageOfferSpec = serde_json::from_value(json!({"packages": packages})).unwrap();
        let known = |name: &str| match name {
            "old" | "new" => Some("otelcol"),
            "geo" => Some("geo"),
            _ => None,
        };
        spec.check(known).map_err(|error| error.to_string())
    };
    assert_eq!(check(json!(["old", "geo"])), Ok(()));
    for (packages, says) in [
        (json!([]), "spec.packages: has 0 names"),
        (json!(["gone"]), "spec.packages[0]: is \"gone\", and there is no such"),
        (json!(["old", "new"]), "spec.packages[1]: is a second one of package otelcol"),
        (json!(["../x"]), "spec.packages[0]"),
    ] {
        let error = check(packages).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
    let typo = serde_json::from_value::<PackageOfferSpec>(json!({"packages": ["a"], "selektor": {}}));
    assert!(typo.is_err(), "a selector that is lost selects everything");
}
