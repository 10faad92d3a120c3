use std::{net::Ipv4Addr, time::Duration};

use serde_json::{Value, json};

use super::{super::RetentionConfig, *};

fn sources(toml: &str) -> (tempfile::TempDir, ConfigSources) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dipeo.toml"), toml).unwrap();
    let sources = ConfigSources {
        dir: dir.path().to_owned(),
        data_home: Some("/home/me/.local/share".into()),
        ..ConfigSources::default()
    };
    (dir, sources)
}

fn env(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn without_anything_it_is_the_default() {
    let (dir, mut sources) = sources("");
    let data_dir = Some("/home/me/.local/share/dipeo".into());
    assert_eq!(Config::load(&sources), Ok(Config { data_dir, ..Config::default() }));

    // Without a home there is no place for a log, but none is needed for one in memory.
    sources.data_home = None;
    assert_eq!(Config::load(&sources).unwrap_err().faults, [ConfigFault::NoDataDir]);
    assert_eq!(Config::load(&sources.clone().flag("log.store", Some("memory"))).unwrap().data_dir, None);
    let config = Config::load(&sources.flag("data_dir", Some("here"))).unwrap();
    assert_eq!(config.data_dir, Some(dir.path().join("here")));
}

#[test]
fn each_layer_goes_before_the_one_below() {
    let (dir, mut sources) = sources(
        "port = 1\nuse_unified_monitoring = false\nmax_runs = 1\nmax_streams = 1\nbase_dir = \"here\"\ndrain_timeout = 2.5\n\
         allowed_hosts = [\"A.example.org\", \"b:80\"]\n[log]\nmax_events = 10\nmax_events_per_run = 5\n",
    );
    sources.env = vec![env("DIPEO_PORT", "2"), env("DIPEO_MAX_RUNS", "2"), env("DIPEO_LOG_MAX_EVENTS", "20")];
    sources.env.push(env("DIPEO_ALLOWED_ORIGINS", "https://a.example.org, http://b:1"));
    sources.env.push(env("DIPEO_CI_JOB", "somebody else's"));
    let sources = sources.flag("port", Some(3)).flag("host", None::<String>);
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.port, config.max_runs, config.max_streams), (3, 2, 1));
    assert_eq!((config.log.max_events, config.log.max_events_per_run), (20, Some(5)));
    assert!(!config.use_unified_monitoring);
    assert_eq!(config.drain_timeout, Duration::from_millis(2500));
    assert_eq!(config.base_dir, Some(dir.path().join("here")));
    assert_eq!(config.allowed_hosts, ["a.example.org", "b:80"]);
    assert_eq!(config.allowed_origins, ["https://a.example.org", "http://b:1"]);
}

#[test]
fn every_fault_is_named_with_its_place() {
    let (_dir, mut sources) = sources(
        "prot = 1\nmax_runs = \"many\"\nmax_header_bytes = 1\nwibble = true\nlog = 3\ndrain_timeout = 0\n\
         allowed_hosts = [1]\nallowed_origins = [\"https://a/path\"]\n[log]\n",
    );
    // A table twice is no TOML.
    let text = Config::load(&sources).unwrap_err().to_string();
    assert!(text.starts_with("dipeo.toml:9:2: "), "{text}");

    let file = sources.dir.join("dipeo.toml");
    let toml = std::fs::read_to_string(&file)
        .unwrap()
        .replace("log = 3\n", "")
        .replace("[log]", "[log]\nmax_event = 1");
    std::fs::write(file, toml).unwrap();
    sources.env = vec![env("DIPEO_PROT", "1"), env("DIPEO_PORT", "65536"), env("DIPEO_BASE_DIR", "")];
    sources.env.push(env("DIPEO_USE_UNIFIED_MONITORING", "perhaps"));
    let sources = sources.flag("max_runs", Some(0));
    insta::assert_snapshot!(Config::load(&sources).unwrap_err().to_string());
}

#[test]
fn sizes_and_times_have_units_and_bounds_may_be_none() {
    let (_dir, mut sources) = sources(
        "drain_timeout = \"1 min\"\n[log]\nqueue_bytes = \"32 MiB\"\nmax_bytes = 0x100000\n\
         [retention]\nmax_age = \"30 d\"\nmax_bytes = \"1.5 GiB\"\nmax_runs = \"none\"\n[ingest]\nlease = 60\n",
    );
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.log.queue_bytes, config.log.max_bytes), (32 << 20, 1 << 20));
    assert_eq!((config.drain_timeout.as_secs(), config.ingest.lease.as_secs()), (60, 60));
    let retention = RetentionConfig {
        max_age: Some(Duration::from_secs(30 * 86_400)),
        max_bytes: Some(1_610_612_736),
        max_runs: None,
    };
    assert_eq!(config.retention, retention);
    for (name, value) in [
        ("DIPEO_RETENTION_MAX_AGE", "0"),
        ("DIPEO_RETENTION_MAX_BYTES", "0"),
        ("DIPEO_RETENTION_MAX_RUNS", "0"),
        ("DIPEO_LOG_QUEUE_BYTES", "8 GiB"),
        ("DIPEO_LOG_STORE", "disk"),
        ("DIPEO_LOG_DURABILITY", "none"),
        ("DIPEO_INGEST_MAX_IMPORT_BYTES", "none"),
        ("DIPEO_INGEST_LEASE", "2 y"),
    ] {
        sources.env.push(env(name, value));
    }
    insta::assert_snapshot!(Config::load(&sources).unwrap_err().to_string());
}

