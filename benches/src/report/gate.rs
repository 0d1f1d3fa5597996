//! The performance bounds of the project, for the medians of the rounds.

use super::{
    statistics::{median, ratio},
    table::{best_of, best_peer, format_value},
};
use crate::{
    metric::{
        BULK_DOWN_1, BULK_DOWN_8, BULK_UP_1, BULK_UP_8, COLD_NOTIFY_P50, COLD_TCP_P50, COLD_THAW_P50,
        COLD_UNIX_P50, CONNECTIONS_FIN, CONNECTIONS_RESET, IDLE_DESCRIPTORS, IDLE_IN_PIPES, IDLE_PIPES,
        IDLE_REST, IDLE_USER, LATENCY_P50, LIMIT, MESSAGES, Metric, STARTUP, STUCK,
    },
    plan::Plan,
    results::Results,
    subjects::{DORMOUSE, FLOOR, HAPROXY, HAPROXY_2, NGINX, SOCKET_PROXYD},
    transport::Transport,
};

/// What dormouse is compared with.
#[derive(Clone, Copy)]
enum Reference {
    SocketProxyd,
    /// The faster of one and two threads.
    HaProxy,
    Nginx,
    BestPeer,
    /// Nothing: the bound is absolute.
    None,
}

struct Bound {
    metrics: &'static [&'static Metric],
    reference: Reference,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

static BULK: &[&Metric] = &[&BULK_UP_1, &BULK_DOWN_1, &BULK_UP_8, &BULK_DOWN_8];
static CONNECTIONS: &[&Metric] = &[&CONNECTIONS_FIN, &CONNECTIONS_RESET];

static BOUNDS: &[Bound] = &[
    Bound { metrics: BULK, reference: Reference::SocketProxyd, limit: Limit::AtLeast(1.15) },
    Bound { metrics: BULK, reference: Reference::HaProxy, limit: Limit::AtLeast(1.5) },
    Bound { metrics: BULK, reference: Reference::Nginx, limit: Limit::AtLeast(1.3) },
    Bound { metrics: &[&MESSAGES], reference: Reference::SocketProxyd, limit: Limit::AtLeast(3.0) },
    Bound { metrics: &[&MESSAGES], reference: Reference::BestPeer, limit: Limit::AtLeast(1.05) },
    Bound { metrics: CONNECTIONS, reference: Reference::SocketProxyd, limit: Limit::AtLeast(1.6) },
    Bound { metrics: CONNECTIONS, reference: Reference::BestPeer, limit: Limit::AtLeast(1.05) },
    Bound { metrics: &[&LATENCY_P50], reference: Reference::BestPeer, limit: Limit::AtMost(1.0) },
    Bound { metrics: &[&STARTUP], reference: Reference::SocketProxyd, limit: Limit::AtMost(0.6) },
    Bound { metrics: &[&IDLE_REST], reference: Reference::SocketProxyd, limit: Limit::AtMost(0.4) },
    Bound { metrics: &[&IDLE_USER], reference: Reference::None, limit: Limit::AtMost(2.5) },
    Bound { metrics: &[&IDLE_DESCRIPTORS], reference: Reference::None, limit: Limit::AtMost(2.0) },
    Bound { metrics: &[&IDLE_PIPES, &IDLE_IN_PIPES], reference: Reference::None, limit: Limit::AtMost(0.0) },
    Bound { metrics: &[&STUCK, &LIMIT], reference: Reference::None, limit: Limit::AtMost(2.0) },
    Bound {
        metrics: &[&COLD_UNIX_P50, &COLD_NOTIFY_P50],
        reference: Reference::None,
        limit: Limit::AtMost(1.0),
    },
    Bound { metrics: &[&COLD_TCP_P50], reference: Reference::None, limit: Limit::AtMost(15.0) },
    Bound { metrics: &[&COLD_THAW_P50], reference: Reference::None, limit: Limit::AtMost(5.0) },
];

/// Prints a line for each bound of a planned metric. Returns false if a bound is missed or has no value.
pub(super) fn check(plan: &Plan, results: &Results) -> bool {
    let mut missed = 0;
    for &transport in &plan.transports {
        println!("bounds, {transport}:");
        for bound in BOUNDS {
            for metric in bound.metrics.iter().filter(|metric| is_planned(metric, plan, transport)) {
                let result = bound.check(metric, plan, results, transport);
                missed += usize::from(!result.met);
                println!("  {} {}", if result.met { "PASS" } else { "FAIL" }, result.text);
            }
        }
    }
    println!("bounds missed: {missed}");
    missed == 0
}

fn is_planned(metric: &Metric, plan: &Plan, transport: Transport) -> bool {
    plan.cases.iter().any(|case| case.has_metric(metric) && case.exists_on(transport))
}

struct BoundResult {
    met: bool,
    text: String,
}

impl Bound {
    fn check(&self, metric: &Metric, plan: &Plan, results: &Results, transport: Transport) -> BoundResult {
        let values = results.of(metric.key, transport, DORMOUSE);
        let base = match self.reference {
            Reference::SocketProxyd => Some(SOCKET_PROXYD),
            Reference::HaProxy => best_of(metric, results, transport, [HAPROXY, HAPROXY_2].into_iter()),
            Reference::Nginx => Some(NGINX),
            Reference::BestPeer => best_peer(metric, plan, results, transport),
            Reference::None => None,
        };
        let ratio_to_base = |values| {
            let base_values = results.of(metric.key, transport, base?);
            ratio(values, base_values).map(|ratio| ratio.of_medians)
        };
        let found = match self.reference {
            Reference::None => median(values),
            _ => ratio_to_base(values),
        };
        let floor = ratio_to_base(results.of(metric.key, transport, FLOOR));
        let divisor = base.map(|base| format!(" / {base}")).unwrap_or_default();
        let (sign, limit) = match self.limit {
            Limit::AtLeast(limit) => ('≥', limit),
            Limit::AtMost(limit) => ('≤', limit),
        };
        let shown = found.map_or_else(|| "no value".into(), format_value);
        let floor = floor.map(|floor| format!("; floor: {}", format_value(floor))).unwrap_or_default();
        BoundResult {
            met: found.is_some_and(|found| self.limit.holds(found)),
            text: format!("{}{divisor}: {shown} (bound {sign} {limit}{floor})", metric.title),
        }
    }
}

impl Limit {
    /// Checks a value at the precision of two digits that the tables show.
    fn holds(self, value: f64) -> bool {
        const HALF_DIGIT: f64 = 0.005;
        match self {
            Self::AtLeast(limit) => value >= limit - HALF_DIGIT,
            Self::AtMost(limit) => value < limit + HALF_DIGIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;

    #[test]
    fn a_limit_is_checked_at_the_displayed_precision() {
        assert!(Limit::AtLeast(1.05).holds(1.046));
        assert!(!Limit::AtLeast(1.05).holds(1.04));
        assert!(Limit::AtMost(1.0).holds(1.004));
        assert!(!Limit::AtMost(1.0).holds(1.01));
        assert!(!Limit::AtMost(2.0).holds(f64::NAN));
    }

    #[test]
    fn every_bound_belongs_to_the_metric_of_one_case() {
        for metric in BOUNDS.iter().flat_map(|bound| bound.metrics) {
            assert_eq!(Case::ALL.iter().filter(|case| case.has_metric(metric)).count(), 1, "{}", metric.key);
        }
    }
}
