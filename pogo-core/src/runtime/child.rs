//! What users write: a [`Child`], its arguments, its state, and how it ends.

use std::{error::Error, fmt::Display, future::Future};

use serde::{Serialize, de::DeserializeOwned};

use super::context::ChildContext;
use crate::{
    id::{ChildId, Kind},
    spec::{Args, ChildSpec, SpecError},
};

/// Why a child failed: any error that `?` meets, or a text (`Err("no route".into())`).
pub type ChildError = Box<dyn Error + Send + Sync>;

/// How a child's run ends. `Ok` is a completion unless a stop was asked for before (R4); an error
/// is restarted by the rules of R11.
pub type Exit = Result<(), ChildError>;

/// The code of one kind of child.
///
/// A member that offers the kind holds one value of it, which carries what every child of the kind
/// needs there; each run borrows it.
pub trait Child: Send + Sync + 'static {
    /// The name of the kind, the same on every member that offers it.
    const KIND: &'static str;

    /// What one child is given. It travels as JSON, so that operators can read it.
    type Args: Serialize + DeserializeOwned + Send;

    /// What an instance hands to its successor in a planned move; `()` where there is nothing.
    type State: Serialize + DeserializeOwned + Send + 'static;

    /// Runs one child until it ends by itself or [`ChildContext::stopping`] resolves.
    ///
    /// # Cancel safety
    /// The future is dropped at an await point when the child's grace period has run out.
    fn run(
        &self,
        args: Self::Args,
        cx: ChildContext<Self::State>,
    ) -> impl Future<Output = Exit> + Send;
}

impl ChildSpec {
    /// A permanent child of kind `C` with default settings; its id is `<kind>/<name>`.
    ///
    /// # Errors
    /// [`SpecError`] where the id breaks a limit of R26 or the arguments have no JSON form.
    pub fn new<C: Child>(name: impl Display, args: &C::Args) -> Result<Self, SpecError> {
        let id = ChildId::new(format!("{}/{name}", C::KIND))?;
        Ok(Self::of_kind(id, Kind::new(C::KIND)?, Args::new(args)?))
    }
}