#[test]
fn every_setting_says_where_it_comes_from_and_can_be_put_into_a_file() {
    let (dir, mut sources) = sources("port = 1\n[log]\n  max_events = 10\n  store = \"memory\"\n");
    sources.env = vec![env("DIPEO_PORT", "2"), env("DIPEO_RETENTION_MAX_RUNS", "none")];
    let sources = sources.flag("drain_timeout", Some("1.5"));
    let explained = Config::explain(&sources).unwrap();
    let of = |key: &str| explained.settings.iter().find(|setting| setting.key == key).unwrap();
    for (key, value, text, origin) in [
        ("port", json!(2), "2", "DIPEO_PORT"),
        ("log.max_events", json!(10), "10", "dipeo.toml:3:3"),
        ("log.store", json!("memory"), "\"memory\"", "dipeo.toml:4:3"),
        ("retention.max_runs", Value::Null, "\"none\"", "DIPEO_RETENTION_MAX_RUNS"),
        ("retention.max_bytes", json!(10_u64 << 30), "\"10 GiB\"", "default"),
        ("drain_timeout", json!(1.5), "\"1.5 s\"", "--drain-timeout"),
        ("ingest.lease", json!(900), "\"900 s\"", "default"),
        ("data_dir", json!("/home/me/.local/share/dipeo"), "\"/home/me/.local/share/dipeo\"", "default"),
    ] {
        let setting = of(key);
        let seen = (&setting.value, setting.text.as_deref(), setting.origin.to_string());
        assert_eq!(seen, (&value, Some(text), origin.to_owned()), "{key}");
    }
    let lines = explained.settings.iter().filter_map(|s| Some(format!("{} = {}\n", s.key, s.text.as_ref()?)));
    std::fs::write(dir.path().join("shown.toml"), lines.collect::<String>()).unwrap();
    let shown = ConfigSources { file: Some("shown.toml".into()), ..sources };
    let again = ConfigSources { env: Vec::new(), flags: Vec::new(), ..shown };
    let again = Config::load(&again).unwrap();
    assert_eq!(again, Config { base_dir: Some(dir.path().join(".")), ..explained.config });
}

#[test]
fn a_file_that_was_asked_for_has_to_be_there() {
    let (dir, mut sources) = sources("");
    sources.file = Some("other.toml".into());
    let error = Config::load(&sources).unwrap_err();
    assert!(matches!(&error.faults[..], [ConfigFault::File { .. }]), "{error}");
    std::fs::write(dir.path().join("other.toml"), "port = 7").unwrap();
    assert_eq!(Config::load(&sources).unwrap().port, 7);
}

#[test]
fn an_address_that_others_reach_has_to_be_a_flag() {
    let (_dir, mut sources) = sources("host = \"0.0.0.0\"");
    let error = Config::load(&sources).unwrap_err();
    assert_eq!(error.faults, [ConfigFault::Exposed { host: Ipv4Addr::UNSPECIFIED.into() }]);
    assert!(Config::load(&sources.clone().flag("host", Some("127.0.0.1"))).is_ok());
    assert!(Config::load(&sources.clone().flag("host", Some("0.0.0.0"))).is_ok());
    sources.env = vec![env("DIPEO_HOST", "localhost")];
    assert!(Config::load(&sources).is_ok());
    sources.env = vec![env("DIPEO_HOST", "[::1]")];
    assert!(Config::load(&sources).is_ok());
    sources.env = vec![env("DIPEO_HOST", "192.0.2.1")];
    assert!(Config::load(&sources).is_err());
}

#[test]
fn times_are_bounded_so_that_no_instant_overflows() {
    for key in ["drain_timeout", "header_timeout", "write_timeout"] {
        for (seconds, fits) in [
            ("1e-3", true),
            ("31536000", true),
            ("31536001", false),
            ("1e19", false),
            ("1e-12", false),
            ("nan", false),
        ] {
            let (_dir, sources) = sources("");
            let result = Config::load(&sources.flag(key, Some(seconds)));
            assert_eq!(result.is_ok(), fits, "{key} {seconds}: {result:?}");
        }
    }
}

#[test]
fn a_host_with_a_port_that_is_none_is_no_host() {
    for (hosts, fits) in [
        ("b:80", true),
        ("[::1]:80,c", true),
        ("b:99999", false),
        ("b:x", false),
        ("b:", false),
        ("u@b", false),
    ] {
        let (_dir, sources) = sources("");
        let result = Config::load(&sources.flag("allowed_hosts", Some(hosts)));
        assert_eq!(result.is_ok(), fits, "{hosts}: {result:?}");
    }
}
