//! Who may use the operator plane.

use serde_json::json;

use crate::harness::{Answer, Bench, http};

async fn with(bench: &Bench, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    http(bench.server.api, method, path, headers, b"").await
}

#[tokio::test]
async fn only_health_and_the_login_are_open() {
    let bench = Bench::new().await;
    for path in ["/healthz", "/readyz", "/login", "/assets/style.css", "/assets/app.js"] {
        assert_eq!(with(&bench, "GET", path, &[]).await.status, 200, "{path}");
    }
    for path in
        ["/api/v1/ping", "/api/v1/watch", "/metrics", "/api/v1/nope", "/api/v1/namespaces/default/agents"]
    {
        let answer = with(&bench, "GET", path, &[]).await;
        assert_eq!((answer.status, answer.json()), (401, json!({"error": "unauthorized"})), "{path}");
        let wrong = with(&bench, "GET", path, &[("authorization", "Bearer wrong")]).await;
        assert_eq!(wrong.status, 401, "{path}");
    }
    let page = with(&bench, "GET", "/", &[]).await;
    assert_eq!((page.status, page.headers["location"].as_str()), (303, "/login"));
    assert!(
        page.headers["content-security-policy"].starts_with("default-src 'self'; frame-ancestors 'none'")
    );
    let metrics = bench.api("GET", "/metrics", None).await;
    assert!(metrics.text().contains("opamp_server_agents{connected=\"true\"} 0\n"), "{}", metrics.text());
}

async fn log_in(bench: &Bench, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend_from_slice(more);
    http(bench.server.api, "POST", "/login", &headers, format!("token={token}").as_bytes()).await
}

#[tokio::test]
async fn the_login_trades_the_token_for_a_session() {
    let bench = Bench::new().await;
    let refused = log_in(&bench, "wrong", &[]).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("not the admin token") && !refused.headers.contains_key("set-cookie"));

    let answer = log_in(&bench, &bench.token, &[]).await;
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/"));
    let cookie = &answer.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&bench.token));
    let session = cookie.split(';').next().unwrap().to_owned();
    let cookie = [("cookie", session.as_str())];
    assert_eq!(with(&bench, "GET", "/", &cookie).await.status, 200);
    assert_eq!(with(&bench, "GET", "/api/v1/auth/info", &cookie).await.status, 200);

    let own = format!("http://{}", bench.server.api);
    let out = [("cookie", session.as_str()), ("origin", own.as_str())];
    assert_eq!(with(&bench, "POST", "/logout", &out).await.status, 303);
    assert_eq!(with(&bench, "GET", "/api/v1/auth/info", &cookie).await.status, 401);
}

#[tokio::test]
async fn f_104_another_sites_page_can_do_nothing_with_the_session() {
    let bench = Bench::new().await;
    let evil = ("origin", "http://evil.test");
    assert_eq!(log_in(&bench, &bench.token, &[evil]).await.status, 403);
    let answer = log_in(&bench, &bench.token, &[]).await;
    let session = answer.headers["set-cookie"].split(';').next().unwrap().to_owned();
    let own = format!("http://{}", bench.server.api);
    let path = "/api/v1/namespaces/default/agentgroups/none";
    let status = |more: Vec<(&'static str, String)>| {
        let (session, bench) = (session.clone(), &bench);
        async move {
            let mut headers = vec![("cookie", session.as_str())];
            headers.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
            with(bench, "DELETE", path, &headers).await.status
        }
    };
    assert_eq!(status(vec![("origin", "http://evil.test".to_owned())]).await, 403);
    assert_eq!(status(vec![]).await, 403);
    // Past the guard: there is no such group.
    assert_eq!(status(vec![("origin", own)]).await, 404);
    assert_eq!(status(vec![("x-requested-with", "page".to_owned())]).await, 404);

    let agent_plane = http(bench.server.opamp, "GET", "/v1/opamp", &[evil], b"").await;
    assert_eq!(agent_plane.status, 403);
}

#[tokio::test]
async fn f_102_guessing_is_slowed_and_the_right_token_still_works() {
    let bench = Bench::new().await;
    let mut last = 401;
    for _ in 0..30 {
        let answer = with(&bench, "GET", "/api/v1/ping", &[("authorization", "Bearer guess")]).await;
        last = answer.status;
        if last == 429 {
            assert!(answer.headers["retry-after"].parse::<u64>().unwrap() >= 1);
            break;
        }
    }
    assert_eq!(last, 429);
    assert_eq!(bench.api("GET", "/api/v1/ping", None).await.status, 200);
}
