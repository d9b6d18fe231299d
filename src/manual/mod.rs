//! The manual: the idea, how to embed and run it, what it promises and what not, every byte of it, and why it is as it
//! is. Prose only, in the order in which it is needed.
//!
//! | chapter | for those who |
//! |---|---|
//! | [`idea`] | have a minute |
//! | [`embedding`] | put it into a platform |
//! | [`device`] | build the app |
//! | [`door`] | run relay or gateway, or write the app that asks them |
//! | [`phones`] | bind or route virtual numbers, or size a pool of them |
//! | [`publication`] | choose k, C, hold and classes, or ask what they cost |
//! | [`ceremony`] | are trustees, or make the escrow key with them |
//! | [`warrants`] | ask the trustees, answer, or check an opening |
//! | [`openings`] | run a trustee's service, set budgets, or doubt them |
//! | [`same_author`] | compare authors, or take part in it |
//! | [`operating`] | run it |
//! | [`backup`] | copy its stores, or put a copy back |
//! | [`sizing`] | buy the machines for it |
//! | `postgres` (with that feature) | run the store on PostgreSQL |
//! | [`protocol`] | check the mathematics or write a second implementation |
//! | [`wire`] | read or write the messages |
//! | [`ledger`] | read, witness or audit the ledgers, or run them |
//! | [`stored`] | audit or replace the store |
//! | [`threats`] | decide whether this is enough for their case |
//! | [`proofs`] | ask what each of these promises rests on |
//! | [`refusals`] | check that a rule is really kept: each with its test |
//! | [`decisions`] | want to change something that cannot be changed later |

pub mod idea {
    #![doc = include_str!("idea.md")]
}

pub mod embedding {
    #![doc = include_str!("embedding.md")]
}

pub mod device {
    #![doc = include_str!("device.md")]
}

pub mod door {
    #![doc = include_str!("door.md")]
}

pub mod phones {
    #![doc = include_str!("phones.md")]
}

pub mod publication {
    #![doc = include_str!("publication.md")]
}

pub mod ceremony {
    #![doc = include_str!("ceremony.md")]
}

pub mod warrants {
    #![doc = include_str!("warrants.md")]
}

pub mod openings {
    #![doc = include_str!("openings.md")]
}

pub mod same_author {
    #![doc = include_str!("same_author.md")]
}

pub mod operating {
    #![doc = include_str!("operating.md")]
}

pub mod backup {
    #![doc = include_str!("backup.md")]
}

pub mod sizing {
    #![doc = include_str!("sizing.md")]
}

#[cfg(feature = "postgres")]
pub mod postgres {
    #![doc = include_str!("postgres.md")]
}

pub mod protocol {
    #![doc = include_str!("protocol.md")]
}

pub mod wire {
    #![doc = include_str!("wire.md")]
}

pub mod ledger {
    #![doc = include_str!("ledger.md")]
}

pub mod stored {
    #![doc = include_str!("stored.md")]
}

pub mod threats {
    #![doc = include_str!("threats.md")]
}

pub mod proofs {
    #![doc = include_str!("proofs.md")]
}

pub mod refusals {
    #![doc = include_str!("refusals.md")]
}

pub mod decisions {
    #![doc = include_str!("decisions.md")]
}
