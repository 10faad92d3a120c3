use serde_json::json;

use super::*;

mod oracle;

fn evaluate(text: &str, context: &Value) -> Result<bool, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    expression.evaluate(&|name| context.get(name)).map_err(|error| error.to_string())
}

fn context() -> Value {
    json!({
        "n": 5, "f": 2.5, "t": "abc", "yes": true, "no": false, "none": null, "zero": 0, "empty": [],
        "l": [1, 2, 3], "m": {"a": {"b": 4}, "k": "v"}, "big": 9_007_199_254_740_993_i64,
    })
}

fn holds(text: &str) -> bool {
    evaluate(text, &context()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    evaluate(text, &context()).expect_err(text)
}

#[test]
fn names_and_attributes() {
    assert!(holds("m.a.b == 4"));
    assert!(holds("m.missing == None"));
    assert!(holds("m.missing.deeper == None"));
    assert!(holds("none.x == None"));
    assert!(holds("unknown == None"));
    assert!(!holds("unknown"));
    assert!(holds("(m.a).b == 4"));
    assert!(holds("t.anything == None"));
}

#[test]
fn truth_is_pythons() {
    for text in ["n", "f", "t", "yes", "l", "m", "'x'", "1", "0.1"] {
        assert!(holds(text), "{text}");
    }
    for text in
        ["no", "none", "zero", "empty", "''", "0", "0.0", "dict()", "set()", "tuple()", "list()", "str()"]
    {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn comparisons_are_pythons() {
    assert!(holds("1 == 1.0 == True"));
    assert!(holds("1 < n < 10 > f >= 2.5"));
    assert!(!holds("1 < n < 3"));
    assert!(holds("big > 9007199254740992.0"));
    assert!(holds("big != 9007199254740992.0"));
    assert!(holds("1 != '1'"));
    assert!(holds("l == list(l) != tuple(l)"));
    assert!(holds("'a' < 'b' and tuple('ab') < tuple('b') and list('a') < list('ab')"));
    assert!(holds("'b' in t and 'z' not in t and '' in t"));
    assert!(holds("2 in l and 2.0 in l and 4 not in l"));
    assert!(holds("'k' in m and 'v' not in m"));
    assert!(holds("True in l"));
    assert!(holds(
        "set('a') < set('ab') and not set('a') < set('b') and set(l) >= set(l) and not set(l) > set(l)"
    ));
}

#[test]
fn booleans_stop_early_and_give_booleans() {
    assert!(holds("yes or none > 3"));
    assert!(!holds("no and none > 3"));
    assert!(holds("(n or 7) == True"));
    assert!(holds("not not n"));
    assert!(holds("not n == 4"));
}

#[test]
fn functions() {
    for text in [
        "len(l) == 3 and len('é') == 1 and len(m) == 2",
        "abs(f) == 2.5 and abs(int('-3')) == 3",
        "min(l) == 1 and max(1, 2.5, 2) == 2.5 and max('abc') == 'c'",
        "sum(l) == 6 and sum(l, f) == 8.5 and sum(empty) == 0",
        "all(l) and not any(empty) and any(l)",
        "bool('False') and not bool('')",
        "int('1_000') == 1000 and int(2.9) == 2 and int('ff', 16) == 255 and int('0x1f', 0) == 31 and int() == 0",
        "float(' 1e3 ') == 1000 and float('inf') > 1e308",
        "str(m) == \"{'a': {'b': 4}, 'k': 'v'}\" and str(none) == 'None' and str(1e16) == '1e+16' and str(2.0) == '2.0'",
        "list('ab') == list(tuple('ab')) and list(m) == list(dict(m))",
        "round(2.5) == 2 and round(3.5) == 4 and round(2.675, 2) == 2.67 and round(1250, int('-2')) == 1200",
        "set('aab') == set('ab') and len(set(l)) == 3",
        "dict(list(set(list(tuple())))) == dict()",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn literals() {
    for text in [
        "0x1F == 31 and 0b101 == 5 and 0o17 == 15 and 1_000 == 1000 and .5 == 0.5 and 5. == 5 and 1e3 == 1000",
        r#""a'b" == 'a\'b' and 'a' "b" == 'ab' and '''x
y''' == 'x\ny' and r'\n' == '\\n' and '\x41\u00e9\101' == 'AéA'"#,
        "n > 1 # a comment",
        "n > 1\n  and f > 1",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_the_language_lacks_is_refused_with_its_place() {
    for (text, start) in [
        ("", "1:1: the expression is empty"),
        ("  # nothing", "1:1: the expression is empty"),
        ("l[0] == 1", "1:2: subscripts like `a[0]` are not supported; an expression may use literals"),
        ("n > -1", "1:5: signs and arithmetic like `-1` or `a + b` are not supported"),
        ("n + 1 > 2", "1:3: signs and arithmetic"),
        ("n is None", "1:3: comparisons with `is`"),
        ("n in [1, 2]", "1:6: lists like `[1, 2]`"),
        ("n in (1, 2)", "1:8: tuples like `(1, 2)`"),
        ("n == {}", "1:6: maps and sets"),
        ("1 if n else 2", "1:3: choices like `a if b else c`"),
        ("lambda: 1", "1:1: `lambda` is not supported"),
        ("t.upper() == 'ABC'", "1:8: calls of methods"),
        ("len(l)(1)", "1:7: calls of anything but"),
        ("max(l, default=1)", "1:15: arguments by keyword"),
        ("max(*l)", "1:5: `*` and `**` before arguments"),
        ("f'{n}'", "1:1: f-strings"),
        ("open('x')", "1:1: there is no function `open`; an expression may use"),
        ("(x := 1)", "1:4: assignments"),
        ("n = 1", "1:3: assignments"),
        ("n >", "1:4: the expression ends too early"),
        ("n\n  > $", "2:5: `$` has no meaning here"),
        ("'open", "1:1: this text has no end"),
        ("n n", "1:3: `n` has no meaning here"),
        ("not", "1:4: the expression ends too early"),
        ("import os", "1:1: `import` has no meaning here"),
        ("012 == 1", "1:1: `012` is no number"),
        ("any(x for x in l)", "1:7: comprehensions"),
        ("...", "1:1: `...` has no meaning here"),
    ] {
        let error = error(text);
        assert!(error.starts_with(start), "{text}: {error}");
    }
}

#[test]
fn errors_of_evaluation_have_a_place() {
    for (text, expected) in [
        ("yes and none > 3", "1:9: `>` can't compare None with int"),
        ("n < 'x'", "1:1: `<` can't compare int with str"),
        ("m < m", "1:1: `<` can't compare dict with dict"),
        ("1 in 2", "1:1: `in` wants a str, list or dict on its right, not int"),
        ("1 in t", "1:1: `in` a str wants a str on its left, not int"),
        ("l in m", "1:1: list can't be an element of a set or a key of a dict"),
        ("len(n) > 1", "1:1: `len` can't take int"),
        ("len()", "1:1: `len` can't take 0 argument(s)"),
        ("n == \n  int('x')", "2:3: `int` can't read 'x'"),
        ("min(empty)", "1:1: `min` of nothing has no value"),
        ("sum('ab')", "1:1: `sum` can't add int and str"),
        ("set(list(m)) == set(list(l)) or sum(list(m), list())", "1:33: `sum` can't add list and str"),
        ("int(float('inf'))", "1:1: inf is no whole number that this language can count"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn length_depth_and_cost_are_bounded() {
    assert!(error(&"x".repeat(MAX_LENGTH + 1)).contains("longer than"));
    let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert!(holds(&deep(MAX_DEPTH)));
    assert!(error(&deep(MAX_DEPTH + 1)).contains("nested more than"));
    assert!(error(&"not ".repeat(4_000)).contains("nested more than"));
    assert!(!holds(&format!("n{}", ".a".repeat(8_000))), "attributes need no depth");
    assert!(holds(&format!("1{}", " or 1".repeat(3_000))));
    let long: Vec<u32> = (0..200_000).collect();
    let context = json!({"l": long});
    let text = "len(set(l)) > 0";
    let error = evaluate(text, &context).unwrap_err();
    assert_eq!(error, "1:5: the expression costs too much to evaluate");
    assert_eq!(evaluate("sum(l) > 0 and 199999 in l", &context), Ok(true));
}
