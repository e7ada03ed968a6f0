//! The model and a real store answer alike, whatever is asked of them.

use std::collections::HashMap;

use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::key::Name;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Steal;
use crate::store::Store;
use crate::store::Targets;
use crate::store::model::Model;
use crate::store::samples::LONG;
use crate::store::samples::name;
use crate::token::Generation;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::State;
use crate::token::Token;

/// Asks both the same, in histories that are drawn at random, each about names of its own.
pub(super) async fn answer_alike(store: &dyn Store) {
    for seed in 0..100 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut model = Model::new(rand::random);
        let (mut of_model, mut of_store) = (Seen::default(), Seen::default());
        let mut history = Vec::new();
        for _ in 0..60 {
            let asked = any(&mut random, seed);
            history.push(asked.clone());
            let expected = ask_model(&mut model, &mut of_model, asked.clone());
            let answer = ask(store, &mut of_store, asked).await;
            assert_eq!(answer, expected, "seed {seed}: {history:#?}");
        }
    }
}

fn asker(id: u128) -> LeaseId {
    LeaseId::asked(id << 64)
}

/// Tokens of one store by the order in which they were first seen, and leases by that in which they were given.
#[derive(Default)]
struct Seen {
    tokens: HashMap<Token, usize>,
    leases: Vec<LeaseId>,
}

impl Seen {
    fn token(&mut self, token: Token) -> usize {
        let next = self.tokens.len();
        *self.tokens.entry(token).or_insert(next)
    }

    fn states(&mut self, states: &[State]) -> String {
        let mut text = String::new();
        for state in states {
            text += &match *state {
                State::Absent => "absent ".to_owned(),
                State::Token(token) => format!("token {} ", self.token(token)),
                State::Pending { token, strict } => format!("pending {} {strict} ", self.token(token)),
            };
        }
        text
    }

    fn lease(&mut self, lease: Option<LeaseState>) -> String {
        match lease {
            Some(LeaseState::Marked { token, strict }) => format!("marked {} {strict}", self.token(token)),
            Some(LeaseState::Won(id)) => {
                self.leases.push(id);
                format!("won {}", self.place_of(id))
            }
            Some(LeaseState::Held { id, generation }) => format!("held {} {generation:?}", self.place_of(id)),
            other => format!("{other:?}"),
        }
    }

    fn entry(&self, entry: Option<(LeaseId, Blob)>) -> String {
        match entry {
            Some((lease, Blob::Bytes(bytes))) => format!("{bytes:?} of {}", self.place_of(lease)),
            Some((_, blob)) => panic!("{blob:?}"),
            None => "nothing".to_owned(),
        }
    }

    fn place_of(&self, lease: LeaseId) -> usize {
        self.leases.iter().position(|&given| given == lease).unwrap()
    }

    /// The lease that was given so many leases ago, or one that never was.
    fn lease_ago(&self, LeaseId(ago): LeaseId) -> LeaseId {
        self.leases.iter().rev().nth(ago as usize).copied().unwrap_or(asker(99))
    }

    /// The same with the leases of this store.
    fn with_leases(&self, mut asked: Asked) -> Asked {
        match &mut asked {
            Asked::Renew(_, lease, _) | Asked::Release(_, lease) | Asked::Fill(Fill { lease, .. }) => {
                *lease = self.lease_ago(*lease);
            }
            Asked::Begin(Begin { lease: Some(request), .. }) => {
                request.seen = request.seen.map(|lease| self.lease_ago(lease));
                if let Steal::From(lease) = &mut request.steal {
                    *lease = self.lease_ago(*lease);
                }
            }
            _ => {}
        }
        asked
    }
}

/// One thing to ask, on few enough names that they meet. A lease is said by how many were given since, but for who asks for one.
#[derive(Clone, Debug)]
enum Asked {
    Read(Read),
    Begin(Begin),
    Renew(Name, LeaseId, Generation),
    Release(Name, LeaseId),
    Fill(Fill),
    Mark(Targets, Mark),
    Revoke(Targets, Option<MarkId>),
}

