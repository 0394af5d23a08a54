//! What a newer or older peer may send, and what is never sent to one.

use opamp::wire::{
    AgentCaps, InstanceUid, ServerCaps,
    body::{self, BodyError},
    frame::{self, FrameError},
    proto::{AgentDescription, AgentToServer, ComponentHealth, ServerToAgent},
};
use prost::Message;

use crate::compiled;

/// Fields that no message has: a number, some bytes, four bytes and eight.
fn unknown_fields() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (wire_type, value) in
        [(0, &[0x96, 0x01][..]), (2, &[3, 1, 2, 3][..]), (5, &[1, 2, 3, 4][..]), (1, &[0; 8][..])]
    {
        prost::encoding::encode_varint((1000 << 3) | wire_type, &mut bytes);
        bytes.extend(value);
    }
    bytes
}

#[test]
fn b_io_02_unknown_fields_are_passed_over_and_the_rest_is_read() {
    let known = AgentToServer {
        instance_uid: vec![1; 16],
        sequence_num: 7,
        health: Some(ComponentHealth { healthy: true, ..Default::default() }),
        agent_description: Some(AgentDescription::default()),
        ..Default::default()
    };
    let encoded = known.encode_to_vec();
    let around = [unknown_fields(), encoded.clone(), unknown_fields()].concat();
    assert_eq!(AgentToServer::decode(&*around).unwrap(), known);
    // Within a part, too: the field and the length of `health`, then what it holds.
    let health = [known.health.as_ref().unwrap().encode_to_vec(), unknown_fields()].concat();
    let mut within = AgentToServer { health: None, ..known.clone() }.encode_to_vec();
    prost::encoding::encode_key(5, prost::encoding::WireType::LengthDelimited, &mut within);
    prost::encoding::encode_varint(health.len() as u64, &mut within);
    within.extend(health);
    assert_eq!(AgentToServer::decode(&*within).unwrap(), known);
    let framed = [&[0][..], &around].concat();
    assert_eq!(frame::decode::<AgentToServer>(&framed, framed.len()).unwrap(), known);
    assert_eq!(body::decode::<AgentToServer>(&around, None, around.len()).unwrap(), known);
}

/// All values of an enum, as the compiled messages have them.
fn bits(name: &str) -> u64 {
    let set = compiled();
    let kind = set.file.iter().flat_map(|file| &file.enum_type).find(|kind| kind.name() == name).unwrap();
    kind.value.iter().fold(0, |bits, value| bits | u64::try_from(value.number()).unwrap())
}

#[test]
fn b_io_03_04_c_cp_03_s_cp_05_a_mask_has_the_bits_that_are_defined_and_no_others() {
    assert_eq!(AgentCaps::DEFINED, bits("AgentCapabilities"));
    assert_eq!(ServerCaps::DEFINED, bits("ServerCapabilities"));
    assert_eq!(AgentCaps::from_wire(u64::MAX).bits(), bits("AgentCapabilities"));
    assert_eq!(ServerCaps::from_wire(u64::MAX).bits(), bits("ServerCapabilities"));
    assert_eq!(AgentCaps::from_wire(!bits("AgentCapabilities")), AgentCaps::default());
    assert!(AgentCaps::from_wire(1 << 40).is_unspecified());
}

#[test]
fn b_tc_02_b_ws_01_02_b_lm_01_a_frame_is_one_zero_byte_and_the_message_and_both_count() {
    let message = AgentToServer { instance_uid: vec![1; 16], ..Default::default() };
    let encoded = message.encode_to_vec();
    let expected = [&[0][..], &encoded].concat();
    let size = encoded.len() + 1;
    assert_eq!(frame::encode(&message, size).unwrap(), expected);
    assert_eq!(frame::decode::<AgentToServer>(&expected, size).unwrap(), message);
    let Err(FrameError::TooLarge { size: said, limit }) = frame::encode(&message, size - 1) else {
        panic!("sent over the limit")
    };
    assert_eq!((said, limit), (size, size - 1));
    let refused = frame::decode::<AgentToServer>(&expected, size - 1);
    assert!(matches!(refused, Err(FrameError::TooLarge { .. })));
}

