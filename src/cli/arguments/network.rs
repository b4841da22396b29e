//! What the network between the hosts asks for.

use clap::Args;

use crate::seams::packet::PortRange;

/// How this host is seen from the network.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct NetworkArguments {
    /// UDP port to use, or several of which the first free one is taken
    ///
    /// For a firewall that lets only some through, as in 50000-50100. Without it the system chooses. A program that is
    /// started through ssh keeps to the same ports on its host; every other program has this option for its own.
    #[arg(long, value_name = "RANGE")]
    pub port: Option<PortRange>,
}
