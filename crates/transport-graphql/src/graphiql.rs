//! The page: GraphiQL, with everything that it needs. Nothing is asked of anybody else, so that it works offline.

use ::http::{HeaderName, HeaderValue, header};
use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};

const HTML: &str = include_str!("graphiql/index.html");

/// Path, media type, text. `LICENSES.md` beside them says whose they are.
const FILES: [(&str, &str, &str); 6] = [
    ("/graphql/page.js", SCRIPT, include_str!("graphiql/page.js")),
    ("/graphql/react.js", SCRIPT, include_str!("graphiql/react.production.min.js")),
    ("/graphql/react-dom.js", SCRIPT, include_str!("graphiql/react-dom.production.min.js")),
    ("/graphql/graphql-ws.js", SCRIPT, include_str!("graphiql/graphql-ws.min.js")),
    ("/graphql/graphiql.js", SCRIPT, include_str!("graphiql/graphiql.min.js")),
    ("/graphql/graphiql.css", STYLE, include_str!("graphiql/graphiql.min.css")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Our own scripts and connections only, in nobody's frame. GraphiQL sets styles on its elements and has its fonts inside
/// its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of the page.
pub(crate) fn routes() -> Router {
    FILES.into_iter().fold(Router::new(), |routes, (path, media_type, text)| {
        routes.route(path, get(async move || file(media_type, text)))
    })
}

/// The page itself.
pub(crate) fn page() -> Response {
    file("text/html; charset=utf-8", HTML)
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        // The same place answers queries.
        (header::VARY, HeaderValue::from_static("accept")),
        // A new version of the program brings a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
