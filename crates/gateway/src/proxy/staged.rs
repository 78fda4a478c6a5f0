//! An answer that services are asked about: the local checks have left their texts, nothing is delivered yet.
//!
//! Services that may replace texts come one after the other, and the local checks look at what they left; then those that
//! judge, all at once. Masked values come back after them, so that no service sees them.

use std::sync::Arc;

use super::channels::{Blocked, Channels, Collected, Keeps, Replaced, Stage, name};
use super::coverage::{Delivery, Side};
use super::open::scores;
use crate::guardrails::remote::{Ask, Asked, Notes, Permit, judge};
use crate::guardrails::{Check, Selected};

/// The texts of an answer on their way.
pub(crate) struct Staged {
    collected: Vec<Collected>,
    asked: Arc<Vec<Asked>>,
}

impl Staged {
    /// What the channels kept.
    pub(crate) fn of(channels: &mut Channels) -> Self {
        let collected = channels.take_collected();
        let one = |text: &Collected| Asked {
            side: Side::Answer {
                choice: text.choice,
                channel: name(text.channel),
            },
            role: "assistant",
            text: text.text.clone(),
            seen: channels.left(text.choice, text.channel),
        };
        let asked = Arc::new(collected.iter().map(one).collect());
        Self { collected, asked }
    }

    /// Asks the services. The notes belong into the record whatever they say.
    pub(crate) async fn judged(
        mut self,
        permit: Arc<Permit>,
        selected: &Selected,
        notes: &mut Notes,
    ) -> Result<Texts, Blocked> {
        let texts = |staged: &Self| {
            let texts = staged.asked.iter();
            texts.map(|asked| asked.text.clone()).collect()
        };
        let all: Vec<Arc<Check>> = selected.remote(true).cloned().collect();
        if self.asked.is_empty() {
            return Ok(Texts {
                left: Vec::new(),
                collected: self.collected,
            });
        }
        let edits = |check: &Arc<Check>| check.remote().is_some_and(|remote| remote.edits());
        let (editing, judging): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|check| check.modes.post_call && edits(check));
        let alone = editing.into_iter().map(|check| vec![check]);
        for group in alone.chain([judging]).filter(|group| !group.is_empty()) {
            let ask = Ask {
                permit: permit.clone(),
                texts: self.asked.clone(),
                answer: true,
                chat: bytes::Bytes::new(),
                scores: scores(&notes.entries, true),
                vault: None,
                delivery: Some(Delivery::Buffered),
            };
            let replaced = judge(&group, &ask).await.note(notes)?;
            if let Some(replaced) = replaced {
                self.again(&permit, selected, &replaced, notes)?;
            }
        }
        Ok(Texts {
            left: texts(&self),
            collected: self.collected,
        })
    }

    /// The local checks look at what a service left.
    fn again(
        &mut self,
        permit: &Permit,
        selected: &Selected,
        replaced: &[String],
        notes: &mut Notes,
    ) -> Result<(), Blocked> {
        let digests = permit.digests.clone();
        let delivery = Delivery::Buffered;
        let mut channels = Channels::new(digests, selected, delivery, Keeps::Nothing, Stage::Again);
        let mut left = Vec::with_capacity(replaced.len());
        for (place, text) in self.collected.iter().zip(replaced) {
            match channels.whole(place.choice, place.channel, text) {
                Ok(text) => left.push(text.into_owned()),
                Err(blocked) => {
                    notes.entries.extend(channels.entries(true));
                    return Err(blocked);
                }
            }
        }
        let places = self.collected.iter().zip(self.asked.iter()).zip(left);
        let asked = places.map(|((place, asked), text)| Asked {
            seen: channels.left(place.choice, place.channel),
            text,
            ..asked.clone()
        });
        let asked = asked.collect();
        self.asked = Arc::new(asked);
        notes.entries.extend(channels.entries(false));
        Ok(())
    }
}

/// The texts as services and checks left them, in the order in which they stand in the answer.
pub(crate) struct Texts {
    pub(crate) left: Vec<String>,
    collected: Vec<Collected>,
}

impl Texts {
    /// Those that are not what the provider sent, by the place where they go.
    pub(crate) fn replaced(self, permit: &Permit) -> Replaced {
        let mut changed: Vec<(u32, llm::openai::Channel)> = Vec::new();
        for (place, text) in self.collected.iter().zip(&self.left) {
            let key = (place.choice, place.channel);
            if place.differs(&permit.digests, text) && !changed.contains(&key) {
                changed.push(key);
            }
        }
        let of = |(choice, channel)| {
            let pairs = self.collected.iter().zip(&self.left);
            let texts = pairs
                .filter(|(place, _)| (place.choice, place.channel) == (choice, channel))
                .map(|(_, text)| text.clone());
            (choice, channel, texts.collect())
        };
        Replaced(changed.into_iter().map(of).collect())
    }
}
