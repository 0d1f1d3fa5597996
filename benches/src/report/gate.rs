//! The bounds that the project sets itself, on the medians of the rounds.

use super::{
    statistics::{median, ratio},
    table::{best_of, best_peer, figure},
};
use crate::{
    cli::Plan,
    metric::{
        BULK_DOWN_1, BULK_DOWN_8, BULK_UP_1, BULK_UP_8, COLD_NOTIFY_P50, COLD_TCP_P50, COLD_THAW_P50,
        COLD_UNIX_P50, CONNECTIONS_FIN, CONNECTIONS_RESET, IDLE_DESCRIPTORS, IDLE_IN_PIPES, IDLE_PIPES,
        IDLE_REST, IDLE_USER, LATENCY_P50, LIMIT, MESSAGES, Metric, STARTUP, STUCK,
    },
    run::Results,
    site::Transport,
    subjects::{DORMOUSE, FLOOR, HAPROXY, HAPROXY_2, NGINX, ORIGINAL},
};

/// What dormouse is held against.
#[derive(Clone, Copy)]
enum Against {
    Original,
    /// The faster of one and two threads.
    HaProxy,
    Nginx,
    BestPeer,
    /// Nobody: the value itself is bounded.
    Nothing,
}

struct Bound {
    metrics: &'static [&'static Metric],
    against: Against,
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
    Bound { metrics: BULK, against: Against::Original, limit: Limit::AtLeast(1.15) },
    Bound { metrics: BULK, against: Against::HaProxy, limit: Limit::AtLeast(1.5) },
    Bound { metrics: BULK, against: Against::Nginx, limit: Limit::AtLeast(1.3) },
    Bound { metrics: &[&MESSAGES], against: Against::Original, limit: Limit::AtLeast(3.0) },
    Bound { metrics: &[&MESSAGES], against: Against::BestPeer, limit: Limit::AtLeast(1.05) },
    Bound { metrics: CONNECTIONS, against: Against::Original, limit: Limit::AtLeast(1.6) },
    Bound { metrics: CONNECTIONS, against: Against::BestPeer, limit: Limit::AtLeast(1.05) },
    Bound { metrics: &[&LATENCY_P50], against: Against::BestPeer, limit: Limit::AtMost(1.0) },
    Bound { metrics: &[&STARTUP], against: Against::Original, limit: Limit::AtMost(0.6) },
    Bound { metrics: &[&IDLE_REST], against: Against::Original, limit: Limit::AtMost(0.4) },
    Bound { metrics: &[&IDLE_USER], against: Against::Nothing, limit: Limit::AtMost(2.5) },
    Bound { metrics: &[&IDLE_DESCRIPTORS], against: Against::Nothing, limit: Limit::AtMost(2.0) },
    Bound { metrics: &[&IDLE_PIPES, &IDLE_IN_PIPES], against: Against::Nothing, limit: Limit::AtMost(0.0) },
    Bound { metrics: &[&STUCK, &LIMIT], against: Against::Nothing, limit: Limit::AtMost(2.0) },
    Bound {
        metrics: &[&COLD_UNIX_P50, &COLD_NOTIFY_P50],
        against: Against::Nothing,
        limit: Limit::AtMost(1.0),
    },
    Bound { metrics: &[&COLD_TCP_P50], against: Against::Nothing, limit: Limit::AtMost(15.0) },
    Bound { metrics: &[&COLD_THAW_P50], against: Against::Nothing, limit: Limit::AtMost(5.0) },
];

/// Prints a line for each bound on what was to be measured; false if one is missed or has no value.
pub(super) fn judge(plan: &Plan, results: &Results) -> bool {
    let mut missed = 0;
    for &transport in &plan.transports {
        println!("bounds, {transport}:");
        for bound in BOUNDS {
            for metric in bound.metrics.iter().filter(|metric| is_planned(metric, plan, transport)) {
                let verdict = bound.judge(metric, plan, results, transport);
                missed += usize::from(!verdict.kept);
                println!("  {} {}", if verdict.kept { "PASS" } else { "FAIL" }, verdict.text);
            }
        }
    }
    println!("{missed} bounds missed");
    missed == 0
}

fn is_planned(metric: &Metric, plan: &Plan, transport: Transport) -> bool {
    plan.cases.iter().any(|case| case.yields(metric) && case.possible(transport))
}

struct Verdict {
    kept: bool,
    text: String,
}

impl Bound {
    fn judge(&self, metric: &Metric, plan: &Plan, results: &Results, transport: Transport) -> Verdict {
        let ours = results.of(metric.key, transport, DORMOUSE);
        let rival = match self.against {
            Against::Original => Some(ORIGINAL),
            Against::HaProxy => best_of(metric, results, transport, [HAPROXY, HAPROXY_2].into_iter()),
            Against::Nginx => Some(NGINX),
            Against::BestPeer => best_peer(metric, plan, results, transport),
            Against::Nothing => None,
        };
        let beside_rival = |values| {
            let rivals = results.of(metric.key, transport, rival?);
            ratio(values, rivals).map(|ratio| ratio.of_medians)
        };
        let found = match self.against {
            Against::Nothing => median(ours),
            _ => beside_rival(ours),
        };
        let floor = beside_rival(results.of(metric.key, transport, FLOOR));
        let beside = rival.map(|rival| format!(" / {rival}")).unwrap_or_default();
        let (sign, limit) = match self.limit {
            Limit::AtLeast(limit) => ('≥', limit),
            Limit::AtMost(limit) => ('≤', limit),
        };
        let shown = found.map_or_else(|| "no value".into(), figure);
        let floor = floor.map(|floor| format!("; the floor: {}", figure(floor))).unwrap_or_default();
        Verdict {
            kept: found.is_some_and(|found| self.limit.holds(found)),
            text: format!("{}{beside}: {shown} (bound {sign} {limit}{floor})", metric.title),
        }
    }
}

impl Limit {
    /// Judged to the two digits that the tables show.
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
    fn a_limit_is_judged_as_it_is_shown() {
        assert!(Limit::AtLeast(1.05).holds(1.046));
        assert!(!Limit::AtLeast(1.05).holds(1.04));
        assert!(Limit::AtMost(1.0).holds(1.004));
        assert!(!Limit::AtMost(1.0).holds(1.01));
        assert!(!Limit::AtMost(2.0).holds(f64::NAN));
    }

    #[test]
    fn every_bound_is_on_something_that_a_case_yields() {
        for metric in BOUNDS.iter().flat_map(|bound| bound.metrics) {
            assert_eq!(Case::ALL.iter().filter(|case| case.yields(metric)).count(), 1, "{}", metric.key);
        }
    }
}
