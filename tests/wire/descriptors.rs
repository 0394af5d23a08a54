//! The same facts from compiled descriptors.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::Facts;

const PACKAGE: &str = "opamp.proto.v1";

pub(crate) fn facts(set: &FileDescriptorSet) -> Facts {
    let mut facts = Facts::new();
    for (position, file) in set.file.iter().enumerate() {
        if file.package() != PACKAGE || position > 0 {
            facts.insert(format!("file {position} {}", file.name()), file.package().into());
        }
        for message in &file.message_type {
            add_message(&mut facts, message);
        }
        for kind in &file.enum_type {
            add_enum(&mut facts, "", kind);
        }
        for service in &file.service {
            facts.insert(format!("service {}", service.name()), "service".into());
        }
    }
    facts
}

fn add_message(facts: &mut Facts, message: &DescriptorProto) {
    facts.insert(format!("message {}", message.name()), "message".into());
    for field in &message.field {
        let fact = format!("{} {}", field.number(), type_of(message, field));
        facts.insert(format!("message {}.{}", message.name(), field.name()), fact);
    }
    for nested in message.nested_type.iter().filter(|nested| !is_map_entry(nested)) {
        facts.insert(format!("message {}.{}", message.name(), nested.name()), "nested".into());
    }
    for kind in &message.enum_type {
        add_enum(facts, message.name(), kind);
    }
}

fn add_enum(facts: &mut Facts, scope: &str, kind: &EnumDescriptorProto) {
    let name = if scope.is_empty() { kind.name().to_owned() } else { format!("{scope}.{}", kind.name()) };
    facts.insert(format!("enum {name}"), "enum".into());
    for value in &kind.value {
        facts.insert(format!("enum {name}.{}", value.name()), format!("{} enum value", value.number()));
    }
}

/// In the table's words: `oneof value: string`, `repeated KeyValue`, `map<string, X>`, `bytes`.
fn type_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let plain = plain_type(field);
    let entry = message.nested_type.iter().find(|nested| is_map_entry(nested) && plain == nested.name());
    if let Some(entry) = entry {
        return format!("map<{}, {}>", plain_type(&entry.field[0]), plain_type(&entry.field[1]));
    }
    if field.label() == Label::Repeated {
        return format!("repeated {plain}");
    }
    match field.oneof_index {
        Some(index) if !field.proto3_optional() => {
            let index = usize::try_from(index).unwrap();
            format!("oneof {}: {plain}", message.oneof_decl[index].name())
        }
        Some(_) => format!("optional {plain}"),
        None => plain,
    }
}

fn plain_type(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        // Fully qualified; of a map's entry, which is nested, only the last part.
        Type::Message | Type::Enum => field.type_name().rsplit('.').next().unwrap().to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
}
