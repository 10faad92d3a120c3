//! Compares with CPython on random expressions of the grammar.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::evaluate;

/// Python's own parser and operators, with the two rules that differ from its: attributes are entries, and `and` and
/// `or` give booleans. Answers each line `[expression, context]` with true, false, or null for an error.
const ORACLE: &str = r#"
import ast, json, operator, sys
CALLS = {f.__name__: f for f in (len, abs, min, max, sum, all, any, bool, int, float, str, list, dict, tuple, set, round)}
def bounded(number, digits=None):  # Python would compute 10 ** digits first, however long that takes
    return round(number, max(-400, min(400, digits)) if type(digits) is int else digits)
CALLS["round"] = bounded
COMPARE = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
           ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b}
def value(node, context):
    go = lambda node: value(node, context)
    match node:
        case ast.Expression(body): return go(body)
        case ast.Constant(constant): return constant
        case ast.Name(name): return context.get(name)
        case ast.Attribute(of, name):
            of = go(of)
            return of.get(name) if isinstance(of, dict) else None
        case ast.UnaryOp(ast.Not(), operand): return not go(operand)
        case ast.BoolOp(ast.And(), operands): return all(go(o) for o in operands)
        case ast.BoolOp(ast.Or(), operands): return any(go(o) for o in operands)
        case ast.Compare(left, ops, rights):
            left = go(left)
            for op, right in zip(ops, rights):
                right = go(right)
                if not COMPARE[type(op)](left, right): return False
                left = right
            return True
        case ast.Call(ast.Name(name), arguments): return CALLS[name](*[go(a) for a in arguments])
        case _: raise TypeError(node)
for line in sys.stdin:
    text, context = json.loads(line)
    try: answer = bool(value(ast.parse(text, mode="eval"), context))
    except (TypeError, ValueError, KeyError, SyntaxError, OverflowError): answer = None
    print(json.dumps(answer), flush=True)
"#;

struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let mut command = Command::new("python3");
        let mut child = command
            .args(["-c", ORACLE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let (questions, answers) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, questions, answers }
    }

    fn ask(&mut self, text: &str, context: &Value) -> Option<bool> {
        writeln!(self.questions, "{}", json!([text, context])).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer to {text}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn expressions() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        (-2..12_i64).prop_map(|n| n.unsigned_abs().to_string()),
        prop::sample::select(vec![
            "0.5",
            "1.0",
            "2.5",
            "1e16",
            "1e-5",
            "'a'",
            "'b'",
            "''",
            "'12'",
            "' 7 '",
            "'1.5'",
            "'a\\'b'",
            "\"é\\n\"",
            "True",
            "False",
            "None",
            "0x10",
            "1_0",
            "3.",
            ".25",
        ])
        .prop_map(str::to_owned),
    ];
    let name = prop::sample::select(vec!["a", "b", "c", "d", "a.x", "a.y", "a.x.z", "b.q", "unknown", "c.x"])
        .prop_map(str::to_owned);
    let leaf = prop_oneof![literal, name];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let function = prop::sample::select(vec![
            "len", "abs", "min", "max", "sum", "all", "any", "bool", "int", "float", "str", "list", "dict", "tuple", "round",
        ]);
        let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">=", "in", "not in"]);
        prop_oneof![
            4 => (inner.clone(), operator.clone(), inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            1 => (inner.clone(), operator.clone(), inner.clone(), operator, inner.clone())
                .prop_map(|(a, o, b, p, c)| format!("({a}) {o} ({b}) {p} ({c})")),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| all.join(" and ")),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| all.join(" or ")),
            1 => inner.clone().prop_map(|a| format!("not {a}")),
            4 => (function, prop::collection::vec(inner, 0..3)).prop_map(|(f, args)| format!("{f}({})", args.join(", "))),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-20..20_i64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-40..40_i64).prop_map(|n| Value::from(n as f64 / 8.0)),
        any::<f64>().prop_filter("countable", |f| f.abs() < 1e30).prop_map(Value::from),
        "[a-c'\"\\\\é\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(vec!["x", "y", "z", "q"]), inner), 0..4).prop_map(
                |entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            ),
        ]
    })
}

/// 6,000 random expressions over random inputs: the same truth, and an error where Python has one.
#[test]
fn agrees_with_python() {
    let mut oracle = Oracle::start();
    let context = || (values(), values(), values(), values());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6_000) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let oracle = std::cell::RefCell::new(&mut oracle);
    runner
        .run(&(expressions(), context()), |(text, (a, b, c, d))| {
            let context = json!({"a": a, "b": b, "c": c, "d": d});
            let expected = oracle.borrow_mut().ask(&text, &context);
            let ours = evaluate(&text, &context);
            prop_assert_eq!(ours.clone().ok(), expected, "{:?} with {}: {:?}", text, context, ours);
            Ok(())
        })
        .unwrap();
}
