//! Prometheus metrics: LiteLLM's names where dashboards know them, `sealgate_*` for what only we have.
//!
//! Label values come from the configuration and from fixed tables, never from a request: a client cannot create series.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a finished request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: &'static str,
    pub(crate) requested_model: Arc<str>,
    pub(crate) status_code: u16,
    pub(crate) hashed_api_key: Arc<str>,
}

/// Labels of what a provider was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ModelLabels {
    pub(crate) requested_model: Arc<str>,
    pub(crate) model_id: Arc<str>,
}

/// Labels of one check's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CheckLabels {
    pub(crate) guardrail_name: Arc<str>,
    pub(crate) status: &'static str,
}

/// Labels of a call that went to another model group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FallbackLabels {
    pub(crate) requested_model: Arc<str>,
    pub(crate) fallback_model: Arc<str>,
}

/// One fixed word as label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct WordLabel {
    pub(crate) code: &'static str,
}

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) failed: Family<RequestLabels, Counter>,
    pub(crate) tokens_in: Family<ModelLabels, Counter>,
    pub(crate) tokens_out: Family<ModelLabels, Counter>,
    pub(crate) spend: Family<ModelLabels, Counter<f64, std::sync::atomic::AtomicU64>>,
    pub(crate) total_latency: Histogram,
    pub(crate) provider_latency: Histogram,
    pub(crate) checks: Family<CheckLabels, Counter>,
    pub(crate) retries: Counter,
    pub(crate) good_fallbacks: Family<FallbackLabels, Counter>,
    pub(crate) failed_fallbacks: Family<FallbackLabels, Counter>,
    pub(crate) refusals: Family<WordLabel, Counter>,
    pub(crate) opened: Family<WordLabel, Counter>,
    pub(crate) in_flight: Gauge,
    pub(crate) sealed: Counter,
}

const SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            failed: Family::default(),
            tokens_in: Family::default(),
            tokens_out: Family::default(),
            spend: Family::default(),
            total_latency: Histogram::new(SECONDS),
            provider_latency: Histogram::new(SECONDS),
            checks: Family::default(),
            retries: Counter::default(),
            good_fallbacks: Family::default(),
            failed_fallbacks: Family::default(),
            refusals: Family::default(),
            opened: Family::default(),
            in_flight: Gauge::default(),
            sealed: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "litellm_proxy_total_requests_metric",
            "Finished requests",
            self.requests.clone(),
        );
        r.register(
            "litellm_proxy_failed_requests_metric",
            "Requests answered with an error",
            self.failed.clone(),
        );
        r.register(
            "litellm_input_tokens_metric",
            "Input tokens",
            self.tokens_in.clone(),
        );
        r.register(
            "litellm_output_tokens_metric",
            "Output tokens",
            self.tokens_out.clone(),
        );
        r.register("litellm_spend_metric", "Spend in USD", self.spend.clone());
        r.register_with_unit(
            "litellm_request_total_latency",
            "Whole request",
            Unit::Seconds,
            self.total_latency.clone(),
        );
        r.register_with_unit(
            "litellm_llm_api_latency",
            "Provider's share",
            Unit::Seconds,
            self.provider_latency.clone(),
        );
        r.register(
            "litellm_guardrail_requests",
            "Verdicts of checks",
            self.checks.clone(),
        );
        r.register(
            "sealgate_retries",
            "Attempts after the first one in their model group",
            self.retries.clone(),
        );
        r.register(
            "litellm_deployment_successful_fallbacks",
            "Calls that another model group answered",
            self.good_fallbacks.clone(),
        );
        r.register(
            "litellm_deployment_failed_fallbacks",
            "Calls that another model group did not answer either",
            self.failed_fallbacks.clone(),
        );
        r.register(
            "litellm_in_flight_requests",
            "Calls in progress",
            self.in_flight.clone(),
        );
        r.register(
            "sealgate_refusals",
            "Refused requests by code",
            self.refusals.clone(),
        );
        r.register(
            "sealgate_opened_switches",
            "Calls that a setting let pass unchecked",
            self.opened.clone(),
        );
        r.register(
            "sealgate_records_sealed",
            "Records handed to the ledger by calls",
            self.sealed.clone(),
        );
    }

    /// The exposition text, with `extra` gauges (name, help, value) that are read at scrape time.
    pub(crate) fn render(&self, extra: &[(&str, &str, u64)]) -> String {
        let mut out = String::with_capacity(8192);
        for (name, help, value) in extra {
            out.push_str(&format!(
                "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n"
            ));
        }
        // Writing into a String cannot fail; a failure would cut the text, which the missing `# EOF` shows.
        if text::encode(&mut out, &self.registry).is_err() {
            tracing::error!("metrics could not be rendered");
        }
        out
    }
}