#[test]
fn b_lm_02_s_lm_07_09_c_lm_08_12_a_body_counts_without_its_compression() {
    let message = ServerToAgent { instance_uid: vec![1; 200], ..Default::default() };
    let plain = message.encode_to_vec();
    let size = plain.len();
    assert_eq!(body::encode(&message, size).unwrap(), plain);
    assert!(
        matches!(body::encode(&message, size - 1), Err(BodyError::TooLarge { limit }) if limit == size - 1)
    );
    let packed = body::gzip(&plain);
    assert!(packed.len() < size);
    for encoding in [None, Some(""), Some("identity"), Some(" identity ")] {
        assert_eq!(body::decode::<ServerToAgent>(&plain, encoding, size).unwrap(), message, "{encoding:?}");
    }
    for encoding in ["gzip", "GZip", " gzip "] {
        assert_eq!(body::decode::<ServerToAgent>(&packed, Some(encoding), size).unwrap(), message);
    }
    for (bytes, encoding) in [(&plain, None), (&packed, Some("gzip"))] {
        let refused = body::decode::<ServerToAgent>(bytes, encoding, size - 1);
        assert!(matches!(refused, Err(BodyError::TooLarge { .. })), "{encoding:?}");
    }
    let refused = body::decode::<ServerToAgent>(&packed, Some("gzip"), packed.len() - 1);
    assert!(matches!(refused, Err(BodyError::TooLarge { .. })), "packed it is too large already");
}

#[test]
fn b_ws_02_03_04_a_header_has_ten_bytes_at_most() {
    let long = |last: u8| [&[0x80; 9][..], &[last, 0x10, 5]].concat();
    let decoded = frame::decode::<AgentToServer>(&long(0), 100).unwrap();
    assert_eq!(decoded.sequence_num, 5, "ten bytes that say zero");
    let highest = frame::decode::<AgentToServer>(&long(1), 100);
    assert!(matches!(highest, Err(FrameError::Reserved(value)) if value == 1 << 63), "{highest:?}");
    assert!(matches!(frame::decode::<AgentToServer>(&long(2), 100), Err(FrameError::Header)), "over 64 bits");
    assert!(matches!(frame::decode::<AgentToServer>(&[0x80; 9], 100), Err(FrameError::Header)), "cut short");
    let spread = frame::decode::<AgentToServer>(&[0x81, 0x02, 0x10, 5], 100);
    assert!(matches!(spread, Err(FrameError::Reserved(257))), "{spread:?}");
    let large = frame::decode::<AgentToServer>(&[[0xff; 9].as_slice(), &[1]].concat(), 100);
    assert!(matches!(large, Err(FrameError::Reserved(u64::MAX))));
}

#[test]
fn b_ws_05_b_io_02_what_is_no_message_is_an_error_and_nothing_at_all_is_one() {
    assert_eq!(frame::decode::<ServerToAgent>(&[0], 1).unwrap(), ServerToAgent::default());
    assert_eq!(body::decode::<ServerToAgent>(&[], None, 0).unwrap(), ServerToAgent::default());
    assert!(matches!(frame::decode::<ServerToAgent>(&[0, 0xff], 10), Err(FrameError::Message(_))));
    assert!(matches!(body::decode::<ServerToAgent>(&[0xff], None, 10), Err(BodyError::Message(_))));
}

#[test]
fn c_id_01_02_03_c_ht_09_a_uid_has_sixteen_bytes_and_one_text() {
    let uid = InstanceUid::v7(0x0123_4567_89ab, [0xff; 10]);
    let text = "01234567-89ab-7fff-bfff-ffffffffffff";
    assert_eq!((uid.to_string(), format!("{uid:?}")), (text.to_owned(), text.to_owned()));
    assert_eq!(text.parse::<InstanceUid>().unwrap(), uid);
    assert_eq!(format!(" {} ", text.to_uppercase()).parse::<InstanceUid>().unwrap(), uid);
    assert_eq!(serde_json::to_string(&uid).unwrap(), format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<InstanceUid>(&format!("\"{text}\"")).unwrap(), uid);
    assert!(serde_json::from_str::<InstanceUid>("\"x\"").unwrap_err().to_string().contains("is not a UUID"));
    assert_eq!(InstanceUid::try_from(&uid.to_vec()[..]).unwrap(), uid);
    assert_eq!(InstanceUid::from_bytes(*uid.as_bytes()), uid);
    for length in [0, 15, 17] {
        let refused = InstanceUid::try_from(&vec![0; length][..]).unwrap_err();
        assert!(refused.to_string().contains(&format!("has {length} bytes")), "{refused}");
    }
    assert!(uid < InstanceUid::v7(0x0123_4567_89ac, [0; 10]), "later is larger");
}
