use jiff::{SignedDuration, Timestamp};

use super::{
    rules::{Hello, Shown},
    *,
};
use crate::{
    server::fleet::resource::{Key, Metadata},
    wire::InstanceUid,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

fn uid(last: u8) -> InstanceUid {
    let mut bytes = [7; 16];
    bytes[15] = last;
    InstanceUid::from_bytes(bytes)
}

fn fresh(n: u8) -> Fresh {
    Fresh { name: [n; 8], credential: [n; 16] }
}

fn hello(last: u8) -> Hello {
    Hello { uid: uid(last), takes_settings: true }
}

fn secret() -> Secret {
    Secret::token([9; 32])
}

fn register(max_uses: u32, approval: Approval) -> Register {
    let mut register = Register::new(MasterKey::new([1; 32]), None);
    let metadata = Metadata {
        namespace: "prod".to_owned(),
        name: "rack".to_owned(),
        attributes: None,
        created_at: at(0),
        deleted_at: None,
    };
    let spec =
        TokenSpec { expires_at: at(100), max_uses, labels: [("room".into(), "b1".into())].into(), approval };
    register.put_token(EnrollmentToken { metadata, spec, digest: secret().digest(), uses: 0 });
    register
}

/// Does what a step asks for; the identity's name.
fn done(register: &mut Register, step: Step) -> String {
    let Step::Write { token, identity } = step else { panic!("{step:?}") };
    token.into_iter().for_each(|token| register.put_token(*token));
    let name = identity.name.clone();
    register.put_identity(*identity);
    name
}

fn by_token(register: &Register, now: i64) -> Result<Proof, Denied> {
    register.bearer(&secret().digest(), at(now))
}

/// An agent that enrolled, and the proof of its own credential.
fn enrolled(register: &mut Register, last: u8) -> (String, Proof) {
    let proof = by_token(register, 0).unwrap();
    let step = register.speak(&proof, &hello(last), at(0), fresh(last)).unwrap();
    let name = done(register, step);
    let issued = register.standing(uid(last)).issued.expect("a credential");
    let value = issued.headers[0].value.strip_prefix("Bearer ").unwrap();
    let own = register.bearer(&Digest::of(value.as_bytes()), at(1)).unwrap();
    (name, own)
}

#[test]
fn s_tf_02_a_token_becomes_an_identity_with_a_credential_of_its_own() {
    let mut register = register(1, Approval::Automatic);
    let (name, own) = enrolled(&mut register, 1);
    assert!(name.starts_with("rack-"));
    let standing = register.standing(uid(1));
    assert_eq!((standing.namespace.as_deref(), standing.held), (Some("prod"), false));
    assert_eq!(standing.labels["room"], "b1");
    assert_eq!(register.tokens()[&Key::new("prod", "rack")].uses, 1);
    // Until it used its credential, the token is good for it, though it is used up for others.
    let proof = by_token(&register, 2).unwrap();
    assert_eq!(register.speak(&proof, &hello(1), at(2), fresh(2)), Ok(Step::Known));
    assert_eq!(
        register.speak(&proof, &hello(2), at(2), fresh(2)),
        Err(Denied::TokenUsedUp("prod/rack".into()))
    );
    let step = register.speak(&own, &hello(1), at(3), fresh(3)).unwrap();
    done(&mut register, step);
    assert_eq!(register.speak(&own, &hello(1), at(4), fresh(4)), Ok(Step::Known));
    assert_eq!(by_token(&register, 4), Err(Denied::TokenUsedUp("prod/rack".into())));
}

#[test]
fn a_token_is_limited_in_time_and_a_stranger_is_unknown() {
    let register = register(5, Approval::Automatic);
    assert!(by_token(&register, 99).is_ok());
    assert_eq!(by_token(&register, 100), Err(Denied::TokenExpired("prod/rack".into())));
    assert_eq!(register.bearer(&Digest::of(b"guess"), at(0)), Err(Denied::Unknown));
    // A connection that was let in before meets the end of the token when somebody new speaks on it.
    let late = register.speak(&Proof::Token(secret().digest()), &hello(1), at(100), fresh(1));
    assert_eq!(late, Err(Denied::TokenExpired("prod/rack".into())));
}

#[test]
fn s_tf_01_manual_approval_holds_an_agent_and_gives_it_nothing() {
    let mut register = register(5, Approval::Manual);
    let proof = by_token(&register, 0).unwrap();
    let step = register.speak(&proof, &hello(1), at(0), fresh(1)).unwrap();
    let name = done(&mut register, step);
    let standing = register.standing(uid(1));
    assert!(standing.held && standing.issued.is_none());
    assert_eq!(register.speak(&proof, &hello(1), at(1), fresh(2)), Ok(Step::Known));
    let mut identity = register.identities()[&name].clone();
    identity.state = IdentityState::Active;
    register.put_identity(identity);
    // From now on it is as any other: its next message brings it a credential.
    let step = register.speak(&proof, &hello(1), at(2), fresh(3)).unwrap();
    done(&mut register, step);
    assert!(register.standing(uid(1)).issued.is_some());
}

#[test]
fn no_identity_speaks_for_anothers_uid() {
    let mut register = register(5, Approval::Automatic);
    let (_, one) = enrolled(&mut register, 1);
    let (_, two) = enrolled(&mut register, 2);
    let step = register.speak(&one, &hello(1), at(3), fresh(9)).unwrap();
    done(&mut register, step);
    assert_eq!(register.speak(&two, &hello(1), at(4), fresh(9)), Ok(Step::Elsewhere));
    // Nor does the holder of the token by which it enrolled, once it has its own credential.
    let token = by_token(&register, 4).unwrap();
    assert_eq!(register.speak(&token, &hello(1), at(4), fresh(9)), Ok(Step::Elsewhere));
    // A uid that is nobody's becomes its own, and stays so.
    let step = register.speak(&two, &hello(3), at(5), fresh(9)).unwrap();
    done(&mut register, step);
    assert_eq!(register.speak(&one, &hello(3), at(6), fresh(9)), Ok(Step::Elsewhere));
}

#[test]
fn s_cs_03_an_old_credential_is_deleted_only_after_the_new_one_connected() {
    let mut register = register(5, Approval::Automatic);
    let (name, old) = enrolled(&mut register, 1);
    let step = register.speak(&old, &hello(1), at(2), fresh(9)).unwrap();
    done(&mut register, step);
    let key = MasterKey::new([1; 32]);
    let mut identity = register.identities()[&name].clone();
    let never_used = identity.issue_bearer(&key, "n1".into(), at(3));
    let new = identity.issue_bearer(&key, "n2".into(), at(3));
    register.put_identity(identity);
    assert_eq!(register.bearer(&never_used.digest(), at(4)), Err(Denied::Unknown));
    assert_eq!(register.speak(&old, &hello(1), at(4), fresh(9)), Ok(Step::Known), "both count");
    let proof = register.bearer(&new.digest(), at(5)).unwrap();
    let step = register.speak(&proof, &hello(1), at(5), fresh(9)).unwrap();
    done(&mut register, step);
    assert_eq!(register.identities()[&name].credentials.len(), 1);
    let Proof::Credential { id, .. } = &old else { panic!("{old:?}") };
    let gone = key.credential(&name, id).digest();
    assert_eq!(register.bearer(&gone, at(6)), Err(Denied::Unknown));
    // The connection that the agent is about to leave goes on meanwhile.
    assert_eq!(register.stands(&old), Ok(()));
}

#[test]
fn s_cs_08_what_is_revoked_stands_no_longer_by_any_proof() {
    let mut register = register(5, Approval::Automatic);
    let (name, own) = enrolled(&mut register, 1);
    let token = by_token(&register, 1).unwrap();
    let secret = register.key().unwrap().credential(
        &name,
        match &own {
            Proof::Credential { id, .. } => id,
            other => panic!("{other:?}"),
        },
    );
    let mut identity = register.identities()[&name].clone();
    identity.state = IdentityState::Revoked(at(2));
    register.put_identity(identity);
    let revoked = || Denied::Revoked(name.clone());
    assert_eq!(register.stands(&own), Err(revoked()));
    assert_eq!(register.bearer(&secret.digest(), at(3)), Err(revoked()));
    assert_eq!(register.speak(&own, &hello(1), at(3), fresh(2)), Err(revoked()));
    assert_eq!(register.speak(&token, &hello(1), at(3), fresh(2)), Err(revoked()));
    assert!(register.standing(uid(1)).issued.is_none());
    register.remove_token(&Key::new("prod", "rack"));
    assert_eq!(register.stands(&token), Err(Denied::Unknown));
}

#[test]
fn b_tc_03_a_certificate_of_an_operators_ca_is_an_identity_that_outlives_renewal() {
    let mut register = register(5, Approval::Automatic);
    let shown = |n: u8, own| Shown {
        fingerprint: Digest::of(&[n]),
        subject: "CN=Edge 1, O=Example".to_owned(),
        key: Digest::of(b"edge"),
        own,
    };
    let first = register.certificate(&shown(1, false), at(0)).unwrap();
    let step = register.speak(&first, &hello(1), at(0), fresh(1)).unwrap();
    let name = done(&mut register, step);
    assert!(name.starts_with("edge-1-"), "{name}");
    let renewed = register.certificate(&shown(2, false), at(1)).unwrap();
    assert_eq!(register.speak(&renewed, &hello(1), at(1), fresh(2)), Ok(Step::Known));
    // Our own authority's certificates are known one by one.
    assert_eq!(register.certificate(&shown(3, true), at(1)), Err(Denied::Unknown));
    let mut identity = register.identities()[&name].clone();
    identity.state = IdentityState::Revoked(at(2));
    register.put_identity(identity);
    assert_eq!(register.certificate(&shown(4, false), at(3)), Err(Denied::Revoked(name)));
}

#[test]
fn s_tc_04_a_pass_is_for_one_agent_and_one_file_and_some_time() {
    let mut register = register(2, Approval::Automatic);
    let (name, _) = enrolled(&mut register, 1);
    let (file, other) = ([3; 32], [4; 32]);
    let pass = register.pass(uid(1), &file, at(0)).unwrap();
    let shows = |register: &Register, text: &str, file, now| register.passes(text, file, at(now));
    assert_eq!(shows(&register, pass.reveal(), &file, 24 * 3600 - 1), Some(Ok(())));
    let expired = Some(Err(Denied::PassExpired(uid(1))));
    assert_eq!(shows(&register, pass.reveal(), &file, 24 * 3600), expired);
    let unknown = Some(Err(Denied::Unknown));
    assert_eq!(shows(&register, pass.reveal(), &other, 1), unknown);
    for at in [4, 40, 55, pass.reveal().len() - 1] {
        let mut forged = pass.reveal().to_owned().into_bytes();
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(shows(&register, &String::from_utf8(forged).unwrap(), &file, 1), unknown, "{at}");
    }
    for cut in ["odp_", "odp_00", "odp_zz"] {
        assert_eq!(shows(&register, cut, &file, 1), unknown);
    }
    assert_eq!(shows(&register, secret().reveal(), &file, 1), None, "that is something else");
    let stranger = register.pass(uid(2), &file, at(0)).unwrap();
    assert_eq!(shows(&register, stranger.reveal(), &file, 1), unknown, "nobody speaks for it");
    let mut holder = register.identities()[&name].clone();
    holder.state = IdentityState::Held;
    register.put_identity(holder.clone());
    assert_eq!(shows(&register, pass.reveal(), &file, 1), Some(Err(Denied::Waits(name.clone()))));
    holder.state = IdentityState::Revoked(at(1));
    register.put_identity(holder);
    assert_eq!(shows(&register, pass.reveal(), &file, 1), Some(Err(Denied::Revoked(name))));
    assert!(Register::open(None).pass(uid(1), &file, at(0)).is_none(), "where nobody is asked for a proof");
    assert!(!format!("{pass:?}").contains("odp_"));
}
