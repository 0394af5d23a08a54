//! Whatever the text is, there is no panic.

use proptest::prelude::*;

use super::*;

fn yaml() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "receivers",
        "service",
        "pipelines",
        "traces",
        "extensions",
        "otlp",
        "otlp/2",
        "exporters",
        "debug",
        "&a",
        "*a",
        "<<",
        "${env:X}",
        "\"",
        "'",
        "::",
        "null",
        "!!map",
        "|",
        ">",
        "?",
        "-",
        ":",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ", ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "#",
        "%",
        "---",
        "...",
        "\t",
        "é",
        "\r",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// Trees of a config's shape, written in flow style.
fn tree() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "receivers",
        "exporters",
        "service",
        "pipelines",
        "extensions",
        "traces",
        "otlp",
        "a::b",
    ]);
    let leaf = prop::sample::select(vec!["", "otlp", "x/y", "1", "${env:X}", "\"\""]).prop_map(str::to_owned);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|map| {
                let entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics_on_random_trees(lower in tree(), upper in tree()) {
        let _ = lint_layers(&[&lower, &upper]);
    }

    #[test]
    fn never_panics_on_random_text(text in yaml()) {
        let _ = lint_one(&text);
    }

    #[test]
    fn never_panics_on_a_damaged_config(at in 0..GOOD.len(), with in "\\PC{0,3}") {
        let _ = lint_one(&format!("{}{with}{}", &GOOD[..at], &GOOD[at + 1..]));
    }
}
