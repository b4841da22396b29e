//! What the network between the hosts asks for.

use clap::{Args, ValueEnum};

use crate::seams::Environment;
use crate::seams::packet::{Congestion, PortRange};

/// How this host is seen from the network.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct NetworkArguments {
    /// UDP port to use, or several of which the first free one is taken
    ///
    /// For a firewall that lets only some through, as in 50000-50100. Without it the system chooses. A program that is
    /// started through ssh keeps to the same ports on its host; every other program has this option for its own.
    #[arg(long, value_name = "RANGE")]
    pub port: Option<PortRange>,

    /// What decides how fast is sent over a network
    ///
    /// Beside others that keep a queue filled, as TCP does, the first sends like the second. It counts on the side that sends; a
    /// program that is started through ssh is told. Within one host and through a pipe of ssh it changes nothing.
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub congestion: CongestionChoice,
}

/// Value of `--congestion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CongestionChoice {
    /// By bandwidth and length of the path as measured; packets lost by chance slow nothing down, and queues stay short
    Careful,
    /// As TCP does by default; every lost packet is taken for congestion
    Cubic,
}

impl Default for CongestionChoice {
    fn default() -> Self {
        match Congestion::default() {
            Congestion::Careful => Self::Careful,
            Congestion::Cubic => Self::Cubic,
        }
    }
}

impl From<CongestionChoice> for Congestion {
    fn from(choice: CongestionChoice) -> Self {
        match choice {
            CongestionChoice::Careful => Self::Careful,
            CongestionChoice::Cubic => Self::Cubic,
        }
    }
}

impl NetworkArguments {
    /// The outside as a program with these arguments sees it.
    pub(crate) fn environment(&self) -> Environment {
        Environment::real_on(self.port, self.congestion.into())
    }
}
