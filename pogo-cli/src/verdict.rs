//! What a demo or a bench comes to.

/// Whether the cluster kept its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No child was lost or ran twice.
    Kept,
    /// One was, or did.
    Broken,
}
