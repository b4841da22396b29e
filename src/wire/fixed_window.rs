//! As much under way as fits into a pipe: no loss to learn from, and nobody else to be fair to.
//!
//! The byte streams below (ssh, and TCP under it) control the congestion of the network. QUIC only has to keep them busy
//! without filling their buffers for seconds. **Nothing here learns.**

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory};

/// A congestion window that stays what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedWindow {
    /// Bytes under way at once.
    pub(super) bytes: u64,
}

impl ControllerFactory for FixedWindow {
    fn build(self: Arc<Self>, _now: Instant, _current_mtu: u16) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

impl Controller for FixedWindow {
    /// What looks lost on a pipe was only late.
    fn on_congestion_event(&mut self, _now: Instant, _sent: Instant, _is_persistent: bool, _lost_bytes: u64) {}

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        self.bytes
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }

    fn initial_window(&self) -> u64 {
        self.bytes
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
