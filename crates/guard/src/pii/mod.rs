//! Personal data by shape, check digit and context, under Presidio's names.
//!
//! Names of people and places have no shape that can be checked and are not recognised:
//! see [`NOT_RECOGNISED`].

mod adhoc;
mod checksum;
mod codes;
mod crypto;
mod entity;
mod net;
mod numbers;
mod phone;
mod settings;

use crate::Action;
use crate::context::{Context, Signs};
use crate::engine::{Detector, Window};
use crate::resolve::{Candidate, Rank};
use crate::runs::Marks;
use numbers::Number;
use std::cell::OnceCell;

pub use adhoc::{AdHoc, AdHocError};
pub use entity::{Entity, NOT_RECOGNISED};
pub use settings::{EntityRule, PiiSettings};

/// What a recogniser adds to.
pub(crate) struct Found<'f> {
    list: &'f mut Vec<Candidate>,
}

impl Found<'_> {
    fn add(&mut self, entity: Entity, number: &Number<'_>, score: u8, rank: Rank) {
        self.add_range(entity, number.start(), number.end(), score, rank);
    }

    fn add_range(&mut self, entity: Entity, start: usize, end: usize, score: u8, rank: Rank) {
        self.list.push(Candidate {
            start,
            end,
            kind: entity.index(),
            score,
            rank,
        });
    }
}

/// What is looked for, and the words around the last place asked about.
pub(crate) struct Sight {
    wanted: u64,
    /// The telling words around the run, once somebody asks.
    signs: OnceCell<Signs>,
}

impl Sight {
    fn wants(&self, entity: Entity) -> bool {
        self.wanted & (1 << entity.index()) != 0
    }

    fn context(&self, window: &Window<'_>, start: usize, end: usize) -> Context {
        self.signs
            .get_or_init(|| Signs::of(window))
            .around(start, end)
    }
}

/// The recognisers with their settings.
#[derive(Debug)]
pub(crate) struct PiiDetector {
    pub(crate) settings: PiiSettings,
    pub(crate) wanted: u64,
}

impl PiiDetector {
    pub(crate) fn new(settings: PiiSettings) -> PiiDetector {
        let wanted = settings
            .rules
            .keys()
            .fold(0_u64, |bits, entity| bits | (1 << entity.index()));
        PiiDetector { settings, wanted }
    }
}

impl Detector for PiiDetector {
    fn look(&self, window: &Window<'_>, found: &mut Vec<Candidate>) {
        let sight = Sight {
            wanted: self.wanted,
            signs: OnceCell::new(),
        };
        let mut out = Found { list: found };
        if window.run.marks.has(Marks::AT) {
            net::addresses(window, &sight, &mut out);
        }
        if window.run.marks.has(Marks::DIGIT) {
            numbers::look(window, &sight, &mut out);
        }
        codes::look(window, &sight, &mut out);
        net::look(window, &sight, &mut out);
    }

    fn threshold(&self, kind: u32) -> u8 {
        let rule = Entity::at(kind).and_then(|entity| self.settings.rules.get(&entity));
        rule.map_or(100, |rule| rule.threshold)
    }

    fn action(&self, kind: u32) -> Action {
        let rule = Entity::at(kind).and_then(|entity| self.settings.rules.get(&entity));
        rule.map_or(Action::Alert, |rule| rule.action)
    }

    fn name(&self, kind: u32) -> Option<&'static str> {
        Entity::at(kind).map(Entity::name)
    }

    fn allowed(&self, kind: u32, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else {
            return false;
        };
        let of_kind = Entity::at(kind).and_then(|entity| self.settings.allow_of.get(&entity));
        self.settings.allow.contains(text) || of_kind.is_some_and(|allow| allow.contains(text))
    }
}