fn any(random: &mut StdRng, seed: u64) -> Asked {
    let one_of = |random: &mut StdRng, kind: &str| name(&format!("{kind}{}:{seed}", random.random_range(0..2)));
    let key = one_of(random, "k");
    let lease = LeaseId(random.random_range(0..3));
    let id = MarkId(random.random_range(1..4));
    let registers = vec![Register::Tag(one_of(random, "t")), Register::Key(one_of(random, "k"))];
    let targets = match random.random_range(0..3) {
        0 => Targets { keys: vec![key.clone()], tags: Vec::new() },
        1 => Targets { keys: Vec::new(), tags: vec![one_of(random, "t")] },
        _ => Targets { keys: vec![key.clone()], tags: vec![one_of(random, "t")] },
    };
    match random.random_range(0..10) {
        0 | 1 => Asked::Read(Read { entry: Some(key), registers }),
        2 | 3 => {
            let steal = [Steal::Nobodys, Steal::From(LeaseId(random.random_range(0..3))), Steal::Anybodys]
                [random.random_range(0..3)];
            let generation = random.random::<bool>().then(|| Generation(random.random_range(0..3)));
            let seen = random.random::<bool>().then(|| LeaseId(random.random_range(0..3)));
            let request =
                LeaseRequest { key, id: asker(random.random_range(1..4)), generation, life: LONG, seen, steal };
            Asked::Begin(Begin { lease: random.random::<bool>().then_some(request), registers, token_life: LONG })
        }
        4 => Asked::Renew(key, lease, Generation(random.random_range(0..3))),
        5 => Asked::Release(key, lease),
        6 => {
            let blob = Blob::Bytes(random.random::<u64>().to_string().into());
            Asked::Fill(Fill {
                key,
                lease,
                blob,
                fresh: LONG,
                life: LONG,
                touch: registers,
                token_life: LONG,
                listing: None,
            })
        }
        7 | 8 => {
            let (strict, renew) = (random.random_range(0..4) == 0, random.random());
            Asked::Mark(targets, Mark { id, life: LONG, strict, renew, late: false })
        }
        _ => Asked::Revoke(targets, random.random::<bool>().then_some(id)),
    }
}

fn ask_model(model: &mut Model, seen: &mut Seen, asked: Asked) -> String {
    match seen.with_leases(asked) {
        Asked::Read(read) => {
            let reading = model.read(0, &read);
            format!("{} {}", seen.entry(reading.entry), seen.states(&reading.states))
        }
        Asked::Begin(begin) => {
            let begun = model.begin(0, &begin);
            format!("{} {}", seen.states(&begun.states), seen.lease(begun.lease))
        }
        Asked::Renew(key, lease, generation) => model.renew(0, &key, lease, generation, LONG).to_string(),
        Asked::Release(key, lease) => format!("{:?}", model.release(0, &key, lease)),
        Asked::Fill(fill) => model.fill(0, &fill).to_string(),
        Asked::Mark(targets, mark) => format!("{:?}", model.mark(0, &targets, &mark)),
        Asked::Revoke(targets, ended) => format!("{:?}", model.revoke(0, &targets, ended)),
    }
}

async fn ask(store: &dyn Store, seen: &mut Seen, asked: Asked) -> String {
    match seen.with_leases(asked) {
        Asked::Read(read) => {
            let reading = store.read(vec![read]).await.unwrap().pop().unwrap();
            format!("{} {}", seen.entry(reading.entry), seen.states(&reading.states))
        }
        Asked::Begin(begin) => {
            let begun = store.begin(begin).await.unwrap();
            format!("{} {}", seen.states(&begun.states), seen.lease(begun.lease))
        }
        Asked::Renew(key, lease, generation) => store.renew(key, lease, generation, LONG).await.unwrap().to_string(),
        Asked::Release(key, lease) => format!("{:?}", store.release(key, lease).await.unwrap()),
        Asked::Fill(fill) => store.fill(fill).await.unwrap().to_string(),
        Asked::Mark(targets, mark) => format!("{:?}", store.mark(targets, mark).await.unwrap()),
        Asked::Revoke(targets, ended) => format!("{:?}", store.revoke(targets, ended).await.unwrap()),
    }
}
