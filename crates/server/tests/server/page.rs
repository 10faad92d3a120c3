use crate::support::{config, get, start};

#[tokio::test]
async fn the_page_needs_nobody_else() {
    let server = start(config()).await;
    let address = server.local_addr();
    for path in ["/", "/executions/exec_1"] {
        let page = get(address, path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert!(
            !page.body.contains("style=") && !page.body.contains("onclick") && !page.body.contains("://")
        );
        for script in page.body.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/page.js\" defer></script>"), "{script}");
        }
    }
    let script = get(address, "/page.js").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    for word in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"]
    {
        assert!(!script.body.contains(word), "{word}");
    }
    assert!(script.body.contains("new EventSource(`/sse/unified/executions/${id}`)"));
    let style = get(address, "/page.css").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert!(!style.body.contains("url("));
    server.stop().await;
}
