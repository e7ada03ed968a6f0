//! What a store that stands before another passes on as it is.

/// Those methods of a [`Store`](crate::store::Store) that ask the one in the field `$store`, and do nothing else.
macro_rules! passes_on {
    ($store:tt: $($method:ident)*) => {
        $(passes_on!(@$method $store);)*
    };
    (@keeps $store:tt) => {
        fn keeps(&self) -> $crate::store::Keeps {
            self.$store.keeps()
        }
    };
    (@ready $store:tt) => {
        fn ready(&self) -> ::std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            self.$store.ready()
        }
    };
    (@read $store:tt) => {
        fn read(&self, reads: Vec<$crate::store::Read>) -> $crate::store::Reply<'_, Vec<$crate::store::Reading>> {
            self.$store.read(reads)
        }
    };
    (@begin $store:tt) => {
        fn begin(&self, begin: $crate::store::Begin) -> $crate::store::Reply<'_, $crate::store::Begun> {
            self.$store.begin(begin)
        }
    };
    (@renew $store:tt) => {
        fn renew(
            &self,
            key: $crate::key::Name,
            lease: $crate::token::LeaseId,
            generation: $crate::token::Generation,
            life: ::std::time::Duration,
        ) -> $crate::store::Reply<'_, bool> {
            self.$store.renew(key, lease, generation, life)
        }
    };
    (@release $store:tt) => {
        fn release(&self, key: $crate::key::Name, lease: $crate::token::LeaseId) -> $crate::store::Reply<'_, ()> {
            self.$store.release(key, lease)
        }
    };
    (@fill $store:tt) => {
        fn fill(&self, fill: $crate::store::Fill) -> $crate::store::Reply<'_, bool> {
            self.$store.fill(fill)
        }
    };
    (@touch $store:tt) => {
        fn touch(&self, key: $crate::key::Name, life: ::std::time::Duration) -> $crate::store::Reply<'_, ()> {
            self.$store.touch(key, life)
        }
    };
    (@live_on $store:tt) => {
        fn live_on(
            &self,
            registers: Vec<$crate::token::Register>,
            life: ::std::time::Duration,
        ) -> $crate::store::Reply<'_, ()> {
            self.$store.live_on(registers, life)
        }
    };
    (@mark $store:tt) => {
        fn mark(&self, targets: $crate::store::Targets, mark: $crate::store::Mark) -> $crate::store::Reply<'_, ()> {
            self.$store.mark(targets, mark)
        }
    };
    (@revoke $store:tt) => {
        fn revoke(
            &self,
            targets: $crate::store::Targets,
            ended: Option<$crate::token::MarkId>,
        ) -> $crate::store::Reply<'_, ()> {
            self.$store.revoke(targets, ended)
        }
    };
    (@lists $store:tt) => {
        fn lists(&self) -> bool {
            self.$store.lists()
        }
    };
    (@listed $store:tt) => {
        fn listed(
            &self,
            tag: $crate::key::Name,
            from: Option<u64>,
        ) -> $crate::store::Reply<'_, $crate::store::listing::Page> {
            self.$store.listed(tag, from)
        }
    };
    (@discard $store:tt) => {
        fn discard(
            &self,
            tag: $crate::key::Name,
            gone: Vec<$crate::store::listing::Gone>,
        ) -> $crate::store::Reply<'_, u64> {
            self.$store.discard(tag, gone)
        }
    };
}

pub(crate) use passes_on;
