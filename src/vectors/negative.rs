//! Everything that must be refused, in the context that the vector gives.

use super::checks::{self, Outcome, Refused};
use super::*;
use serde_json::Map;

/// A kind of vector: how it is verified, and the valid ones that its cases were made from.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) check: fn(&Value) -> Outcome,
    pub(super) valid: fn() -> Vec<Value>,
    /// How many cases must be refused: by decoding, by verifying, and as not what was
    /// expected.
    refused: [usize; 3],
    /// How many of them have a valid vector of the same context or of the same bytes, so
    /// that what was changed is what is refused. The others are forged in both.
    paired: usize,
}

pub(super) const KINDS: [Kind; 13] = [
    Kind {
        name: "enrolment",
        check: checks::enrolment,
        valid: || cases("enrolments.json", "cases"),
        refused: [27, 11, 0],
        paired: 33,
    },
    Kind {
        name: "request",
        check: checks::request,
        valid: || cases("requests.json", "cases"),
        refused: [40, 23, 3],
        paired: 61,
    },
    Kind {
        name: "grant",
        check: checks::grant,
        valid: || cases("grants.json", "cases"),
        refused: [30, 18, 0],
        paired: 48,
    },
    Kind {
        name: "presentation",
        check: checks::presentation,
        valid: presentations,
        refused: [68, 106, 2],
        paired: 167,
    },
    Kind {
        name: "accepted",
        check: checks::accepted,
        valid: || cases("accepted.json", "cases"),
        refused: [24, 12, 0],
        paired: 34,
    },
    Kind {
        name: "author",
        check: checks::author,
        valid: || cases("author_actions.json", "cases"),
        refused: [27, 88, 2],
        paired: 95,
    },
    Kind {
        name: "door",
        check: checks::door,
        valid: || cases("door.json", "cases"),
        refused: [79, 0, 8],
        paired: 85,
    },
    Kind { name: "share", check: checks::share, valid: shares, refused: [34, 31, 0], paired: 62 },
    Kind { name: "blind", check: checks::blind, valid: blinds, refused: [58, 92, 1], paired: 144 },
    Kind {
        name: "comparison_share",
        check: checks::comparison_share,
        valid: comparison_shares,
        refused: [48, 82, 1],
        paired: 122,
    },
    Kind {
        name: "committee",
        check: checks::committee,
        valid: || cases("committees.json", "committees"),
        refused: [2, 13, 0],
        paired: 0,
    },
    Kind {
        name: "opening",
        check: checks::opening,
        valid: || wires_of(cases("openings.json", "cases"), &["shares"]),
        refused: [0, 16, 1],
        paired: 0,
    },
    Kind {
        name: "same_author",
        check: checks::same_author,
        valid: || wires_of(cases("same_author.json", "cases"), &["shares", "blinds"]),
        refused: [2, 55, 13],
        paired: 0,
    },
];

fn cases(file: &str, field: &str) -> Vec<Value> {
    list(&load(file)[field]).to_vec()
}

/// With every list of vectors in `fields` turned into the list of their bytes.
fn wires_of(mut cases: Vec<Value>, fields: &[&str]) -> Vec<Value> {
    for case in &mut cases {
        for field in fields {
            if let Some(vectors) = case.get_mut(field) {
                *vectors = list(vectors).iter().map(|vector| vector["wire"].clone()).collect();
            }
        }
    }
    cases
}

/// Once with the issuer's secret, and once as the public checks them.
fn presentations() -> Vec<Value> {
    let mut all = cases("presentations.json", "cases");
    for accepted in cases("accepted.json", "cases") {
        let mut public = all[small::<usize>(&accepted["presentation_index"])].clone();
        public.as_object_mut().unwrap().remove("issuer_x");
        public["accepted"] = accepted["wire"].clone();
        all.push(public);
    }
    all.extend(cases("presentations.json", "edge_cases"));
    all
}

/// The shares of openings, with their committees.
fn shares() -> Vec<Value> {
    parts(&cases("openings.json", "cases"), "shares", &["Y_shares"])
}

/// Those of rounds, and one of as many reviews as there may be.
fn blinds() -> Vec<Value> {
    let mut all = parts(&cases("same_author.json", "cases"), "blinds", &["n"]);
    all.push(cases("same_author.json", "edge_cases").swap_remove(0));
    all
}

fn comparison_shares() -> Vec<Value> {
    let rounds = cases("same_author.json", "cases");
    let mut all = parts(&rounds, "shares", &["Y_shares"]);
    let mut most = cases("same_author.json", "edge_cases").swap_remove(1);
    let same = |case: &&Value| case["escrow_id"] == most["escrow_id"] && case["epoch"] == most["epoch"];
    most["Y_shares"] = rounds.iter().find(same).unwrap()["Y_shares"].clone();
    all.push(most);
    all
}

/// The messages in `field` of each case, with some fields of the case.
fn parts(cases: &[Value], field: &str, inherited: &[&str]) -> Vec<Value> {
    let of = |case: &Value| {
        let mut parts = list(&case[field]).to_vec();
        for part in &mut parts {
            inherited.iter().for_each(|name| part[*name] = case[*name].clone());
        }
        parts
    };
    cases.iter().flat_map(of).collect()
}

/// A case without what describes it: its context and its bytes.
fn split(case: &Value) -> (Map<String, Value>, Option<Value>) {
    let mut context = case.as_object().unwrap().clone();
    for field in ["id", "kind", "reason", "refused_by", "stage", "basis"] {
        context.remove(field);
    }
    let wire = context.remove("wire");
    (context, wire)
}

#[test]
fn every_valid_vector_is_accepted_where_the_refused_ones_are_checked() {
    for kind in &KINDS {
        let valid = (kind.valid)();
        assert!(!valid.is_empty());
        for (position, case) in valid.iter().enumerate() {
            assert_eq!((kind.check)(case), Ok(()), "{} {position}", kind.name);
        }
    }
}

#[test]
fn every_negative_vector_is_refused() {
    let all = cases("negative.json", "cases");
    assert_eq!(all.len(), 1_017);
    let mut seen = 0;
    for kind in &KINDS {
        let valid = (kind.valid)();
        let (mut refused, mut paired) = ([0; 3], 0);
        for case in all.iter().filter(|case| case["kind"] == kind.name) {
            let stage = match (kind.check)(case) {
                Ok(()) => panic!("accepted: {}: {}", case["id"], case["reason"]),
                Err(Refused::Parse) => 0,
                Err(Refused::Verify) => 1,
                Err(Refused::Unexpected) => 2,
            };
            refused[stage] += 1;
            let (context, wire) = split(case);
            let twin = |good: &Value| {
                let same_context = context.iter().all(|(field, value)| good.get(field) == Some(value));
                same_context || (wire.is_some() && wire.as_ref() == good.get("wire"))
            };
            paired += usize::from(valid.iter().any(twin));
            seen += 1;
        }
        assert_eq!((refused, paired), (kind.refused, kind.paired), "{}", kind.name);
    }
    assert_eq!(seen, all.len(), "a kind that this table does not know");
}
