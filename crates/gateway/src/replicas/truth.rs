//! What the database says: entities, what was spent, which calls are open and how others ended.

use std::collections::{HashMap, HashSet};

use ledger::OpenIntent;
use policy::budget::Used;
use store::identity::{SpendFilter, Spent};
use store::reader::{ReadError, Reader};

/// The database of the ledger that several processes share. Called on threads that may block.
pub trait Truth: Send + Sync {
    /// Calls `each` with a view of the database, which it may read until it returns.
    ///
    /// # Errors
    /// [`ReadError`].
    fn read(&self, each: &mut dyn FnMut(&Reader) -> Result<(), ReadError>)
    -> Result<(), ReadError>;
}

impl Truth for std::path::PathBuf {
    fn read(
        &self,
        each: &mut dyn FnMut(&Reader) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        each(&Reader::open(self)?)
    }
}

impl Truth for store::reader::Database {
    fn read(
        &self,
        each: &mut dyn FnMut(&Reader) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        each(&Reader::at(self)?)
    }
}

/// Calls of one moment.
#[derive(Default)]
pub(super) struct Calls {
    /// Those of the ids asked for that have their record.
    pub(super) ended: HashSet<String>,
    /// Those without one.
    pub(super) open: Vec<OpenIntent>,
}

/// Reads what was spent and what is open, as of one moment.
pub(super) fn calls(
    truth: &dyn Truth,
    asked: &HashSet<String>,
    spent: &mut dyn FnMut(&Spent),
) -> Result<Calls, ReadError> {
    let mut calls = Calls::default();
    truth.read(&mut |reader| {
        reader.snapshot(|reader| {
            reader.spent(&mut *spent)?;
            calls.open.extend(reader.intents()?);
            for id in asked {
                if how(reader, id)?.is_some() {
                    calls.ended.insert(id.clone());
                }
            }
            Ok(())
        })
    })?;
    Ok(calls)
}

/// How calls ended; what is open is not in it, what nobody knows used nothing.
pub(super) fn ends(truth: &dyn Truth, ids: &[String]) -> Result<HashMap<String, Used>, ReadError> {
    let mut known: HashMap<String, Option<Used>> = HashMap::new();
    truth.read(&mut |reader| {
        reader.snapshot(|reader| {
            let open: HashSet<String> = reader
                .intents()?
                .iter()
                .map(|intent| intent.id.to_string())
                .collect();
            for id in ids {
                if open.contains(id) {
                    known.insert(id.clone(), None);
                } else if let Some(used) = how(reader, id)? {
                    known.insert(id.clone(), Some(used));
                }
            }
            Ok(())
        })
    })?;
    let ends = ids.iter().filter_map(|id| match known.get(id) {
        Some(None) => None,
        Some(Some(used)) => Some((id.clone(), *used)),
        None => Some((id.clone(), Used::default())),
    });
    Ok(ends.collect())
}

fn how(reader: &Reader, id: &str) -> Result<Option<Used>, ReadError> {
    let rows = reader.spend_rows(&SpendFilter {
        request: Some(id.to_owned()),
        limit: 1,
        ..SpendFilter::default()
    })?;
    Ok(rows.first().map(|(_, spend)| Used {
        money: policy::MicroUsd::new(spend.cost_micro_usd.unwrap_or(0)),
        input: spend.tokens_in,
        output: spend.tokens_out,
    }))
}
