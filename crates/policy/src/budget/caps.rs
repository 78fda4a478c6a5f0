//! The limits of one object, as an administrator set them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::span::Period;
use crate::money::MicroUsd;

/// One more budget with a window of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowCap {
    /// Length of the window.
    pub budget_duration: Period,
    /// Most that may be spent in it.
    pub max_budget: MicroUsd,
}

/// A budget for one model of a key or team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelCap {
    /// Most that may be spent.
    pub max_budget: MicroUsd,
    /// In which window; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_duration: Option<Period>,
}

/// Limits of a key, user, team or any other object. Absent means unlimited; zero allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// Most that may be spent in a window of `budget_duration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_budget: Option<MicroUsd>,
    /// Said when it is reached; refuses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_budget: Option<MicroUsd>,
    /// Window of `max_budget`; for ever when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_duration: Option<Period>,
    /// More budgets, all of which hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budget_limits: Vec<WindowCap>,
    /// Most that may be spent in a minute, so that a loop stops at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_spend_per_minute: Option<MicroUsd>,
    /// Budgets of single models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub model_max_budget: BTreeMap<Box<str>, ModelCap>,
    /// Calls a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm_limit: Option<u64>,
    /// Tokens a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_limit: Option<u64>,
    /// Tokens a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpd_limit: Option<u64>,
    /// Calls at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel_requests: Option<u32>,
    /// Calls a minute of single models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub model_rpm_limit: BTreeMap<Box<str>, u64>,
    /// Tokens a minute of single models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub model_tpm_limit: BTreeMap<Box<str>, u64>,
    /// Added to `max_budget` until `temp_budget_expiry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temp_budget_increase: Option<MicroUsd>,
    /// When the increase ends, microseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temp_budget_expiry: Option<i64>,
}

/// The period of `max_spend_per_minute`.
const MINUTE: Period = Period::Seconds(60);

impl Caps {
    /// Limits that no call fits.
    pub const NOTHING: Self = Self {
        max_budget: Some(MicroUsd::ZERO),
        soft_budget: None,
        budget_duration: None,
        budget_limits: Vec::new(),
        max_spend_per_minute: None,
        model_max_budget: BTreeMap::new(),
        rpm_limit: Some(0),
        tpm_limit: None,
        tpd_limit: None,
        max_parallel_requests: Some(0),
        model_rpm_limit: BTreeMap::new(),
        model_tpm_limit: BTreeMap::new(),
        temp_budget_increase: None,
        temp_budget_expiry: None,
    };

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any budget in money holds.
    #[must_use]
    pub fn limits_money(&self) -> bool {
        self.max_budget.is_some()
            || self.max_spend_per_minute.is_some()
            || !self.budget_limits.is_empty()
    }

    /// Every budget in money that holds at `now`: its period and its limit.
    pub fn budgets(&self, now: i64) -> impl Iterator<Item = (Option<Period>, MicroUsd)> + '_ {
        let extra = match (self.temp_budget_increase, self.temp_budget_expiry) {
            (Some(extra), Some(until)) if now < until => extra,
            _ => MicroUsd::ZERO,
        };
        let first = self.max_budget.map(|limit| {
            let raised = limit.checked_add(extra).unwrap_or(limit);
            (self.budget_duration, raised)
        });
        let more = self
            .budget_limits
            .iter()
            .map(|cap| (Some(cap.budget_duration), cap.max_budget));
        let minute = self.max_spend_per_minute.map(|limit| (Some(MINUTE), limit));
        first.into_iter().chain(more).chain(minute)
    }

    /// These limits, and those of `other` where nothing is said here.
    #[must_use]
    pub fn or(mut self, other: &Caps) -> Caps {
        if self.max_budget.is_none() {
            self.max_budget = other.max_budget;
            self.budget_duration = self.budget_duration.or(other.budget_duration);
            self.temp_budget_increase = self.temp_budget_increase.or(other.temp_budget_increase);
            self.temp_budget_expiry = self.temp_budget_expiry.or(other.temp_budget_expiry);
        }
        self.soft_budget = self.soft_budget.or(other.soft_budget);
        self.max_spend_per_minute = self.max_spend_per_minute.or(other.max_spend_per_minute);
        self.rpm_limit = self.rpm_limit.or(other.rpm_limit);
        self.tpm_limit = self.tpm_limit.or(other.tpm_limit);
        self.tpd_limit = self.tpd_limit.or(other.tpd_limit);
        self.max_parallel_requests = self.max_parallel_requests.or(other.max_parallel_requests);
        if self.budget_limits.is_empty() {
            self.budget_limits.clone_from(&other.budget_limits);
        }
        for (model, cap) in &other.model_max_budget {
            self.model_max_budget.entry(model.clone()).or_insert(*cap);
        }
        for (model, limit) in &other.model_rpm_limit {
            self.model_rpm_limit.entry(model.clone()).or_insert(*limit);
        }
        for (model, limit) in &other.model_tpm_limit {
            self.model_tpm_limit.entry(model.clone()).or_insert(*limit);
        }
        self
    }

    /// What a model of its own has, as limits of the object (key, model) or (team, model).
    #[must_use]
    pub fn of_model(&self, model: &str) -> Option<Caps> {
        let budget = self.model_max_budget.get(model);
        let (rpm, tpm) = (
            self.model_rpm_limit.get(model),
            self.model_tpm_limit.get(model),
        );
        if budget.is_none() && rpm.is_none() && tpm.is_none() {
            return None;
        }
        Some(Caps {
            max_budget: budget.map(|cap| cap.max_budget),
            budget_duration: budget.and_then(|cap| cap.budget_duration),
            rpm_limit: rpm.copied(),
            tpm_limit: tpm.copied(),
            ..Caps::default()
        })
    }
}
