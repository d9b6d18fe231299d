//! The manual: what the protocol is, byte by byte; what it promises and what not; how to run
//! it; and why it is as it is. Prose only.
//!
//! | chapter | for |
//! |---|---|
//! | [`protocol`] | whoever checks the mathematics or writes a second implementation |
//! | [`ceremony`] | whoever is a trustee, or makes the escrow key with them |
//! | [`warrants`] | whoever asks the trustees, answers, or checks an opening |
//! | [`openings`] | whoever runs a trustee's service, sets budgets, or doubts them |
//! | [`same_author`] | whoever compares authors, or takes part in it |
//! | [`wire`] | whoever reads or writes the messages |
//! | [`threats`] | whoever decides whether this is enough for their case |
//! | [`proofs`] | whoever asks what each of these promises rests on |
//! | [`refusals`] | whoever checks that a rule is really kept: each with its test |
//! | [`device`] | whoever builds the app |
//! | [`operating`] | whoever runs it |
//! | [`backup`] | whoever copies its stores, or puts a copy back |
//! | [`door`] | whoever runs relay or gateway, or writes the app that asks them |
//! | [`sizing`] | whoever buys the machines for it |
//! | [`publication`] | whoever chooses k, C, hold and classes, or asks what they cost |
//! | [`ledger`] | whoever reads, witnesses or audits the ledgers, or runs them |
//! | [`stored`] | whoever runs, audits or replaces the store |
//! | `postgres` (with that feature) | whoever runs the store on PostgreSQL |
//! | [`phones`] | whoever binds or routes virtual numbers, or sizes a pool of them |
//! | [`decisions`] | whoever wants to change something that cannot be changed later |

pub mod protocol {
    #![doc = include_str!("protocol.md")]
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

pub mod wire {
    #![doc = include_str!("wire.md")]
}

pub mod same_author {
    #![doc = include_str!("same_author.md")]
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

pub mod device {
    #![doc = include_str!("device.md")]
}

pub mod door {
    #![doc = include_str!("door.md")]
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

pub mod publication {
    #![doc = include_str!("publication.md")]
}

pub mod stored {
    #![doc = include_str!("stored.md")]
}

#[cfg(feature = "postgres")]
pub mod postgres {
    #![doc = include_str!("postgres.md")]
}

pub mod ledger {
    #![doc = include_str!("ledger.md")]
}

pub mod phones {
    #![doc = include_str!("phones.md")]
}

pub mod decisions {
    #![doc = include_str!("decisions.md")]
}
