//! How long answers took, since this process started.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::time::Duration;

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub method: String,
    /// The address with its parameters as names.
    pub path: String,
    pub status: u16,
}

/// What this process counts.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    seconds: Family<RequestLabels, Histogram>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        // 1 ms to 4 s.
        RequestMetrics { seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 7))) }
    }
}

impl RequestMetrics {
    /// Counts an answer.
    pub(super) fn observe(&self, labels: RequestLabels, took: Duration) {
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The metric, to be registered.
    pub(super) fn seconds(&self) -> Family<RequestLabels, Histogram> {
        self.seconds.clone()
    }
}
