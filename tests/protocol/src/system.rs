//! A protocol with its readers, mutators and faults, as a model whose every interleaving is visited.
//!
//! What holds:
//!
//! - any of them may take the next step, and a step is atomic;
//! - a reader comes with its first step, which is the strictest moment: what is in force never becomes less;
//! - what a reader is given is compared with what was in force when it came, here and for all models alike;
//! - states that differ only in the names of tokens, or in which of several like readers is where, are one state.

use std::cell::RefCell;
use std::fmt::Debug;
use std::hash::Hash;

use stateright::Model;
use stateright::Property;
use stateright::Rewrite;
use stateright::RewritePlan;

use crate::world::Law;
use crate::world::Token;
use crate::world::Version;
use crate::world::World;

/// What the processes do with the store, one atomic step after the other. Its rules are the fields of what implements this.
pub(crate) trait Protocol: Debug + Send + Sync + Sized + 'static {
    /// What the servers hold, and what the processes share.
    type Store: Part;
    /// Where a reader is, with what it knows.
    type Reader: Part;
    /// Where a mutator is, with what it knows.
    type Mutator: Part;
    /// What can go wrong.
    type Fault: Copy + PartialEq + Debug + Send + Sync;

    fn law(&self) -> Law;

    fn start(&self) -> Start<Self>;

    /// The next step of a reader.
    fn read(&self, reader: Self::Reader, world: &mut World<Self::Store>) -> Read<Self::Reader>;

    /// The next step of a mutator.
    fn mutate(&self, mutator: Self::Mutator, world: &mut World<Self::Store>) -> Mutate<Self::Mutator>;

    /// Lets something go wrong, if it can.
    fn strike(&self, fault: Self::Fault, world: &mut World<Self::Store>) -> bool;

    /// Kills a mutator, if this model wants it killed here.
    fn kill(&self, _: &Self::Mutator, _: &mut World<Self::Store>) -> bool {
        false
    }

    /// What a load returns now. Nobody is to be given better than that.
    fn source(&self, world: &World<Self::Store>) -> Version {
        world.committed
    }
}

/// What a state consists of.
pub(crate) trait Part: Clone + Ord + Hash + Debug + Rewrite<Token> + Send + Sync + 'static {}

impl<T: Clone + Ord + Hash + Debug + Rewrite<Token> + Send + Sync + 'static> Part for T {}

/// How a model begins, and its bounds.
pub(crate) struct Start<P: Protocol> {
    pub(crate) store: P::Store,
    pub(crate) readers: Vec<P::Reader>,
    pub(crate) mutators: Vec<P::Mutator>,
    pub(crate) faults: Vec<Faults<P::Fault>>,
}

/// Of these, so many happen.
#[derive(Clone, Debug)]
pub(crate) struct Faults<F> {
    pub(crate) any: Vec<F>,
    pub(crate) times: u8,
}

/// As many as can.
pub(crate) const ALWAYS: u8 = u8::MAX;

/// How a step of a reader ends.
pub(crate) enum Read<R> {
    /// It has to wait for somebody.
    Waits,
    Goes(R),
    /// The cache had this.
    Hit(Version),
    /// A load returned this, of this reader or of one that it joined.
    Loaded(Version),
    /// It has an answer that the cache does not vouch for.
    Over,
}

/// How a step of a mutator ends.
pub(crate) enum Mutate<M> {
    /// It has to wait for something.
    Waits,
    Goes(M),
    /// It returns.
    Over,
}

/// See [`Model`].
#[derive(Debug)]
pub(crate) struct System<P: Protocol> {
    protocol: P,
    law: Law,
    /// More of each than the protocol asks for.
    extra: Extra,
    faults: Vec<Faults<P::Fault>>,
}

