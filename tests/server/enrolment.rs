//! Agents that must prove who they are: tokens, credentials of their own, and the end of them.

use opamp::wire::{
    InstanceUid,
    proto::{AgentToServer, ConnectionSettingsStatus, ConnectionSettingsStatuses},
};
use serde_json::json;

use crate::{
    agent::Identity,
    harness::{Bench, http},
    secure::{Closed, credential, hello},
};

#[tokio::test]
async fn s_tc_04_b_tc_03_without_a_proof_both_transports_are_answered_401_before_anything_else() {
    let server = Closed::new().await;
    let agents = server.agents();
    let mut agent = Identity::new(1);
    for given in [None, Some("Bearer guess"), Some("Basic Z3Vlc3M6"), Some("Bearer ")] {
        assert_eq!(agents.socket(given).await.err(), Some(401), "{given:?}");
        assert_eq!(server.post(&agents, given, &agent.full_report()).await, Err(401), "{given:?}");
    }
    let answer = agents.http("POST", "/v1/opamp", &[], b"").await;
    assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"opamp\"");
    assert_eq!(server.bench.get("/api/v1/namespaces/default/agents").await["items"], json!([]));
}

#[tokio::test]
async fn f_102_guessing_is_slowed_and_the_right_credential_still_works() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({})).await;
    let mut last = 401;
    for _ in 0..30 {
        last = agents.socket(Some("Bearer guess")).await.err().unwrap();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    assert!(agents.socket(Some(&token)).await.is_ok());
}

#[tokio::test]
async fn s_tf_02_s_cs_03_05_an_agent_enrols_and_lives_on_a_credential_of_its_own() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({"ttlSeconds": 600, "labels": {"room": "b1"}})).await;
    let mut agent = Identity::new(1);
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    let reply = socket.ask(&hello(&mut agent)).await;
    let own = credential(&reply);
    assert!(own.starts_with("Bearer oac_") && own != token);
    let offer = reply.connection_settings.clone().unwrap();
    let opamp = offer.opamp.unwrap();
    let port = server.bench.server.opamp.port();
    assert_eq!(opamp.destination_endpoint, format!("wss://localhost:{port}/v1/opamp"));
    let shown = server.identities().await;
    assert_eq!(shown[0]["status"]["enrolledWith"]["token"], "default/rack");
    assert_eq!(shown[0]["status"]["credentials"][0]["usedSince"], json!(null));
    assert_eq!(server.bench.get(&agent.path()).await["metadata"]["labels"]["room"], "b1");

    // It tries the new one, over the old connection nothing changes meanwhile.
    let mut next = agents.socket(Some(&own)).await.unwrap();
    let applied = ConnectionSettingsStatus {
        last_connection_settings_hash: offer.hash.clone(),
        status: ConnectionSettingsStatuses::Applied as i32,
        ..Default::default()
    };
    let first = AgentToServer { connection_settings_status: Some(applied), ..hello(&mut agent) };
    let reply = next.ask(&first).await;
    assert!(reply.connection_settings.is_none() && reply.error_response.is_none(), "{reply:?}");
    let shown = server.identities().await;
    assert_ne!(shown[0]["status"]["credentials"][0]["usedSince"], json!(null));
    // Now the token is used up, and speaks for this agent no more.
    assert_eq!(agents.socket(Some(&token)).await.err(), Some(401));

    // No secret is shown to operators, or lies in the store; and all of it outlives a restart, without a new offer.
    let listed = server.bench.api("GET", "/api/v1/identities", None).await.text()
        + &server.bench.api("GET", "/api/v1/namespaces/default/enrollmenttokens", None).await.text();
    let secrets = [token.clone(), own.clone()].map(|header| header.replace("Bearer ", ""));
    let server = server.restart().await;
    let database = std::fs::read(server.bench.dir.path().join("server.db")).unwrap();
    for secret in secrets {
        assert!(!listed.contains(&secret));
        assert!(!database.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
    let agents = server.agents();
    let mut socket = agents.socket(Some(&own)).await.unwrap();
    assert!(socket.ask(&agent.heartbeat()).await.error_response.is_none());
    assert_eq!(agents.socket(Some(&token)).await.err(), Some(401));
}

#[tokio::test]
async fn s_tf_02_s_cs_03_the_same_over_plain_http_and_a_lost_answer_brings_the_same_credential() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({})).await;
    let mut agent = Identity::new(1);
    let first = credential(&server.post(&agents, Some(&token), &hello(&mut agent)).await.unwrap());
    let again = credential(&server.post(&agents, Some(&token), &hello(&mut agent)).await.unwrap());
    assert_eq!(first, again);
    assert!(server.post(&agents, Some(&first), &agent.heartbeat()).await.is_ok());
    assert_eq!(server.post(&agents, Some(&token), &agent.heartbeat()).await, Err(401));
    assert_eq!(server.identities().await.len(), 1);
}

