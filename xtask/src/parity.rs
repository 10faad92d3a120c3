//! Compares both monitoring paths, and says what was compared.

use crate::test;

/// Runs the parity suite; prints per diagram the events compared and the differences that are meant, and fails on any other.
pub(crate) fn run() -> Result<(), String> {
    let root = test::root()?;
    let mut suite = test::cargo(&root);
    suite.args(["test", "--quiet", "--package", "tests", "--test", "parity", "--", "--nocapture"]);
    test::step("parity", &mut suite)
}
