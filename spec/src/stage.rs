//! The five stages between receive and transmit, in packet order.

/// A stage of the pipeline. Its name is the file name of both twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reads the headers and decides what is not for the balancer.
    Parse,
    /// Finds the service that the frame is addressed to.
    Classify,
    /// Hashes the 5-tuple.
    FlowHash,
    /// Chooses the backend.
    Select,
    /// Builds the outer headers.
    Rewrite,
}

impl Stage {
    /// All stages, in packet order.
    pub const ALL: [Self; 5] = [Self::Parse, Self::Classify, Self::FlowHash, Self::Select, Self::Rewrite];

    /// The stage's name, which is also the name of its file in both twins.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Classify => "classify",
            Self::FlowHash => "flow_hash",
            Self::Select => "select",
            Self::Rewrite => "rewrite",
        }
    }
}
