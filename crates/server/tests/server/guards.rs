use std::time::Duration;

use server::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::support::{HELLO, config, get, raw, send, start};

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn only_our_own_names_are_served() {
    let server = start(Config { allowed_hosts: vec!["monitor.example.org".to_owned()], ..config() }).await;
    let address = server.local_addr();
    let port = address.port();
    let paths = ["/", "/page.js", "/health/live", "/api/v1/executions", "/sse/executions", "/nowhere"];
    for path in paths {
        for (host, status) in [
            ("Host: evil.example.org\r\n".to_owned(), 421),
            (format!("Host: evil.example.org:{port}\r\n"), 421),
            (format!("Host: localhost.evil.example.org:{port}\r\n"), 421),
            (format!("Host: 192.0.2.1:{port}\r\n"), 421),
            ("Host: localhost:1\r\n".to_owned(), 421),
            (String::new(), 400),
            ("Host:\r\n".to_owned(), 400),
            (format!("Host: localhost:{port}\r\nHost: evil.example.org\r\n"), 400),
        ] {
            let response =
                raw(address, &format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
            assert_eq!(response.status, status, "{path} {host:?}");
        }
    }
    // A target may name a host besides the header.
    let foreign = format!(
        "GET http://evil.example.org/ HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(raw(address, &foreign).await.status, 421);
    for host in [
        format!("localhost:{port}"),
        "localhost".to_owned(),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        "monitor.example.org".to_owned(),
    ] {
        let request = format!("GET /health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(raw(address, &request).await.status, 200, "{host}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let server = start(config()).await;
    let address = server.local_addr();
    let own = format!("Origin: http://localhost:{}", address.port());
    let body = serde_json::json!({ "diagram": HELLO }).to_string();
    let path = "/api/v1/executions";
    for (headers, body, status) in [
        (vec![JSON, "Origin: https://evil.example.org"], &*body, 403),
        (vec![JSON, "Origin: http://localhost:3000"], &body, 403),
        (vec![JSON, "Origin: null"], &body, 403),
        (vec![JSON, "Sec-Fetch-Site: cross-site"], &body, 403),
        (vec![JSON, "Sec-Fetch-Site: same-site"], &body, 403),
        (vec!["Content-Type: text/plain"], &body, 415),
        (vec!["Content-Type: application/x-www-form-urlencoded"], "diagram=x", 415),
        (vec![], &body, 415),
        (vec!["Content-Type: text/plain"], "", 415),
        (vec![JSON, &own, "Sec-Fetch-Site: same-origin"], &body, 201),
        (vec![JSON], &body, 201),
    ] {
        let response = send(address, "POST", path, &headers, body).await;
        assert_eq!(response.status, status, "{headers:?} {}", response.body);
        assert!(!response.head.to_lowercase().contains("access-control"), "{}", response.head);
    }
    let list = get(address, path).await.json();
    assert_eq!(list["executions"].as_array().unwrap().len(), 2);
    // A browser that asks first is told nothing that would let it go on.
    let preflight = ["Origin: https://evil.example.org", "Access-Control-Request-Method: POST"];
    let response = send(address, "OPTIONS", path, &preflight, "").await;
    assert_eq!(response.status, 405);
    assert!(!response.head.to_lowercase().contains("access-control"), "{}", response.head);
    // Reading is what the missing CORS headers prevent.
    let response = send(address, "GET", path, &["Origin: https://evil.example.org"], "").await;
    assert!(!response.head.to_lowercase().contains("access-control"));
    assert_eq!(response.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    server.stop().await;
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let server =
        start(Config { max_body_bytes: 2048, max_header_bytes: 8192, max_headers: 20, ..config() }).await;
    let address = server.local_addr();
    let path = "/api/v1/executions";
    let large = format!("\"{}\"", "x".repeat(4096));
    assert_eq!(send(address, "POST", path, &[JSON], &large).await.status, 413);
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n\
         1002\r\n{large}\r\n0\r\n\r\n"
    );
    assert_eq!(raw(address, &chunked).await.status, 413);
    let header = format!("X-Large: {}", "x".repeat(20_000));
    assert_eq!(send(address, "GET", "/", &[&header], "").await.status, 431);
    assert_eq!(send(address, "GET", "/", &["X-Many: 1"; 30], "").await.status, 431);
    let long = format!("/{}", "x".repeat(20_000));
    let status = send(address, "GET", &long, &[], "").await.status;
    assert!(matches!(status, 414 | 431), "{status}");
    assert_eq!(get(address, "/health/live").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_cut_off() {
    let server = start(Config { header_timeout: Duration::from_millis(300), ..config() }).await;
    for beginning in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let begin = Instant::now();
        let mut connection = TcpStream::connect(server.local_addr()).await.unwrap();
        connection.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        timeout(Duration::from_secs(10), connection.read_to_end(&mut rest))
            .await
            .expect("the server closes")
            .unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(290), "{beginning:?} after {:?}", begin.elapsed());
        assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    }
    server.stop().await;
}
