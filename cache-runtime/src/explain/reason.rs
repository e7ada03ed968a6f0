//! The reasons there are, each with a name and a sentence.
//!
//! The engine finds a reason once, where it decides. Counters, metrics, spans and explanations are all made of that one value.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $sentence:literal)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $kind {
            $(#[doc = concat!("\"", $sentence, "\", `", $name, "` in spans and metrics.")] $variant,)*
        }

        impl $kind {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in spans and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $sentence,)*
                })
            }
        }
    )*};
}

reasons! {
    /// Why a call found no stored entry that it could use.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::explain::Miss;
    ///
    /// assert_eq!(Miss::Expired.name(), "expired");
    /// assert_eq!(Miss::Expired.to_string(), "the entry's time to live is up");
    /// ```
    Miss {
        Absent "absent" "there is no entry"
        Expired "expired" "the entry's time to live is up"
        Early "early" "the entry's time to live is almost up"
        Invalidated "invalidated" "a tag or key that the entry depends on was invalidated"
        TokenGone "token_gone" "a tag or key that the entry depends on has no token: it was invalidated, or the store forgot it"
        Mutating "mutating" "a mutation of something that the entry depends on is running"
        OtherEpoch "other_epoch" "the namespace was emptied since the entry was loaded"
        OtherIncarnation "other_incarnation" "the store was restarted or replaced since the entry was stored, and may have forgotten an invalidation"
        OtherType "other_type" "the entry is of another type"
        OtherVersion "other_version" "the entry is of another version of its type"
        OtherTags "other_tags" "the entry was stored without a tag that this call has"
        Unreadable "unreadable" "the entry cannot be read"
        StoreAway "store_away" "the store did not answer"
        Shed "shed" "the store is not asked for a while, because it does not answer"
        Undelivered "undelivered" "the store was not told yet of an invalidation of it"
        InTransaction "in_transaction" "the transaction around the call has changed it"
        OtherOutcome "other_outcome" "another function of the same key found nothing, which this one cannot return"
        Closed "closed" "the cache is closed"
        Unused "unused" "the function's `when` said no"
        NameClash "name_clash" "another function has the same name, and neither has a key"
        Unnamed "unnamed" "a part of its key or of a tag could not be written"
    }

    /// Why a call was given an entry that is past its time, or was invalidated.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::explain::Stale;
    ///
    /// assert_eq!(Stale::Failed.to_string(), "the load failed");
    /// ```
    Stale {
        Revalidating "revalidating" "it is being refreshed"
        Failed "failed" "the load failed"
        Slow "slow" "the load took longer than the soft timeout"
        Overloaded "overloaded" "too many loads were running"
    }

    /// Why a function ran without the right to store or share what it returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::explain::Bypass;
    ///
    /// assert_eq!(Bypass::Recursion.to_string(), "the function is being loaded with the same key further out");
    /// ```
    Bypass {
        InTransaction "in_transaction" "it runs inside of a transaction"
        NoFill "no_fill" "it runs inside of `no_fill`"
        Unused "unused" "the function's `when` said no"
        Recursion "recursion" "the function is being loaded with the same key further out"
        Mutating "mutating" "a mutation of it is running"
        StoreAway "store_away" "the store did not answer"
        Shed "shed" "the store is not asked for a while, because it does not answer"
        Undelivered "undelivered" "the store was not told yet of an invalidation of it"
        Closed "closed" "the cache is closed"
        Late "late" "it had waited for another's load as long as it may"
        OthersFailed "others_failed" "the loads of two others failed while it waited"
        NameClash "name_clash" "another function has the same name, and neither has a key"
        Unnamed "unnamed" "a part of its key or of a tag could not be written"
        OtherOutcome "other_outcome" "another function of the same key, whose load it waited for, found nothing or an error, which this one cannot return"
    }

    /// Why what a function returned was not stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use cache_runtime::explain::Refusal;
    ///
    /// assert!(Refusal::ALL.contains(&Refusal::TooLarge));
    /// ```
    Refusal {
        LeaseLost "lease_lost" "it was invalidated while it was loaded, or the load took too long"
        Undependable "undependable" "it was made of something that cannot be depended on, such as a value that must not be stored itself"
        InnerChanged "inner_changed" "something that it was made of changed while it was loaded"
        OtherCache "other_cache" "it was made of an entry of another cache"
        TooManyDependencies "too_many_dependencies" "it depends on more tags and keys than one entry may"
        Unwanted "unwanted" "the function's `unless` said no, or its time to live was zero"
        NoTimeToLive "no_time_to_live" "its time to live was over when it was loaded"
        StoreAway "store_away" "the store did not answer"
        Closed "closed" "the cache is closed"
        TooLarge "too_large" "it is too large"
        NotEncoded "not_encoded" "it cannot be encoded"
    }
}

impl Refusal {
    /// Whether it is the value that cannot be stored, whenever it is loaded.
    pub(crate) fn is_of_the_value(self) -> bool {
        matches!(self, Self::TooLarge | Self::NotEncoded)
    }
}
