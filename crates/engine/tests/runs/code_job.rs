//! What programs receive, say and answer.

use std::sync::Arc;

use diagram::Language;
use engine::EngineOptions;
use serde_json::{Value, json};

use crate::support::{Graph, Ran, Recorder, Seen, Setup, run, run_with};

/// Runs `code` after a start node with `variables`, and returns what it produced, or its error.
async fn python(code: &str, variables: Value) -> Result<Value, String> {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let node = graph.python("Code", code);
    graph.named(start, node, "v");
    result(&run_with(graph, Setup { variables, ..Setup::default() }).await, "Code")
}

async fn bash(code: &str, variables: Value) -> Result<Value, String> {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let node = graph.bash("Code", code);
    graph.named(start, node, "v");
    result(&run_with(graph, Setup { variables, ..Setup::default() }).await, "Code")
}

fn result(ran: &Ran, label: &str) -> Result<Value, String> {
    let find = |seen: &Seen| match seen {
        Seen::NodeComplete(of, value) if of == label => Some(Ok(value.clone())),
        Seen::NodeError(of, error, _) if of == label => Some(Err(error.clone())),
        _ => None,
    };
    ran.seen.iter().find_map(find).unwrap()
}

#[tokio::test]
async fn python_sees_its_inputs() {
    let variables = json!({"x": [1, 2.5, null, true, "é"]});
    assert_eq!(python("result = v['x']", variables.clone()).await, Ok(json!([1, 2.5, null, true, "é"])));
    let all = "result = [sorted(inputs), inputs['v'] == v, node_id, sorted(globals)]";
    assert_eq!(python(all, variables.clone()).await, Ok(json!([["v"], true, "node_1", ["x"]])));
    let main = "def main(i):\n    return [dict(i), i['node_id'], i.get('globals'), i['inputs']['v'], i.get('no', 7)]";
    assert_eq!(
        python(main, json!({"x": 1})).await,
        Ok(json!([{"v": {"x": 1}}, "node_1", {"x": 1}, {"x": 1}, 7]))
    );
    assert_eq!(python("x = 1", variables).await, Ok(Value::Null));
}

#[tokio::test]
async fn python_texts_with_json_arrive_as_lists_and_maps() {
    let mut graph = Graph::new();
    let text = graph.python("Text", "import json\nresult = json.dumps({'a': [1]})");
    let broken = graph.python("Broken", "result = '{not json'");
    let node = graph.python("Code", "result = [t['a'], b, inputs['t']['a']]");
    graph.named(text, node, "t");
    graph.named(broken, node, "b");
    assert_eq!(run(graph).await.output("Code"), json!([[1], "{not json", [1]]));
}

#[tokio::test]
async fn python_functions_and_top_level_returns() {
    let nothing = json!({});
    assert_eq!(
        python(
            "async def main(i):\n    import asyncio\n    await asyncio.sleep(0)\n    return 1",
            nothing.clone()
        )
        .await,
        Ok(json!(1))
    );
    assert_eq!(
        python("if v == {}:\n    return 'early'\nresult = 'late'", nothing.clone()).await,
        Ok(json!("early"))
    );
    assert_eq!(
        python("if v:\n    return 'early'\nresult = 'late'", nothing.clone()).await,
        Ok(json!("late"))
    );
    assert_eq!(python("text = '''a\n\n  b'''\nresult = text", nothing.clone()).await, Ok(json!("a\n\n  b")));
    assert_eq!(python("result = 5\nraise SystemExit", nothing.clone()).await, Ok(json!(5)));
    assert_eq!(python("import sys\ndef main(i):\n    sys.exit(0)", nothing.clone()).await, Ok(Value::Null));
    assert_eq!(python("import sys\nsys.exit()\nreturn 1", nothing.clone()).await, Ok(Value::Null));
    assert_eq!(
        python("import sys\nsys.exit('bye')", nothing).await,
        Err("SystemExit: bye (line 2)".to_owned())
    );
}

