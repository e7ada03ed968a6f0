//! Runs a model: a law holds in every state, or the checker shows how it breaks.

use std::collections::BTreeSet;
use std::str::FromStr;

use stateright::Checker;
use stateright::HasDiscoveries;
use stateright::Model;

use crate::system::Extra;
use crate::system::Protocol;
use crate::system::System;

/// No model that is worth running has fewer.
const LEAST_STATES: usize = 100;

/// Visits every state, in each of which the law holds, and in some of which the cache serves somebody.
pub(crate) fn holds<P: Protocol>(protocol: P) {
    let system = System::new(protocol, extra());
    let checker = system.checker().spawn_bfs().join();
    // Also that nothing is left to be visited.
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states >= LEAST_STATES, "{states} states are none");
    say("holds", states, checker.max_depth() - 1);
}

/// Finds a way to break the law.
pub(crate) fn breaks<P: Protocol>(protocol: P) {
    let law = protocol.law().name();
    let system = System::new(protocol, extra());
    let found = HasDiscoveries::AnyOf(BTreeSet::from([law]));
    let checker = system.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(law);
    say("**broken**", checker.unique_state_count(), path.into_actions().len());
}

/// How much larger than its row each model is made.
fn extra() -> Extra {
    Extra { readers: variable("PROTOCOL_READERS"), faults: variable("PROTOCOL_FAULTS") }
}

fn variable<T: FromStr + Default>(name: &str) -> T {
    let Ok(text) = std::env::var(name) else { return T::default() };
    text.parse().unwrap_or_else(|_| panic!("`{text}` in {name} is not a number"))
}

/// A row of the table in docs/reliability.md.
fn say(verdict: &str, states: usize, steps: usize) {
    let thread = std::thread::current();
    let (model, law) = thread.name().and_then(|name| name.split_once("::tests::")).unwrap_or_default();
    let row = format!("| `{model}` | {} | {verdict} | {states} | {steps} |\n", law.replace('_', " "));
    // At once, so that no other test writes into it.
    eprint!("{row}");
}

mod tests {
    use super::*;
    use crate::system::Faults;
    use crate::system::Mutate;
    use crate::system::Read;
    use crate::system::Start;
    use crate::world::Law;
    use crate::world::Version;
    use crate::world::World;

    /// Three readers that walk for so many steps, to one end.
    #[derive(Debug)]
    struct Walk {
        steps: u8,
        end: End,
    }

    #[derive(Debug)]
    enum End {
        Hit,
        Loaded,
        Waits,
    }

    impl Protocol for Walk {
        type Store = ();
        type Reader = u8;
        type Mutator = ();
        type Fault = ();

        fn law(&self) -> Law {
            Law::NothingStaleSurvives
        }

        fn start(&self) -> Start<Self> {
            Start { store: (), readers: vec![self.steps; 3], mutators: Vec::new(), faults: Vec::<Faults<()>>::new() }
        }

        fn read(&self, left: u8, _: &mut World<()>) -> Read<u8> {
            match (left, &self.end) {
                (1.., _) => Read::Goes(left - 1),
                (0, End::Hit) => Read::Hit(Version(0)),
                (0, End::Loaded) => Read::Loaded(Version(0)),
                (0, End::Waits) => Read::Waits,
            }
        }

        fn mutate(&self, (): (), _: &mut World<()>) -> Mutate<()> {
            Mutate::Over
        }

        fn strike(&self, (): (), _: &mut World<()>) -> bool {
            false
        }
    }

    #[test]
    #[should_panic(expected = "Discovery for \"the cache serves somebody\" not found")]
    fn a_cache_that_serves_nobody_proves_nothing() {
        holds(Walk { steps: 10, end: End::Loaded });
    }

    #[test]
    #[should_panic(expected = "Unexpected \"nobody waits for ever\" counterexample")]
    fn a_reader_that_waits_for_ever_is_noticed() {
        holds(Walk { steps: 10, end: End::Waits });
    }

    #[test]
    #[should_panic(expected = "states are none")]
    fn a_model_of_a_few_states_proves_nothing() {
        holds(Walk { steps: 1, end: End::Hit });
    }

    #[test]
    #[should_panic(expected = "Discovery for \"nothing stale survives an invalidation\" not found")]
    fn a_control_that_breaks_nothing_is_noticed() {
        breaks(Walk { steps: 10, end: End::Hit });
    }
}
