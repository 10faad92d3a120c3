//! GraphQL over HTTP: what is taken, and with which status.

use ::http::Request;
use axum::body::Body;
use serde_json::json;
use transport_graphql::GraphqlOptions;

use crate::fake::World;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";
const HEALTH: &str = r#"{"query":"{ healthCheck }"}"#;

fn post(headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let request = headers
        .iter()
        .fold(Request::post("/graphql"), |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body.to_owned())).unwrap()
}

fn get(accept: &str, query: &str) -> Request<Body> {
    Request::get(format!("/graphql{query}")).header("accept", accept).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_status_says_what_was_wrong_with_a_request() {
    let world = World::new(Vec::new());
    let mutation =
        r#"{"query":"mutation { unregisterCliSession(input: {execution_id: \"e\"}) { success } }"}"#;
    for (accept, content_type, body, status, answer_type) in [
        (JSON, JSON, HEALTH, 200, JSON),
        (GRAPHQL, JSON, HEALTH, 200, GRAPHQL),
        (GRAPHQL, "application/json; charset=utf-8", HEALTH, 200, GRAPHQL),
        (GRAPHQL, "application/json; charset=\"UTF-8\"", HEALTH, 200, GRAPHQL),
        ("*/*", JSON, HEALTH, 200, JSON),
        (GRAPHQL, JSON, mutation, 200, GRAPHQL),
        // Nothing that there is.
        ("text/html", JSON, HEALTH, 406, JSON),
        ("image/png", JSON, HEALTH, 406, JSON),
        // Not JSON, or said not to be.
        (JSON, "text/plain", HEALTH, 415, JSON),
        (JSON, "application/x-www-form-urlencoded", "query={healthCheck}", 415, JSON),
        (JSON, "application/json; charset=latin1", HEALTH, 415, JSON),
        (GRAPHQL, "", HEALTH, 415, GRAPHQL),
        // No request.
        (JSON, JSON, "", 400, JSON),
        (GRAPHQL, JSON, "{", 400, GRAPHQL),
        (JSON, JSON, "[]", 400, JSON),
        (JSON, JSON, "{}", 400, JSON),
        (JSON, JSON, r#"{"query":7}"#, 400, JSON),
        (JSON, JSON, r#"{"query":"{ healthCheck }","operationName":7}"#, 400, JSON),
        (JSON, JSON, r#"{"query":"{ healthCheck }","variables":[]}"#, 400, JSON),
        (JSON, JSON, r#"{"query":"{ healthCheck }","extensions":""}"#, 400, JSON),
        (
            JSON,
            JSON,
            r#"{"query":"{ healthCheck }","operationName":null,"variables":null,"extensions":null}"#,
            200,
            JSON,
        ),
        // Not executed: the status says so only to those who know what it means.
        (JSON, JSON, r#"{"query":"{"}"#, 200, JSON),
        (GRAPHQL, JSON, r#"{"query":"{"}"#, 400, GRAPHQL),
        (JSON, JSON, r#"{"query":"{ nothing }"}"#, 200, JSON),
        (GRAPHQL, JSON, r#"{"query":"{ nothing }"}"#, 400, GRAPHQL),
        (GRAPHQL, JSON, r#"{"query":"query A { healthCheck } query B { healthCheck }"}"#, 400, GRAPHQL),
        (GRAPHQL, JSON, r#"{"query":"query A { healthCheck }","operationName":"B"}"#, 400, GRAPHQL),
        (
            GRAPHQL,
            JSON,
            r#"{"query":"query A { healthCheck } query B { x: healthCheck }","operationName":"B"}"#,
            200,
            GRAPHQL,
        ),
        (
            GRAPHQL,
            JSON,
            r#"{"query":"query($id: String!) { getExecution(execution_id: $id) { id } }"}"#,
            400,
            GRAPHQL,
        ),
        // Executed, with a fault.
        (GRAPHQL, JSON, r#"{"query":"{ getDiagram(diagram_id: \"none\") }"}"#, 200, GRAPHQL),
        // For WebSockets only.
        (
            JSON,
            JSON,
            r#"{"query":"subscription { executionUpdates(execution_id: \"exec_1\") { seq } }"}"#,
            400,
            JSON,
        ),
    ] {
        let mut headers = vec![("accept", accept)];
        if !content_type.is_empty() {
            headers.push(("content-type", content_type));
        }
        let answer = world.send(post(&headers, body)).await;
        assert_eq!(answer.status, status, "{accept} {content_type} {body} {answer:?}");
        assert_eq!(answer.header("content-type"), format!("{answer_type}; charset=utf-8"), "{body}");
        let json = answer.json();
        assert!(json.get("data").is_some() || json["errors"][0]["message"].is_string(), "{json}");
        if status >= 400 {
            assert!(json.get("data").is_none(), "nothing was executed: {json}");
        }
    }
    let answer = world.send(post(&[("content-type", JSON)], HEALTH)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json; charset=utf-8"));
}

#[tokio::test]
async fn get_runs_queries_and_nothing_else() {
    let world = World::new(Vec::new());
    let mutation = "?query=mutation%7BunregisterCliSession(input:%7Bexecution_id:%22e%22%7D)%7Bsuccess%7D%7D";
    let named = "?query=query%20A%7BhealthCheck%7Dmutation%20B%7BunregisterCliSession(input:%7Bexecution_id:%22e%22%7D)%7Bsuccess%7D%7D";
    let variables = "?query=query($id:String!)%7BgetExecution(execution_id:$id)%7Bid%7D%7D&variables=%7B%22id%22:%22exec_1%22%7D";
    for (query, status, allow) in [
        ("?query=%7BhealthCheck%7D".to_owned(), 200, ""),
        (variables.to_owned(), 200, ""),
        (format!("{named}&operationName=A"), 200, ""),
        (mutation.to_owned(), 405, "POST"),
        (format!("{named}&operationName=B"), 405, "POST"),
        (String::new(), 400, ""),
        ("?query=%7BhealthCheck%7D&variables=7".to_owned(), 400, ""),
        ("?query=%7BhealthCheck%7D&variables=%7B".to_owned(), 400, ""),
        ("?query=%7B".to_owned(), 400, ""),
        ("?query=subscription%7BexecutionUpdates(execution_id:%22exec_1%22)%7Bseq%7D%7D".to_owned(), 400, ""),
    ] {
        let answer = world.send(get(GRAPHQL, &query)).await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{query} {answer:?}");
    }
    assert_eq!(world.send(get("text/plain", "?query=%7BhealthCheck%7D")).await.status, 406);
    let answer = world.send(get(JSON, variables)).await;
    assert_eq!(answer.json(), json!({"data": {"getExecution": {"id": "exec_1"}}}));
}

#[tokio::test]
async fn other_methods_are_refused() {
    let world = World::new(Vec::new());
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri("/graphql").body(Body::empty()).unwrap();
        let answer = world.send(request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, POST"), "{method}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let options = GraphqlOptions { max_body_bytes: 1024, ..GraphqlOptions::default() };
    let world = World::with(Vec::new(), options);
    let body = format!("{HEALTH}{}", " ".repeat(2000));
    let answer = world.send(post(&[("content-type", JSON)], &body)).await;
    assert_eq!(answer.status, 413);
    assert!(answer.json()["errors"][0]["message"].is_string());
}

#[tokio::test]
async fn depth_and_complexity_are_bounded() {
    let deep = |levels: usize| {
        format!("{{ __schema {{ types {{ {} name {} }} }} }}", "ofType {".repeat(levels), "}".repeat(levels))
    };
    let wide = |fields: usize| {
        let fields: String = (0..fields).map(|n| format!(" h{n}: healthCheck")).collect();
        format!("{{{fields} }}")
    };
    let world = World::new(Vec::new());
    assert!(world.answer(&deep(17), json!({})).await.get("errors").is_none());
    assert_eq!(world.answer(&deep(18), json!({})).await["errors"][0]["message"], "Query is nested too deep.");
    assert!(world.answer(&wide(1000), json!({})).await.get("errors").is_none());
    assert_eq!(world.answer(&wide(1001), json!({})).await["errors"][0]["message"], "Query is too complex.");
    let list = |limit: usize, runs: usize| {
        let fields: String = (0..runs).map(|n| format!(" f{n}: node_states")).collect();
        format!("{{ listExecutions(limit: {limit}) {{{fields} }} }}")
    };
    assert!(world.answer(&list(1000, 9), json!({})).await.get("errors").is_none());
    assert_eq!(
        world.answer(&list(1000, 11), json!({})).await["errors"][0]["message"],
        "Query is too complex."
    );
    assert!(world.answer(&list(100, 14), json!({})).await.get("errors").is_none());
    let options = GraphqlOptions { max_depth: 2, max_complexity: 3, ..GraphqlOptions::default() };
    let world = World::with(Vec::new(), options);
    assert!(world.answer(&wide(4), json!({})).await.get("errors").is_some());
    assert!(world.answer("{ __schema { types { name } } }", json!({})).await.get("errors").is_some());
}

/// What GraphiQL and code generators ask first; no bound may be in its way.
#[tokio::test]
async fn tools_can_read_the_schema() {
    const INTROSPECTION: &str = "
        query IntrospectionQuery { __schema {
            queryType { name } mutationType { name } subscriptionType { name }
            types { ...FullType }
            directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
        } }
        fragment FullType on __Type {
            kind name description specifiedByURL
            fields(includeDeprecated: true) {
                name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
            }
            inputFields(includeDeprecated: true) { ...InputValue }
            interfaces { ...TypeRef }
            enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
            possibleTypes { ...TypeRef }
        }
        fragment InputValue on __InputValue {
            name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
        }
        fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
            kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }";
    let data = World::new(Vec::new()).execute(INTROSPECTION, json!({})).await;
    assert_eq!(data["__schema"]["subscriptionType"]["name"], "Subscription");
}

/// Whatever the page loads is here, and it names no other place.
#[tokio::test]
async fn a_browser_gets_a_page_that_needs_nobody_else() {
    let world = World::new(Vec::new());
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    let answer = world.send(get(browser, "?query=%7BhealthCheck%7D")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"));
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!page.contains("//"), "{page}");
    let linked = page.split(['"', '\'']).filter_map(|text| text.strip_prefix("/graphql")).collect::<Vec<_>>();
    assert_eq!(linked.len(), 6);
    for path in linked {
        let answer = world.send(get("*/*", path)).await;
        let expected = if path.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, &*format!("{expected}; charset=utf-8"))
        );
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'; script-src 'self';")
        );
    }
}