#[tokio::test]
async fn python_results_travel_as_they_are() {
    let code = "import datetime, pathlib\nresult = {'t': (1, 2), 's': {3, 1, 2}, 'b': b'x', 'p': pathlib.Path('a/b'), 'd': datetime.date(2026, 1, 2), 1: None, 'big': 2**63, 'lone': '\\ud800'}";
    assert_eq!(
        python(code, json!({})).await,
        Ok(
            json!({"t": [1, 2], "s": [1, 2, 3], "b": "x", "p": "a/b", "d": "2026-01-02", "1": null, "big": 9_223_372_036_854_775_808_u64, "lone": "?"})
        )
    );
    for (code, message) in [
        ("result = [-2**63 - 1]", "ValueError: -9223372036854775809 is beyond 64 bits; hand it on as text"),
        ("result = {'n': 2**64}", "ValueError: 18446744073709551616 is beyond 64 bits; hand it on as text"),
        ("result = float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("result = {(1, 2): 3}", "TypeError: keys must be str, int, float, bool or None, not tuple"),
        ("result = []\nresult.append(result)", "ValueError: Circular reference detected"),
    ] {
        let error = python(code, json!({})).await.unwrap_err();
        assert!(error.starts_with(&format!("the result can't be handed on as JSON: {message}")), "{error}");
    }
}

#[tokio::test]
async fn python_errors_name_the_line_and_the_log_has_the_traceback() {
    let mut graph = Graph::new();
    graph.python("Code", "def f():\n\n    raise ValueError('boom')\nf()");
    let ran = run(graph).await;
    assert_eq!(ran.error("Code"), "ValueError: boom (line 3)");
    let log = ran.recorder.logs("node_0", "stderr");
    assert_eq!(
        log[..4],
        [
            "Traceback (most recent call last):",
            "  File \"<Code>\", line 4, in <module>",
            "    f()",
            "  File \"<Code>\", line 3, in f",
        ]
    );
    let mut graph = Graph::new();
    graph.python("Code", "x = {}\nreturn x['q']");
    let ran = run(graph).await;
    assert_eq!(ran.error("Code"), "KeyError: 'q' (line 2)");
    let log = ran.recorder.logs("node_0", "stderr");
    assert_eq!(log[..2], ["Traceback (most recent call last):", "  File \"<Code>\", line 2, in code"]);
    assert!(!log.iter().any(|line| line.contains("another exception")), "{log:?}");
    assert_eq!(
        python("a = 1\nif a\n  pass", json!({})).await,
        Err("SyntaxError: expected ':' (line 2)".to_owned())
    );
    assert_eq!(
        python("result = missing", json!({})).await,
        Err("NameError: name 'missing' is not defined (line 1)".to_owned())
    );
    assert_eq!(python("assert False", json!({})).await, Err("AssertionError (line 1)".to_owned()));
}

#[tokio::test]
async fn python_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("lib")).unwrap();
    std::fs::write(dir.path().join("top.py"), "TOP = 1").unwrap();
    std::fs::write(dir.path().join("lib/beside.py"), "BESIDE = 2").unwrap();
    let code = "import os, top, beside\ndef double(i):\n    return {'n': 2 * i['v']['n'], 'sum': top.TOP + beside.BESIDE, 'cwd': os.getcwd()}\nasync def later(i):\n    return 'later'\nnumber = 1\ndef boom(i):\n    1 / 0\n";
    std::fs::write(dir.path().join("lib/module.py"), code).unwrap();
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let cases = [
        ("Double", "lib/module.py", "double"),
        ("Later", "lib/module.py", "later"),
        ("Missing function", "lib/module.py", "nothing"),
        ("No function", "lib/module.py", "number"),
        ("Missing file", "lib/none.py", "double"),
        ("Directory", "lib", "double"),
        ("Boom", "lib/module.py", "boom"),
    ];
    for (label, path, function) in cases {
        let node = graph.program(label, Language::Python, path, function);
        graph.named(start, node, "v");
    }
    let base_dir = dir.path().canonicalize().unwrap();
    let ran =
        run_with(graph, Setup { variables: json!({"n": 4}), base_dir: base_dir.clone(), ..Setup::default() })
            .await;
    assert_eq!(ran.output("Double"), json!({"n": 8, "sum": 3, "cwd": base_dir.to_str()}));
    assert_eq!(ran.output("Later"), json!("later"));
    let module = base_dir.join("lib/module.py");
    assert_eq!(ran.error("Missing function"), format!("{} has no function `nothing`", module.display()));
    assert_eq!(ran.error("No function"), format!("{} has no function `number`", module.display()));
    let missing = base_dir.join("lib/none.py");
    assert_eq!(
        ran.error("Missing file"),
        format!("can't read {}: No such file or directory (os error 2)", missing.display())
    );
    assert_eq!(ran.error("Directory"), format!("{} is no file", base_dir.join("lib").display()));
    assert_eq!(ran.error("Boom"), "ZeroDivisionError: division by zero (line 8)");
}

