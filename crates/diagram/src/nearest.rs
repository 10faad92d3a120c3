//! Which known name was probably meant.

/// Longest name that is compared, in characters.
const MAX_CHARS: usize = 64;

/// The work that searches in one file may take together, in compared pairs of characters.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(20_000_000)
    }
}

impl Budget {
    /// The candidate closest to `name` by edits (a swap of neighbours is one), case aside; the first of equals. None
    /// when more than a third of the characters, rounded up, or all of them would have to change.
    pub(crate) fn nearest<'a>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let wanted = name.to_lowercase();
        let length = wanted.chars().count();
        if length == 0 || length > MAX_CHARS {
            return None;
        }
        let mut best: Option<(usize, &str)> = None;
        for candidate in candidates {
            let other = candidate.chars().take(MAX_CHARS + 1).count();
            if other > MAX_CHARS {
                continue;
            }
            self.0 = self.0.checked_sub(length * other + 1)?;
            let longer = length.max(other);
            let limit = longer.div_ceil(3).min(longer - 1);
            if length.abs_diff(other) > limit {
                continue;
            }
            let distance = strsim::osa_distance(&wanted, &candidate.to_lowercase());
            if distance <= limit && best.is_none_or(|(d, _)| distance < d) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_probably_meant() {
        let names = ["Start", "Check value", "End"];
        let near = |name| Budget::default().nearest(name, names);
        assert_eq!(near("Strat"), Some("Start"));
        assert_eq!(near("check valu"), Some("Check value"));
        assert_eq!(near("end"), Some("End"));
        assert_eq!(near("Something else"), None);
        assert_eq!(near(""), None);
        assert_eq!(Budget::default().nearest("a", ["s", "a[b]"]), None);
        assert_eq!(Budget::default().nearest("a", ["s", "A", "ab"]), Some("A"));
    }

    #[test]
    fn gives_up_when_the_budget_is_spent() {
        let mut budget = Budget(100);
        assert_eq!(budget.nearest("Strat", ["Start"]), Some("Start"));
        assert_eq!(budget.nearest("Strat", std::iter::repeat_n("Stxrt", 1_000_000)), None);
    }
}
