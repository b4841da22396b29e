//! Congestion control: how much may be under way on a path. Ours, by a model of the path ([`model`]), or quinn's Cubic.
//!
//! What stands here only translates between quinn and the model. **Nothing is decided here.**

mod cubic;
mod delivery;
mod filters;
mod losses;
pub mod model;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

use self::model::Model;
use crate::seams::packet::Congestion;

/// What makes the controller of each new path; `first_window_bytes` may be under way before anything was measured.
pub(super) fn controllers(congestion: Congestion, first_window_bytes: u64) -> Arc<dyn ControllerFactory + Send + Sync> {
    match congestion {
        Congestion::Careful => Arc::new(CarefulFactory { first_window_bytes }),
        Congestion::Cubic => {
            let mut cubic = CubicConfig::default();
            cubic.initial_window(first_window_bytes);
            Arc::new(cubic)
        }
    }
}

#[derive(Debug)]
struct CarefulFactory {
    first_window_bytes: u64,
}

impl ControllerFactory for CarefulFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Careful(Model::new(now, u64::from(current_mtu), self.first_window_bytes)))
    }
}

#[derive(Clone, Debug)]
struct Careful(Model);

/// The time by the clock. What quinn tells was read before it took the packets from the socket: where its thread had to wait
/// meanwhile, some of them came later than that, and a path of a millisecond would look like one of half of it.
fn not_before(told: Instant) -> Instant {
    told.max(tokio::time::Instant::now().into_std())
}

impl Controller for Careful {
    /// The bytes are those of the whole batch so far, again with each packet of it: they cannot be added up.
    fn on_sent(&mut self, now: Instant, _batch_bytes: u64, _last_packet_number: u64) {
        self.0.sent(now);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, _app_limited: bool, rtt: &RttEstimator) {
        self.0.acknowledged(not_before(now), sent, bytes, rtt.get());
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _largest: Option<u64>) {
        self.0.acknowledgement_ended(not_before(now), in_flight, app_limited);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        if is_persistent_congestion {
            self.0.restart(now);
        } else if lost_bytes == 0 {
            self.0.marked(now, sent);
        } else {
            self.0.lost(now, sent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.set_datagram_bytes(u64::from(new_mtu));
    }

    fn window(&self) -> u64 {
        self.0.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.0.window();
        metrics.pacing_rate = Some(self.0.bandwidth() * 8);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.0.first_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod time_tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_that_was_read_before_the_packets_came_is_put_right() {
        let told = Instant::now();
        let packets_came = std::iter::repeat_with(Instant::now).find(|now| *now > told).unwrap();
        assert!(not_before(told) >= packets_came);
        let later = told + Duration::from_secs(3600);
        assert_eq!(not_before(later), later);
    }
}