#[tokio::test]
async fn files_with_the_names_of_python_s_own_modules_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ast.py", "json.py", "re.py"] {
        std::fs::write(dir.path().join(name), "raise ImportError('not this one')").unwrap();
    }
    let mut graph = Graph::new();
    graph.python("Code", "result = 1");
    let ran = run_with(graph, Setup { base_dir: dir.path().into(), ..Setup::default() }).await;
    assert_eq!(ran.output("Code"), json!(1));
}

#[tokio::test]
async fn bash_sees_its_inputs_and_answers_by_stdout() {
    let mut graph = Graph::new();
    let values = graph.python(
        "Values",
        "result = {'text': ' a b ', 'n': 1.5, 'yes': True, 'none': None, 'list': [1, 'é']}",
    );
    let text = graph.python("Text", "result = 'plain'");
    let none = graph.python("None", "result = None");
    let node = graph.bash("Code", "echo; echo \"$INPUT_KEYS|$INPUT_v|$INPUT_t|$INPUT_n|$(cat)\"; pwd >&2");
    graph.named(values, node, "v");
    graph.named(text, node, "t");
    graph.named(none, node, "n");
    let dir = tempfile::tempdir().unwrap();
    let base_dir = dir.path().canonicalize().unwrap();
    let ran = run_with(graph, Setup { base_dir: base_dir.clone(), ..Setup::default() }).await;
    assert_eq!(
        ran.output("Code"),
        json!("v t n|{\"text\":\" a b \",\"n\":1.5,\"yes\":true,\"none\":null,\"list\":[1,\"é\"]}|plain||")
    );
    assert_eq!(ran.recorder.logs("node_3", "stderr"), [base_dir.to_str().unwrap()]);
    assert_eq!(ran.recorder.logs("node_3", "stdout").len(), 2);
}

#[tokio::test]
async fn bash_finds_inputs_whose_names_no_variable_can_have() {
    let mut graph = Graph::new();
    let one = graph.python("One", "result = 'one'");
    let node = graph.bash("Code", "for key in $INPUT_KEYS; do name=INPUT_$key; echo \"$key ${!name}\"; done");
    let clash = graph.bash("Clash", "true");
    for name in ["my data", "a=b", "x_y"] {
        graph.named(one, node, name);
    }
    for name in ["x y", "x-y"] {
        graph.named(one, clash, name);
    }
    let ran = run(graph).await;
    assert_eq!(ran.output("Code"), json!("my_data one\na_b one\nx_y one"));
    let error = "the inputs `x y` and `x-y` would both be `INPUT_x_y`; label one connection differently";
    assert_eq!(ran.error("Clash"), error);
}

#[tokio::test]
async fn bash_errors_tell_the_status_and_the_end_of_stderr() {
    let nothing = json!({});
    assert_eq!(
        bash("echo oops >&2; exit 3", nothing.clone()).await,
        Err("bash exited with status 3: oops".to_owned())
    );
    assert_eq!(bash("exit 1", nothing.clone()).await, Err("bash exited with status 1".to_owned()));
    let many = "for i in 1 2 3 4 5 6 7; do echo $i >&2; done; exit 1";
    assert_eq!(bash(many, nothing.clone()).await, Err("bash exited with status 1: 3\n4\n5\n6\n7".to_owned()));
    let unknown = bash("true\nno_such_program_here", nothing.clone()).await.unwrap_err();
    assert_eq!(unknown, "bash exited with status 127: Code: line 2: no_such_program_here: command not found");
    let error = bash("true", json!({"x": "y".repeat(200_000)})).await.unwrap_err();
    assert!(
        error.starts_with("the inputs are too large for bash: `INPUT_v` would have 200008 bytes"),
        "{error}"
    );
    let script = format!("# {}\necho from a file", "x".repeat(200_000));
    assert_eq!(bash(&script, nothing).await, Ok(json!("from a file")));
}

