//! A linear model over hashed features.

use super::features::{SIZE, features};
use super::normal::{Normal, Tricks};
use super::rules::{Hit, PHRASES};

/// Bytes of a stretch that is judged by itself, and between the starts of two.
pub(crate) const STRETCH: usize = 400;
pub(crate) const STRIDE: usize = 200;

/// Kinds of tricks that have a weight.
pub(crate) const TRICKS: usize = 8;

/// Weights, as trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Added to every sum.
    pub bias: f32,
    /// One per hashed feature.
    pub hashed: Vec<f32>,
    /// One per phrase, in the order of the list, then one per trick.
    pub dense: Vec<f32>,
}

impl Weights {
    /// As many zeros as the features need.
    #[must_use]
    pub fn zero() -> Weights {
        Weights {
            bias: 0.0,
            hashed: vec![0.0; SIZE],
            dense: vec![0.0; PHRASES.all.len() + TRICKS],
        }
    }
}

/// One stretch of a text as the model sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Numbers of hashed features, with repetition.
    pub hashed: Vec<u32>,
    /// Numbers of dense features.
    pub dense: Vec<u32>,
}

impl Sample {
    /// The sum of the weights.
    #[must_use]
    pub fn margin(&self, weights: &Weights) -> f32 {
        let weight = |number: &u32| weights.hashed.get(*number as usize).copied().unwrap_or(0.0);
        let sum: f32 = self.hashed.iter().map(weight).sum();
        let dense = |number: &u32| weights.dense.get(*number as usize).copied().unwrap_or(0.0);
        let plus: f32 = self.dense.iter().map(dense).sum();
        weights.bias + sum * self.scale() + plus
    }

    /// What each hashed feature counts: long texts count as much as short ones.
    #[must_use]
    pub fn scale(&self) -> f32 {
        1.0 / (self.hashed.len().max(24) as f32).sqrt()
    }
}

/// Dense features of tricks.
pub(crate) fn tricks(tricks: Tricks) -> Vec<u32> {
    let base = PHRASES.all.len() as u32;
    let flags = [
        tricks.hidden >= 4,
        tricks.tags >= 4,
        tricks.lookalikes >= 3,
        tricks.zigzag >= 8,
        tricks.spaced >= 12,
        tricks.leet >= 3,
    ];
    let on = flags.iter().zip(base..).filter(|(flag, _)| **flag);
    on.map(|(_, number)| number).collect()
}

/// The stretches of a text: the whole of a short one, overlapping ones of a long one.
pub(crate) fn stretches(length: usize) -> Vec<(usize, usize)> {
    if length <= STRETCH + STRIDE {
        return vec![(0, length)];
    }
    let starts = (0..length - STRIDE).step_by(STRIDE);
    starts
        .map(|start| (start, (start + STRETCH).min(length)))
        .collect()
}

/// The samples of a text, one per stretch.
pub(crate) fn samples(normal: &Normal, hits: &[Hit]) -> Vec<Sample> {
    let mut all = Vec::new();
    features(&normal.text, |number, at| all.push((number, at)));
    let of = |(start, end): (usize, usize)| {
        let first = all.partition_point(|(_, at)| *at < start);
        let last = all.partition_point(|(_, at)| *at < end);
        let part = all.get(first..last).unwrap_or_default();
        let mut dense = tricks(normal.tricks);
        let inside = hits
            .iter()
            .filter(|hit| hit.start >= start && hit.end <= end);
        dense.extend(inside.map(|hit| hit.phrase as u32));
        Sample {
            hashed: part.iter().map(|(number, _)| *number).collect(),
            dense,
        }
    };
    stretches(normal.text.len()).into_iter().map(of).collect()
}

/// Marks a file of weights and its form.
const MAGIC: &[u8; 8] = b"SGINJ001";

impl Weights {
    /// The form of the file: magic, scale and bias as `f32`, count of dense weights as `u32`,
    /// these as `f32`, then one signed byte per hashed feature, all little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let most = self
            .hashed
            .iter()
            .fold(1e-6_f32, |most, w| most.max(w.abs()));
        // The few largest weights are cut, so that the many small ones keep their differences.
        let scale = (most / 127.0).min(0.05);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(scale.to_le_bytes());
        bytes.extend(self.bias.to_le_bytes());
        bytes.extend((self.dense.len() as u32).to_le_bytes());
        for weight in &self.dense {
            bytes.extend(weight.to_le_bytes());
        }
        let small = |weight: &f32| (weight / scale).round().clamp(-127.0, 127.0) as i8;
        bytes.extend(self.hashed.iter().map(|weight| small(weight) as u8));
        bytes
    }

    /// Reads what [`Weights::to_bytes`] wrote; `None` if it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Weights> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut four = || {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            rest = tail;
            Some(*head)
        };
        let scale = f32::from_le_bytes(four()?);
        let bias = f32::from_le_bytes(four()?);
        let count = u32::from_le_bytes(four()?);
        let dense: Option<Vec<f32>> = (0..count).map(|_| four().map(f32::from_le_bytes)).collect();
        let dense = dense?;
        let fits = rest.len() == SIZE && dense.len() == PHRASES.all.len() + TRICKS;
        fits.then(|| Weights {
            bias,
            hashed: rest
                .iter()
                .map(|byte| f32::from(*byte as i8) * scale)
                .collect(),
            dense,
        })
    }
}

/// Weights as they are stored: a quarter of the memory.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) bias: f32,
    pub(crate) scale: f32,
    hashed: Box<[i8]>,
    dense: Vec<f32>,
}

impl Packed {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Packed> {
        let weights = Weights::from_bytes(bytes)?;
        let (scale, _) = bytes.get(MAGIC.len()..)?.split_first_chunk::<4>()?;
        let hashed = bytes.get(bytes.len().checked_sub(SIZE)?..)?;
        Some(Packed {
            bias: weights.bias,
            scale: f32::from_le_bytes(*scale),
            hashed: hashed.iter().map(|byte| *byte as i8).collect(),
            dense: weights.dense,
        })
    }

    #[inline]
    pub(crate) fn hashed(&self, number: u32) -> i8 {
        self.hashed.get(number as usize).copied().unwrap_or(0)
    }

    pub(crate) fn dense(&self, number: u32) -> f32 {
        self.dense.get(number as usize).copied().unwrap_or(0.0)
    }
}
