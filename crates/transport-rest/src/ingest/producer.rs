//! The headers that number a producer's batches.

use core_events::ports::ProducerBatch;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::Problem;

pub(super) const ID: HeaderName = HeaderName::from_static("producer-id");
pub(super) const EPOCH: HeaderName = HeaderName::from_static("producer-epoch");
pub(super) const SEQ: HeaderName = HeaderName::from_static("producer-seq");
pub(super) const EXPECTED_SEQ: HeaderName = HeaderName::from_static("producer-expected-seq");
pub(super) const RECEIVED_SEQ: HeaderName = HeaderName::from_static("producer-received-seq");

/// The longest name of a producer, in bytes.
const MAX_ID_BYTES: usize = 256;

/// The largest whole number that every JSON and every store has exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The batch that `headers` name; `None` if they name none.
///
/// # Errors
///
/// 400, naming what is missing or malformed.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<ProducerBatch>, Problem> {
    let names = [(ID, "Producer-Id"), (EPOCH, "Producer-Epoch"), (SEQ, "Producer-Seq")];
    let missing = names.into_iter().filter(|(name, _)| !headers.contains_key(name));
    match missing.map(|(_, shown)| shown).collect::<Vec<_>>().as_slice() {
        [] => {}
        [_, _, _] => return Ok(None),
        some => {
            let missing = some.join(" and ");
            let rule = "Producer-Id, Producer-Epoch and Producer-Seq come together, or none of them";
            return Err(wrong(format!("{missing} missing: {rule}")));
        }
    }
    let producer = text(headers, &ID, "Producer-Id")?;
    if producer.is_empty() || producer.len() > MAX_ID_BYTES {
        return Err(wrong(format!("Producer-Id: 1 to {MAX_ID_BYTES} characters are expected")));
    }
    let batch = ProducerBatch {
        producer: producer.into(),
        epoch: number(headers, &EPOCH, "Producer-Epoch")?,
        seq: number(headers, &SEQ, "Producer-Seq")?,
    };
    Ok(Some(batch))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &str) -> Result<&'a str, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(text), None) => Ok(text.trim()),
        _ => Err(wrong(format!("{shown}: it is expected once, in visible ASCII characters"))),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName, shown: &str) -> Result<u64, Problem> {
    let text = text(headers, name, shown)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    let problem = || wrong(format!("{shown}: a whole number from 0 to {MAX_NUMBER} is expected"));
    number.filter(|number| *number <= MAX_NUMBER).ok_or_else(problem)
}

fn wrong(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-producer", detail)
}