#[tokio::test]
async fn bash_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.sh"), "echo \"hi $INPUT_default\"").unwrap();
    let mut graph = Graph::new();
    let source = graph.python("Source", "result = 'you'");
    let node = graph.program("Code", Language::Bash, "s.sh", "main");
    graph.edge(source, node);
    let ran = run_with(graph, Setup { base_dir: dir.path().into(), ..Setup::default() }).await;
    assert_eq!(ran.output("Code"), json!("hi you"));
}

#[tokio::test]
async fn a_base_directory_that_is_not_there_is_named() {
    let mut graph = Graph::new();
    graph.bash("Code", "true");
    let ran = run_with(graph, Setup { base_dir: "/nonexistent/base".into(), ..Setup::default() }).await;
    assert_eq!(ran.error("Code"), "the base directory /nonexistent/base is not there");
}

#[tokio::test]
async fn logs_are_told_while_the_node_runs_and_before_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut graph = Graph::new();
    graph.python("Code", "import os, time\nprint('first')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('second', end='')");
    let recorder = Arc::new(Recorder::default());
    let setup = Setup { base_dir: dir.path().into(), recorder: Arc::clone(&recorder), ..Setup::default() };
    let (ran, ()) = tokio::join!(run_with(graph, setup), async {
        recorder.wait_for(|seen| matches!(seen, Seen::Log { message, .. } if message == "first")).await;
        std::fs::write(dir.path().join("go"), "").unwrap();
    });
    let kinds: Vec<&str> = ran
        .seen
        .iter()
        .map(|seen| match seen {
            Seen::Log { message, level, .. } => {
                assert_eq!(level, "INFO");
                &**message
            }
            Seen::NodeComplete(..) => "complete",
            _ => "",
        })
        .collect();
    assert_eq!(kinds, ["", "", "first", "second", "complete", ""]);
}

#[tokio::test]
async fn long_lines_continue_and_bad_bytes_are_replaced() {
    let mut graph = Graph::new();
    graph.python("Code", "import sys\nprint('é' * 500000)\nsys.stdout.buffer.write(b'\\xff\\r\\nend\\n')");
    let ran = run(graph).await;
    let lines = ran.recorder.logs("node_0", "stdout");
    assert!(lines.iter().all(|line| line.len() <= 16 * 1024));
    let (long, rest) = lines.split_at(lines.len() - 2);
    assert_eq!(long.concat(), "é".repeat(500_000));
    assert_eq!(rest, ["\u{fffd}", "end"]);
}

#[tokio::test]
async fn a_log_that_is_too_long_is_cut_once_and_the_program_goes_on() {
    let mut graph = Graph::new();
    graph.python("Code", "import sys\nfor i in range(50000): print('line', i)\nprint('late', file=sys.stderr)\nresult = 'done'");
    let options = EngineOptions { max_node_log_bytes: 10_000, ..EngineOptions::default() };
    let ran = run_with(graph, Setup { options, ..Setup::default() }).await;
    assert_eq!(ran.output("Code"), json!("done"));
    let lines = ran.recorder.logs("node_0", "stdout");
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    assert!((9_900..=10_000).contains(&bytes), "{bytes}");
    let cut: Vec<_> = ran
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Log { truncated: true, level, message, .. } => Some((level.as_str(), message.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(cut, [("WARNING", "the log passed its limit of 10000 bytes; the rest of it is not recorded")]);
}

#[tokio::test]
async fn a_program_that_floods_its_log_is_read_to_its_end() {
    let mut graph = Graph::new();
    let code = "import sys\nline = 'x' * 999 + '\\n'\nfor _ in range(100_000): sys.stdout.write(line)\nresult = 'done'";
    graph.python("Code", code);
    let ran = run(graph).await;
    assert_eq!(ran.output("Code"), json!("done"));
    let lines = ran.recorder.logs("node_0", "stdout");
    assert_eq!(lines.len(), 10 * 1024 * 1024 / 1000);
    assert!(ran.seen.iter().any(|seen| matches!(seen, Seen::Log { truncated: true, .. })));
}