/// How much larger than its row a model is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) readers: usize,
    pub(crate) faults: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State<S, R, M> {
    world: World<S>,
    readers: Vec<Reader<R>>,
    mutators: Vec<Option<M>>,
    /// How many faults of each kind may still happen.
    left: Vec<u8>,
    /// Somebody was given less than was in force when it came.
    broken: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Reader<R> {
    Away(R),
    Reads { least: Version, at: R },
    Gone,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Action<F> {
    Read(usize),
    Mutate(usize),
    Kill(usize),
    Fault { kind: usize, fault: F },
}

type StateOf<P> = State<<P as Protocol>::Store, <P as Protocol>::Reader, <P as Protocol>::Mutator>;

/// What a model can do at all: of one whose cache serves nobody, every law would hold.
pub(crate) const SERVED: &str = "the cache serves somebody";
/// No reader waits for what never comes.
pub(crate) const NOBODY_STRANDED: &str = "nobody waits for ever";

impl<P: Protocol> System<P> {
    pub(crate) fn new(protocol: P, extra: Extra) -> Self {
        let mut faults = protocol.start().faults;
        for kind in &mut faults {
            if kind.times != 0 && kind.times != ALWAYS {
                kind.times += extra.faults;
            }
        }
        Self { law: protocol.law(), protocol, extra, faults }
    }

    /// The state after a step of `reader`, and whether the cache served it; `None` if it has to wait.
    fn read(&self, state: &StateOf<P>, reader: usize) -> Option<(StateOf<P>, bool)> {
        let (least, at) = match state.readers.get(reader)? {
            Reader::Away(at) => (self.law.in_force(&state.world), at.clone()),
            Reader::Reads { least, at } => (*least, at.clone()),
            Reader::Gone => return None,
        };
        let mut next = state.clone();
        let read = self.protocol.read(at, &mut next.world);
        let hit = matches!(read, Read::Hit(_));
        next.readers[reader] = match read {
            Read::Waits => return None,
            Read::Goes(at) => Reader::Reads { least, at },
            Read::Hit(value) | Read::Loaded(value) => {
                next.broken = value < least.min(self.protocol.source(&next.world));
                Reader::Gone
            }
            Read::Over => Reader::Gone,
        };
        Some((next, hit))
    }

    fn mutate(&self, state: &StateOf<P>, mutator: usize) -> Option<StateOf<P>> {
        let at = state.mutators[mutator].clone()?;
        let mut next = state.clone();
        next.mutators[mutator] = match self.protocol.mutate(at, &mut next.world) {
            Mutate::Waits => return None,
            Mutate::Goes(at) => Some(at),
            Mutate::Over => None,
        };
        Some(next)
    }

    fn kill(&self, state: &StateOf<P>, mutator: usize) -> Option<StateOf<P>> {
        let mut next = state.clone();
        let killed = next.mutators[mutator].take()?;
        self.protocol.kill(&killed, &mut next.world).then_some(next)
    }

    fn strike(&self, state: &StateOf<P>, kind: usize, fault: P::Fault) -> Option<StateOf<P>> {
        let mut next = state.clone();
        if next.left[kind] != ALWAYS {
            next.left[kind] -= 1;
        }
        self.protocol.strike(fault, &mut next.world).then_some(next)
    }

    fn step(&self, state: &StateOf<P>, action: Action<P::Fault>) -> Option<StateOf<P>> {
        match action {
            Action::Read(reader) => self.read(state, reader).map(|(next, _)| next),
            Action::Mutate(mutator) => self.mutate(state, mutator),
            Action::Kill(mutator) => self.kill(state, mutator),
            Action::Fault { kind, fault } => self.strike(state, kind, fault),
        }
    }
}

impl<P: Protocol> Model for System<P> {
    type State = StateOf<P>;
    type Action = Action<P::Fault>;

    fn init_states(&self) -> Vec<Self::State> {
        let Start { store, mut readers, mutators, .. } = self.protocol.start();
        readers.extend(vec![readers[0].clone(); self.extra.readers]);
        let state = State {
            world: World::new(store),
            readers: readers.into_iter().map(Reader::Away).collect(),
            mutators: mutators.into_iter().map(Some).collect(),
            left: self.faults.iter().map(|kind| kind.times).collect(),
            broken: false,
        };
        vec![state.canonical()]
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>) {
        if state.broken {
            return;
        }
        let readers = 0..state.readers.len();
        // They are sorted, and what one of two like ones does is what the other does.
        let distinct = readers.filter(|&reader| reader == 0 || state.readers[reader] != state.readers[reader - 1]);
        actions.extend(distinct.map(Action::Read));
        for mutator in 0..state.mutators.len() {
            actions.extend([Action::Mutate(mutator), Action::Kill(mutator)]);
        }
        for (kind, faults) in self.faults.iter().enumerate().filter(|(kind, _)| state.left[*kind] > 0) {
            actions.extend(faults.any.iter().map(|&fault| Action::Fault { kind, fault }));
        }
    }

    fn next_state(&self, state: &Self::State, action: Self::Action) -> Option<Self::State> {
        Some(self.step(state, action)?.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(self.law.name(), |_, state: &Self::State| !state.broken),
            Property::always(NOBODY_STRANDED, |system: &Self, state: &Self::State| {
                let mut actions = Vec::new();
                system.actions(state, &mut actions);
                let done = state.broken || state.readers.iter().all(|reader| *reader == Reader::Gone);
                done || actions.into_iter().any(|action| system.step(state, action).is_some())
            }),
            Property::sometimes(SERVED, |system: &Self, state: &Self::State| {
                let mut readers = 0..state.readers.len();
                readers.any(|reader| system.read(state, reader).is_some_and(|(_, hit)| hit))
            }),
        ]
    }
}

impl<S: Part, R: Part, M: Part> State<S, R, M> {
    /// The one that stands for all that differ from it only in names.
    fn canonical(self) -> Self {
        // The second time, tokens are named in the order of those who hold them.
        self.renamed().renamed()
    }

    fn renamed(&self) -> Self {
        let names = RewritePlan::new(RefCell::new(Vec::new()), |token: &Token, seen: &RefCell<Vec<Token>>| {
            let mut seen = seen.borrow_mut();
            let known = seen.iter().position(|other| other == token);
            Token(known.unwrap_or_else(|| {
                seen.push(*token);
                seen.len() - 1
            }) as u8)
        });
        let store = self.world.store.rewrite(&names);
        let mut readers = self.readers.rewrite(&names);
        let mut mutators = self.mutators.rewrite(&names);
        readers.sort_unstable();
        mutators.sort_unstable();
        let unused = Token(names.get_state().borrow().len() as u8);
        let world = World { store, unused, ..self.world };
        Self { world, readers, mutators, left: self.left.clone(), broken: self.broken }
    }
}

impl<R: Rewrite<Token>> Rewrite<Token> for Reader<R> {
    fn rewrite<S>(&self, plan: &RewritePlan<Token, S>) -> Self {
        match self {
            Self::Away(at) => Self::Away(at.rewrite(plan)),
            Self::Reads { least, at } => Self::Reads { least: *least, at: at.rewrite(plan) },
            Self::Gone => Self::Gone,
        }
    }
}
