//! `/metrics` of a real server: what a strict reader of the format takes, and figures that move with what happens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tests::{diagrams, serve::Serve, sse::seqs, wait};

/// The samples of one scrape, by name and labels as they stand there.
struct Scrape {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(serve: &Serve) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("{}/metrics", serve.url)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
        Self::parse(&response.text().await.unwrap())
    }

    fn get(&self, name: &str) -> f64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.samples.keys()))
    }

    /// Takes what the text format of OpenMetrics 1.0 allows, as far as we use it, and nothing else.
    fn parse(text: &str) -> Self {
        let mut scrape = Self { types: BTreeMap::new(), samples: BTreeMap::new() };
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        let (mut family, mut kind, mut said): (String, String, BTreeSet<&str>) = Default::default();
        for line in body.lines() {
            if let Some(meta) = line.strip_prefix("# ") {
                let [what, name, rest]: [&str; 3] =
                    meta.splitn(3, ' ').collect::<Vec<_>>().try_into().expect(line);
                if name != family {
                    assert_eq!(what, "HELP", "a family begins with what it is: {line}");
                    assert!(!scrape.types.contains_key(name), "{name} comes twice");
                    (family, kind, said) = (name.to_owned(), String::new(), BTreeSet::new());
                }
                assert!(said.insert(what), "{line} comes twice");
                match what {
                    "HELP" => assert!(!rest.is_empty() && rest.ends_with('.'), "{line}"),
                    "TYPE" => {
                        assert!(["counter", "gauge", "histogram", "info"].contains(&rest), "{line}");
                        kind = rest.to_owned();
                        scrape.types.insert(family.clone(), kind.clone());
                    }
                    "UNIT" => assert!(family.ends_with(&format!("_{rest}")), "{line}"),
                    _ => unreachable!("{line}"),
                }
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').expect(line);
            let (name, labels) =
                sample.split_once('{').map_or((sample, None), |(name, labels)| (name, Some(labels)));
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{line}"
            );
            assert!(name.starts_with("dipeo_"), "{line}");
            let suffix = name.strip_prefix(&*family).expect(line);
            let suffixes: &[&str] = match &*kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_sum", "_count", "_bucket"],
                "info" => &["_info"],
                _ => &[],
            };
            assert!(suffixes.contains(&suffix), "{line} in a {kind}");
            if let Some(labels) = labels {
                let labels = labels.strip_suffix('}').expect(line);
                let (label, value) = labels.split_once('=').expect(line);
                assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).expect(line);
                assert!(!value.contains(['"', '\\', '\n']), "{line}");
            }
            let value: f64 = value.parse().expect(line);
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(scrape.samples.insert(sample.to_owned(), value).is_none(), "{line} comes twice");
            scrape.check_bucket(&family, suffix, value);
        }
        for (family, kind) in &scrape.types {
            if kind == "histogram" {
                assert_eq!(
                    scrape.get(&format!("{family}_bucket{{le=\"+Inf\"}}")),
                    scrape.get(&format!("{family}_count"))
                );
            }
        }
        scrape
    }

    /// Buckets count what is below them, too.
    fn check_bucket(&self, family: &str, suffix: &str, value: f64) {
        if suffix == "_bucket" {
            let mut buckets =
                self.samples.iter().filter(|(name, _)| name.starts_with(&format!("{family}_bucket")));
            assert!(
                buckets.all(|(_, before)| *before <= value),
                "a bucket of {family} is smaller than one before"
            );
        }
    }

    fn counters(&self) -> impl Iterator<Item = (&String, &f64)> {
        self.samples
            .iter()
            .filter(|(name, _)| name.split('{').next().is_some_and(|name| name.ends_with("_total")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_move_with_what_happens() {
    let serve = Serve::start();
    let before = Scrape::of(&serve).await;
    assert_eq!(before.get("dipeo_log_appended_events_total"), 0.0);
    assert_eq!(before.get("dipeo_readers"), 0.0);
    assert!(before.get("dipeo_connections{protocol=\"http\"}") >= 1.0, "its own");

    let code = "import os, time
for n in range(50): print(n)
while not os.path.exists('go'): time.sleep(0.01)
result = 1";
    let id = serve.run(&diagrams::python(code)).await;
    let mut stream = serve.stream(&id, "", None).await;
    stream.next().await.unwrap();
    let during = Scrape::of(&serve).await;
    assert_eq!(during.get("dipeo_readers"), 1.0);
    assert_eq!(during.get("dipeo_watched_executions"), 1.0);
    assert_eq!(during.get("dipeo_runs{status=\"RUNNING\"}"), 1.0);
    assert!(during.get("dipeo_connections{protocol=\"http\"}") >= 2.0);

    serve.put("go", "");
    let frames = stream.rest().await;
    let events = seqs(&frames).len() as f64;
    let last = seqs(&frames).into_iter().next_back().unwrap() as f64;
    drop(stream);
    let after = wait::until("the reader to leave", async || {
        let scrape = Scrape::of(&serve).await;
        let readers = scrape.get("dipeo_readers");
        if readers == 0.0 { Ok(scrape) } else { Err(readers) }
    })
    .await;
    assert_eq!(after.get("dipeo_log_appended_events_total"), last);
    assert_eq!(after.get("dipeo_log_events"), last);
    assert!(after.get("dipeo_deliveries_total") >= events, "{events} events came");
    assert!(after.get("dipeo_delivered_bytes_total") > 100.0 * events);
    assert_eq!(after.get("dipeo_reader_lag{of=\"max\"}"), 0.0);
    assert_eq!(after.get("dipeo_runs{status=\"COMPLETED\"}"), 1.0);
    assert_eq!(after.get("dipeo_runs{status=\"RUNNING\"}"), 0.0);
    assert_eq!(after.get("dipeo_publish_errors_total"), 0.0);
    let commits = after.get("dipeo_log_commit_duration_seconds_count");
    assert!((1.0..=last).contains(&commits), "{commits} commits of {last} events");
    assert!(after.get("dipeo_log_commit_duration_seconds_sum") > 0.0);
    let files = after.get("dipeo_store_main_file_bytes") + after.get("dipeo_store_wal_file_bytes");
    assert!(files > after.get("dipeo_log_events_bytes"), "{files} bytes of files");
    for (scrape, next) in [(&before, &during), (&during, &after)] {
        for (name, count) in scrape.counters() {
            assert!(next.get(name) >= *count, "{name} went back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outside_engines_send_is_counted_by_what_became_of_it() {
    let serve = Serve::start();
    let run = json!({"execution_id": "theirs", "diagram_name": "theirs"});
    assert_eq!(serve.post("/api/v1/executions", &run).await.0, 201);
    let event = json!({"type": "STEP", "execution_id": "theirs", "data": {"n": 1}});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |seq: u64, body: serde_json::Value| {
        let request = client.post(format!("{}/api/v1/executions/theirs/events", serve.url)).json(&body);
        let request = request.header("Producer-Id", "p").header("Producer-Epoch", "0");
        request.header("Producer-Seq", seq).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(0, json!([event, event, event])).await, 200);
    assert_eq!(post(0, json!([event, event, event])).await, 204);
    assert_eq!(post(2, json!([event])).await, 409);
    assert_eq!(post(1, json!([event])).await, 200);
    let scrape = Scrape::of(&serve).await;
    for (outcome, count) in [("accepted", 2.0), ("repeated", 1.0), ("refused", 1.0), ("unavailable", 0.0)] {
        assert_eq!(scrape.get(&format!("dipeo_ingest_batches_total{{outcome=\"{outcome}\"}}")), count);
    }
    assert_eq!(scrape.get("dipeo_ingest_events_total"), 4.0);
    assert_eq!(scrape.get("dipeo_log_events"), 5.0, "with the one that opened it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_cursor_is_a_gap_and_refused_requests_count_no_run() {
    let serve = Serve::start();
    let (status, _) = serve.post("/api/v1/executions", &json!({"diagram": "version: none"})).await;
    assert_eq!(status, 422);
    let id = serve.run(&diagrams::bash("echo one")).await;
    serve.ended(&id).await;
    let gone = serve.stream(&id, "", Some("0123456789abcdef-7")).await.rest().await;
    assert!(gone.iter().any(|frame| frame.kind() == "STREAM_GAP"), "{gone:?}");
    let scrape = Scrape::of(&serve).await;
    let runs: f64 =
        scrape.samples.iter().filter(|(name, _)| name.starts_with("dipeo_runs{")).map(|(_, n)| n).sum();
    assert_eq!(runs, 1.0);
    for (reason, count) in [("foreign_epoch", 1.0), ("future_cursor", 0.0), ("evicted", 0.0)] {
        assert_eq!(scrape.get(&format!("dipeo_gaps_total{{reason=\"{reason}\"}}")), count, "{reason}");
    }
}
