//! Readers and a mutator on the in-process store, by its own operations.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::sync::atomic::AtomicU64;
use shuttle::sync::atomic::Ordering;
use shuttle::thread;

use crate::clock::Clock;
use crate::envelope::Header;
use crate::key::Name;
use crate::local::Arriving;
use crate::local::Call;
use crate::local::Capacity;
use crate::local::Local;
use crate::local::Origin;
use crate::site::Instance;
use crate::site::Site;
use crate::store::Begin;
use crate::store::Blob;
use crate::store::Fill;
use crate::store::LeaseRequest;
use crate::store::LeaseState;
use crate::store::Mark;
use crate::store::Read;
use crate::store::Steal;
use crate::store::Store as _;
use crate::store::Targets;
use crate::token::Dependency;
use crate::token::LeaseId;
use crate::token::MarkId;
use crate::token::Register;
use crate::token::Token;

const LONG: Duration = Duration::from_secs(60);
static SITE: Site = Site::cached("model", "read").key("user:{id}");

struct World {
    local: Local,
    /// The database.
    row: AtomicU64,
    /// The commit whose mutator has returned.
    returned: AtomicU64,
    /// Whether entries carry the token of their tag.
    depends: bool,
}

fn key() -> Name {
    Name::new(b"user:7")
}

fn tag() -> Name {
    Name::new(b"users")
}

/// Two readers and one mutator, which marks and clears the tag or the key of what they read. A reader that begins after the mutator returned sees its commit.
pub fn nothing_stale_survives(by_tag: bool, depends: bool) {
    let (row, returned) = (AtomicU64::new(0), AtomicU64::new(0));
    let local = Local::new(Capacity::Entries(100), Clock::held());
    let world = Arc::new(World { local, row, returned, depends });
    let readers: Vec<_> = (1..3)
        .map(|number| {
            let world = world.clone();
            thread::spawn(move || (0..2).for_each(|turn| world.read_and_check(10 * number + turn)))
        })
        .collect();
    world.mutate(by_tag);
    world.read_and_check(99);
    for reader in readers {
        reader.join().unwrap();
    }
    world.read_and_check(100);
}

/// Of two who read an entry and the token of its key, as loads around it do, one makes the token that the other may see. Whoever has a token that stands after the mutator returned, has the
/// value of its commit.
pub fn a_value_and_the_token_of_its_key_belong_together() {
    let (row, returned) = (AtomicU64::new(0), AtomicU64::new(0));
    let local = Local::new(Capacity::Entries(100), Clock::held());
    let world = Arc::new(World { local, row, returned, depends: false });
    world.load(1);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let world = world.clone();
            thread::spawn(move || world.read_with_token())
        })
        .collect();
    let mutator = {
        let world = world.clone();
        thread::spawn(move || world.mutate(false))
    };
    let read: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    mutator.join().unwrap();
    let (_, now) = world.read_with_token();
    for (value, token) in read {
        assert!(value != Some(0) || token.is_none() || token != now, "{value:?} is read with {token:?}, which stands");
    }
}

impl World {
    /// The entry, and the token of its key, which is made before.
    fn read_with_token(&self) -> (Option<u64>, Option<Token>) {
        let register = Register::Key(key());
        let begin = Begin { lease: None, registers: vec![register.clone()], token_life: LONG };
        block_on(self.local.begin(begin)).unwrap();
        let read = Read { entry: Some(key()), registers: vec![register] };
        let reading = block_on(self.local.read(vec![read])).unwrap().remove(0);
        let value = reading.entry.and_then(|(_, blob)| match blob {
            Blob::Value(held) => held.value()?.downcast_ref().copied(),
            Blob::Bytes(_) | Blob::Bygone => None,
        });
        (value, reading.states[0].usable())
    }

    fn read_and_check(&self, number: u64) {
        let least = self.returned.load(Ordering::SeqCst);
        let value = self.hit().unwrap_or_else(|| self.load(number));
        assert!(value >= least, "commit {least} was in force, and {value} is read");
    }

    fn hit(&self) -> Option<u64> {
        let call = Call { site: &SITE, instance: Instance::NONE, tags: None };
        let kept = self.local.hit(key().as_str().as_bytes(), &call)?;
        kept.value().copied()
    }

    /// Captures, loads, and stores if it may.
    fn load(&self, number: u64) -> u64 {
        let lease = LeaseRequest {
            key: key(),
            id: LeaseId::asked(u128::from(number) << 64),
            generation: None,
            life: LONG,
            seen: None,
            steal: Steal::Nobodys,
        };
        let register = Register::Tag(tag());
        let begin = Begin { lease: Some(lease), registers: vec![register.clone()], token_life: LONG };
        let begun = block_on(self.local.begin(begin)).unwrap();
        let value = self.row.load(Ordering::SeqCst);
        if let (Some(LeaseState::Won(lease)), Some(token)) = (begun.lease, begun.states[0].usable()) {
            let dependencies = if self.depends { vec![Dependency { register, token }] } else { Vec::new() };
            let filled = block_on(self.local.fill(fill(lease, value, dependencies))).unwrap();
            if !filled {
                block_on(self.local.release(key(), lease)).unwrap();
            }
        }
        value
    }

    fn mutate(&self, by_tag: bool) {
        let targets = match by_tag {
            true => Targets { keys: Vec::new(), tags: vec![tag()] },
            false => Targets { keys: vec![key()], tags: Vec::new() },
        };
        let id = MarkId(7);
        block_on(self.local.mark(targets.clone(), Mark { id, life: LONG, strict: false, renew: false, late: false }))
            .unwrap();
        self.row.store(1, Ordering::SeqCst);
        block_on(self.local.revoke(targets, Some(id))).unwrap();
        self.returned.store(1, Ordering::SeqCst);
    }
}

fn fill(lease: LeaseId, value: u64, dependencies: Vec<Dependency>) -> Fill {
    let header = Header {
        schema: 1,
        version: 0,
        created: 0,
        ttl: LONG,
        load: Duration::ZERO,
        even_invalidated: false,
        dependencies,
    };
    let origin = Some(Origin { site: &SITE, instance: Instance::NONE, tags: Box::default() });
    Fill {
        key: key(),
        lease,
        blob: Arriving { origin, ..Arriving::of(header, value) }.blob(),
        fresh: LONG,
        life: LONG,
        touch: Vec::new(),
        token_life: LONG,
        listing: None,
    }
}