#[tokio::test]
async fn a_token_is_good_for_as_many_agents_as_it_says_and_for_those_that_have_nothing_else() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({"maxUses": 1})).await;
    // One that takes no settings keeps working on the token.
    let (mut old, mut late) = (Identity::new(1), Identity::new(2));
    for _ in 0..2 {
        let reply = server.post(&agents, Some(&token), &old.full_report()).await.unwrap();
        assert!(reply.connection_settings.is_none());
    }
    assert_eq!(server.post(&agents, Some(&token), &hello(&mut late)).await, Err(401));
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    socket.send(&hello(&mut late)).await;
    assert_eq!(u16::from(socket.closed().await.expect("a close frame").code), 1008);
    assert_eq!(server.identities().await.len(), 1);
    // A deleted token cuts off who has nothing else.
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    socket.ask(&old.full_report()).await;
    let path = "/api/v1/namespaces/default/enrollmenttokens/rack";
    assert_eq!(server.bench.api("DELETE", path, None).await.status, 204);
    assert_eq!(u16::from(socket.closed().await.expect("a close frame").code), 1008);
    assert_eq!(server.post(&agents, Some(&token), &old.heartbeat()).await, Err(401));
}

#[tokio::test]
async fn s_cs_08_a_revoked_identity_is_cut_off_at_once_on_both_transports() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({"maxUses": 5})).await;
    let (mut ws, mut polling) = (Identity::new(1), Identity::new(2));
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    let own = credential(&socket.ask(&hello(&mut ws)).await);
    let mut socket = agents.socket(Some(&own)).await.unwrap();
    socket.ask(&ws.heartbeat()).await;
    // A connection on which nothing was said yet is one, too.
    let mut silent = agents.socket(Some(&own)).await.unwrap();
    let mine = credential(&server.post(&agents, Some(&token), &hello(&mut polling)).await.unwrap());
    assert!(server.post(&agents, Some(&mine), &polling.heartbeat()).await.is_ok());

    // Nor has one that lives off the token proved who it is.
    let mut simple = agents.socket(Some(&token)).await.unwrap();
    simple.ask(&Identity::new(4).full_report()).await;

    for identity in server.identities().await {
        server.order("revoke", &identity).await;
    }
    for socket in [&mut socket, &mut silent, &mut simple] {
        assert_eq!(u16::from(socket.closed().await.expect("a closing handshake").code), 1008);
    }
    assert_eq!(agents.socket(Some(&own)).await.err(), Some(401));
    assert_eq!(server.post(&agents, Some(&mine), &polling.heartbeat()).await, Err(401));
    // Nor does the token bring them back; another agent may still come with it.
    assert_eq!(server.post(&agents, Some(&token), &polling.heartbeat()).await, Err(401));
    assert!(server.post(&agents, Some(&token), &hello(&mut Identity::new(3))).await.is_ok());
    server.bench.until(&ws.path(), |agent| agent["status"]["connected"] == false).await;
    assert_eq!(server.bench.get(&polling.path()).await["status"]["connected"], false);
    let revoked = server.identities().await;
    assert_eq!(revoked.iter().filter(|one| one["status"]["state"] == "Revoked").count(), 3, "{revoked:?}");
}

