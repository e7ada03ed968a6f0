//! What every model is made of: a source of truth, tokens, and what must be in force when somebody reads.

use stateright::Rewrite;
use stateright::RewritePlan;

/// A state of the source of truth, numbered by its commit. Later ones are greater.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Version(pub(crate) u8);

/// What is unlike everything that was there before: the token of a tag, a lease, the name of a load.
///
/// Only whether two are the same counts, so states that differ in their numbers alone are one state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Token(pub(crate) u8);

/// The source of truth, with what the store and the processes hold of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World<S> {
    pub(crate) store: S,
    /// The newest version.
    pub(crate) committed: Version,
    /// The newest version whose invalidation has returned.
    pub(crate) applied: Version,
    /// Smaller tokens may be somewhere.
    pub(crate) unused: Token,
}

impl<S> World<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, committed: Version(0), applied: Version(0), unused: Token(0) }
    }

    /// A token that nobody has.
    pub(crate) fn fresh(&mut self) -> Token {
        let fresh = self.unused;
        self.unused.0 += 1;
        fresh
    }

    /// Changes the source of truth.
    pub(crate) fn commit(&mut self) -> Version {
        self.committed.0 += 1;
        self.committed
    }

    /// The invalidation for `version` has returned, and everybody may rely on it.
    pub(crate) fn apply(&mut self, version: Version) {
        self.applied = self.applied.max(version);
    }
}

/// What a model promises to its readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Law {
    /// I1: who comes after an invalidation has returned reads nothing from before it.
    NothingStaleSurvives,
    /// I2: who comes after a commit reads nothing from before it.
    ReadsNeverGoBack,
}

impl Law {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NothingStaleSurvives => "nothing stale survives an invalidation",
            Self::ReadsNeverGoBack => "reads never go back",
        }
    }

    /// The least that a reader may be given that comes now.
    pub(crate) fn in_force<S>(self, world: &World<S>) -> Version {
        match self {
            Self::NothingStaleSurvives => world.applied,
            Self::ReadsNeverGoBack => world.committed,
        }
    }
}

impl Rewrite<Self> for Token {
    fn rewrite<S>(&self, plan: &RewritePlan<Self, S>) -> Self {
        plan.rewrite(self)
    }
}

impl Rewrite<Token> for Version {
    fn rewrite<S>(&self, _: &RewritePlan<Token, S>) -> Self {
        *self
    }
}

/// Defines what a model is made of, and how its tokens are renamed.
macro_rules! part {
    ($(#[$meta:meta])* struct $name:ident { $($(#[$note:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) struct $name { $($(#[$note])* $field: $kind,)* }

        impl stateright::Rewrite<crate::world::Token> for $name {
            fn rewrite<S>(&self, plan: &stateright::RewritePlan<crate::world::Token, S>) -> Self {
                Self { $($field: self.$field.rewrite(plan),)* }
            }
        }
    };
    ($(#[$meta:meta])* enum $name:ident {
        $($(#[$note:meta])* $variant:ident $(($of:ident: $of_kind:ty))? $({ $($field:ident: $kind:ty),+ })?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) enum $name { $($(#[$note])* $variant $(($of_kind))? $({ $($field: $kind),+ })?,)* }

        impl stateright::Rewrite<crate::world::Token> for $name {
            fn rewrite<S>(&self, _plan: &stateright::RewritePlan<crate::world::Token, S>) -> Self {
                match self {
                    $(Self::$variant $(($of))? $({ $($field),+ })? =>
                        Self::$variant $(($of.rewrite(_plan)))? $({ $($field: $field.rewrite(_plan)),+ })?,)*
                }
            }
        }
    };
}

pub(crate) use part;
