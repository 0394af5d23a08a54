//! Attributes as text.

use opamp::wire::{
    attrs,
    proto::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value},
};

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

#[test]
fn each_kind_of_value_is_written_as_a_person_would() {
    let list = Value::ArrayValue(ArrayValue {
        values: vec![value(Value::IntValue(-1)), value(Value::StringValue("x".into()))],
    });
    let map = Value::KvlistValue(KeyValueList {
        values: vec![attrs::string("a", "b"), KeyValue { key: "none".into(), value: None }],
    });
    let cases = [
        (Value::StringValue("text".into()), "text"),
        (Value::BoolValue(true), "true"),
        (Value::IntValue(-5), "-5"),
        (Value::DoubleValue(1.5), "1.5"),
        (Value::BytesValue(vec![0, 0xab]), "00ab"),
        (list, "[-1, x]"),
        (map, "{a: b, none: }"),
    ];
    for (kind, text) in cases {
        assert_eq!(attrs::text(&value(kind)), text);
    }
    assert_eq!(attrs::text(&AnyValue { value: None }), "");
}

#[test]
fn setting_an_attribute_replaces_the_one_of_that_name() {
    let mut list = vec![attrs::string("a", "1"), attrs::string("b", "2")];
    attrs::set(&mut list, "a", "3");
    attrs::set(&mut list, "c", "4");
    assert_eq!(list, [attrs::string("a", "3"), attrs::string("b", "2"), attrs::string("c", "4")]);
    assert_eq!((attrs::get(&list, "b"), attrs::get(&list, "d")), (Some("2".into()), None));
    list.push(KeyValue { key: "empty".into(), value: None });
    assert_eq!(attrs::get(&list, "empty"), Some(String::new()));
    let map = attrs::to_map(&list);
    let pairs = [("a", "3"), ("b", "2"), ("c", "4"), ("empty", "")];
    assert!(map.iter().map(|(key, value)| (&**key, &**value)).eq(pairs));
}