#[tokio::test]
async fn an_identity_that_speaks_for_anothers_uid_is_told_a_new_one_and_sees_nothing_of_it() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({"maxUses": 5})).await;
    let mut owner = Identity::new(1);
    let mine = credential(&server.post(&agents, Some(&token), &hello(&mut owner)).await.unwrap());
    assert!(server.post(&agents, Some(&mine), &owner.heartbeat()).await.is_ok());
    let path = format!("/api/v1/agents/{}/update-agent-config", owner.uid);
    let secret = json!({"value": "receivers: {}"});
    assert_eq!(server.bench.api("PUT", &path, Some(secret)).await.status, 200);

    let mut thief = Identity::new(2);
    let theirs = credential(&server.post(&agents, Some(&token), &hello(&mut thief)).await.unwrap());
    thief.uid = owner.uid;
    let mut socket = agents.socket(Some(&theirs)).await.unwrap();
    for reply in [
        server.post(&agents, Some(&theirs), &thief.full_report()).await.unwrap(),
        socket.ask(&thief.full_report()).await,
    ] {
        let new = reply.agent_identification.expect("another uid").new_instance_uid;
        assert!(InstanceUid::try_from(&*new).is_ok() && new != owner.uid.to_vec());
        assert!(reply.remote_config.is_none() && reply.connection_settings.is_none());
    }
    let config = server.post(&agents, Some(&mine), &owner.heartbeat()).await.unwrap().remote_config;
    assert!(config.is_some(), "it is for its owner alone");
    assert_eq!(server.bench.get(&owner.path()).await["status"]["sequenceNum"], 2);
}

#[tokio::test]
async fn s_tf_01_with_manual_approval_an_agent_is_heard_and_told_nothing_until_an_operator_lets_it_in() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({"approval": "manual"})).await;
    let mut agent = Identity::new(1);
    let group = json!({"metadata": {"name": "all"}, "spec": {"agentConfig": {"agentRemoteConfigs": [
        {"agentRemoteConfigName": "c", "agentRemoteConfigSpec": {"value": "receivers: {}"}}]}}});
    let groups = "/api/v1/namespaces/default/agentgroups";
    assert_eq!(server.bench.api("POST", groups, Some(group)).await.status, 201);
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    let reply = socket.ask(&hello(&mut agent)).await;
    assert!(reply.remote_config.is_none() && reply.connection_settings.is_none(), "{reply:?}");
    let waiting = server.identities().await;
    assert_eq!(waiting[0]["status"]["state"], "PendingApproval");
    assert_eq!(server.bench.get(&agent.path()).await["status"]["connected"], true);
    server.order("approve", &waiting[0]).await;
    let pushed = socket.recv().await;
    assert!(pushed.remote_config.is_some(), "{pushed:?}");
    let own = credential(&pushed);
    assert!(agents.socket(Some(&own)).await.is_ok());
}

#[tokio::test]
async fn s_cs_03_a_rotated_credential_is_offered_and_the_old_one_counts_until_it_was_used() {
    let server = Closed::new().await;
    let agents = server.agents();
    let token = server.token(json!({})).await;
    let mut agent = Identity::new(1);
    let old = credential(&server.post(&agents, Some(&token), &hello(&mut agent)).await.unwrap());
    let mut socket = agents.socket(Some(&old)).await.unwrap();
    socket.ask(&hello(&mut agent)).await;
    server.order("rotate", &server.identities().await[0]).await;
    let new = credential(&socket.recv().await);
    assert_ne!(new, old);
    assert!(agents.socket(Some(&old)).await.is_ok());
    let mut next = agents.socket(Some(&new)).await.unwrap();
    next.ask(&agent.heartbeat()).await;
    assert_eq!(agents.socket(Some(&old)).await.err(), Some(401));
}

#[tokio::test]
async fn wrong_tokens_are_refused_where_they_are_made() {
    let bench = Bench::new().await;
    let path = "/api/v1/namespaces/default/enrollmenttokens";
    for (spec, word) in [
        (json!({"maxUses": 0}), "spec.maxUses"),
        (json!({"expiresAt": "2020-01-01T00:00:00Z"}), "spec.expiresAt"),
        (json!({"expiresAt": "2120-01-01T00:00:00Z", "ttlSeconds": 1}), "spec.ttlSeconds"),
        (json!({"uses": 3}), "uses"),
    ] {
        let answer = bench.api("POST", path, Some(json!({"metadata": {"name": "t"}, "spec": spec}))).await;
        assert!(answer.status == 400 && answer.text().contains(word), "{}", answer.text());
    }
    assert_eq!(bench.api("POST", "/api/v1/identities/none/revoke", None).await.status, 404);
    // Where nobody has to prove anything, nobody does.
    assert_eq!(http(bench.server.opamp, "GET", "/v1/opamp", &[], b"").await.status, 426);
}
