//! One measured value, as an actor reports it; the roles render them for Prometheus.

/// How a value behaves over time, in Prometheus's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A value with its name (without the program's prefix), help text and labels. Labels never name users or channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Snake case, with its unit, without the program's prefix.
    pub name: &'static str,
    /// One sentence for the reader of a dashboard.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value now.
    pub value: f64,
}

impl Metric {
    /// A value that only grows.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: Kind::Counter, labels: Vec::new(), value: value as f64 }
    }

    /// A value that goes up and down.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: Kind::Gauge, labels: Vec::new(), value: value as f64 }
    }

    /// The same metric with one more label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}
