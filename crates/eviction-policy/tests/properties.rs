//! What must hold for every policy and every list of backups.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use eviction_policy::{
    Action, Backup, EvictionPolicy, Fault, ParseError, RulePolicy, Standing, Verdict, plan,
};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

fn backup(id: usize, minutes_ago: i64, standing: Standing, pinned: bool) -> Backup {
    Backup {
        id: format!("{id:04}"),
        taken_at: now() - Duration::minutes(minutes_ago),
        standing,
        pinned,
        by_hand: id.is_multiple_of(3),
    }
}

fn backups() -> impl Strategy<Value = Vec<Backup>> {
    let standing = prop_oneof![
        5 => Just(Standing::Good),
        2 => Just(Standing::Failed),
        1 => Just(Standing::Unfinished),
        1 => Just(Standing::Unreadable)
    ];
    let one = (-5_000_i64..1_000_000, standing, prop::bool::weighted(0.1));
    prop::collection::vec(one, 0..40).prop_map(|list| {
        list.into_iter()
            .enumerate()
            .map(|(i, (ago, standing, pinned))| backup(i, ago, standing, pinned))
            .collect()
    })
}

fn policy_text() -> impl Strategy<Value = String> {
    let span = (
        1_u32..500,
        prop::sample::select(vec!["min", "h", "d", "w", "m", "y"]),
    );
    let start = prop_oneof![
        Just("0".to_owned()),
        span.clone().prop_map(|(n, u)| format!("{n}{u}"))
    ];
    let what = prop_oneof![
        Just("delete".to_owned()),
        span.prop_map(|(n, u)| format!("{n}{u}"))
    ];
    let rule = (start, what).prop_map(|(start, what)| format!("{start}/{what}"));
    prop_oneof![
        prop::collection::vec(rule, 1..5).prop_map(|rules| rules.join(",")),
        (1_u32..20).prop_map(|n| format!("{n}/delete"))
    ]
}

fn evicted(policy: &dyn EvictionPolicy, backups: &[Backup]) -> HashSet<String> {
    let gone = plan(policy, backups, now())
        .into_iter()
        .filter(|d| d.action == Action::Evict);
    gone.map(|decision| decision.id).collect()
}

/// The newest good backup that is neither pinned nor dated in the future.
fn floor(backups: &[Backup]) -> Option<&Backup> {
    let good = backups
        .iter()
        .filter(|b| b.standing == Standing::Good && !b.pinned && b.taken_at <= now());
    good.max_by_key(|b| (b.taken_at, b.id.clone()))
}

#[derive(Debug)]
struct EvictAll;

impl EvictionPolicy for EvictAll {
    fn judge(&self, backups: &[Backup], _: OffsetDateTime) -> Vec<Verdict> {
        vec![Verdict::Evict("all".to_owned()); backups.len()]
    }
}

proptest! {
    #[test]
    fn safeguards_hold(text in policy_text(), list in backups()) {
        let rules: RulePolicy = text.parse().unwrap();
        for policy in [&rules as &dyn EvictionPolicy, &EvictAll] {
            let gone = evicted(policy, &list);
            for b in &list {
                let safe = b.pinned || b.taken_at > now() - if b.by_hand { Duration::DAY } else { Duration::ZERO }
                    || matches!(b.standing, Standing::Unfinished | Standing::Unreadable);
                prop_assert!(!(safe && gone.contains(&b.id)));
            }
            if let Some(newest) = floor(&list) {
                prop_assert!(!gone.contains(&newest.id));
            }
        }
    }

    #[test]
    fn a_second_pass_evicts_nothing(text in policy_text(), list in backups()) {
        let rules: RulePolicy = text.parse().unwrap();
        let gone = evicted(&rules, &list);
        let kept: Vec<_> = list.into_iter().filter(|b| !gone.contains(&b.id)).collect();
        prop_assert!(evicted(&rules, &kept).is_empty());
    }

    #[test]
    fn what_is_printed_parses_to_the_same(text in policy_text()) {
        let rules: RulePolicy = text.parse().unwrap();
        prop_assert_eq!(&rules.to_string(), &text);
        prop_assert_eq!(rules.to_string().parse::<RulePolicy>().unwrap(), rules);
    }

    #[test]
    fn no_text_panics_and_faults_have_a_place(text in "[0-9a-z/, é]{0,24}") {
        if let Err(ParseError { position, .. }) = text.parse::<RulePolicy>() {
            prop_assert!(position <= text.len());
        }
    }
}

#[test]
fn windows_keep_the_newest_good_one_and_start_on_mondays() {
    let monday = OffsetDateTime::from_unix_timestamp(4 * 86_400 + 100 * 7 * 86_400).unwrap();
    let at = |id: &str, days: i64, standing| Backup {
        id: id.to_owned(),
        taken_at: monday + Duration::days(days),
        standing,
        pinned: false,
        by_hand: false,
    };
    let list = [
        at("sunday", -1, Standing::Good),
        at("monday", 0, Standing::Good),
        at("friday", 4, Standing::Good),
        at("saturday", 5, Standing::Failed),
        at("next week", 7, Standing::Good),
    ];
    let rules: RulePolicy = "0/7d".parse().unwrap();
    let gone = plan(&rules, &list, monday + Duration::days(8));
    let gone: Vec<_> = gone
        .iter()
        .filter(|d| d.action == Action::Evict)
        .map(|d| d.id.as_str())
        .collect();
    assert_eq!(gone, ["monday", "saturday"]);
}

#[test]
fn age_of_exactly_start_goes_and_a_count_keeps_the_newest() {
    let list: Vec<_> = (0..5)
        .map(|i| Backup {
            by_hand: false,
            ..backup(i as usize, 60 * i, Standing::Good, false)
        })
        .collect();
    let by_age: RulePolicy = "2h/delete".parse().unwrap();
    assert_eq!(
        evicted(&by_age, &list),
        ["0002", "0003", "0004"].map(String::from).into()
    );
    let by_count: RulePolicy = "2/delete".parse().unwrap();
    assert_eq!(
        evicted(&by_count, &list),
        ["0002", "0003", "0004"].map(String::from).into()
    );
}

#[test]
fn faults_are_refused_with_their_place() {
    for (text, position, fault) in [
        ("", 0, Fault::Empty),
        ("1d/delete,", 10, Fault::Empty),
        ("delete", 0, Fault::NotARule),
        ("0/1d/2d", 2, Fault::NotARule),
        ("0/0h", 2, Fault::Zero),
        ("0/1d, 3x/delete", 7, Fault::Unit),
        ("0/1d,3/delete", 5, Fault::NotAlone),
        ("x/delete", 0, Fault::Number),
        ("9999999999d/delete", 0, Fault::Number),
        ("00/delete", 0, Fault::Zero),
    ] {
        let error = text.parse::<RulePolicy>().unwrap_err();
        assert_eq!((error.position, error.fault), (position, fault), "{text:?}");
    }
}

#[test]
fn every_kind_of_rule_passes_the_conformance_suite() {
    for rules in [
        "0/1h,3d/1d,7d/7d,1m/1m,1y/delete",
        "0/1d,7d/delete",
        "0/delete",
        "3/delete",
        "1y/1m",
    ] {
        eviction_policy::conformance::run(&rules.parse::<RulePolicy>().unwrap(), now());
    }
}

#[test]
fn what_was_asked_for_by_hand_stays_for_a_day() {
    let at = |id: &str, hours: i64, by_hand| Backup {
        id: id.to_owned(),
        taken_at: now() - Duration::hours(hours),
        standing: Standing::Good,
        pinned: false,
        by_hand,
    };
    let list = [
        at("old", 24, true),
        at("before", 23, true),
        at("scheduled", 2, false),
        at("after", 1, true),
    ];
    for policy in [
        &"1/delete".parse::<RulePolicy>().unwrap() as &dyn EvictionPolicy,
        &"0/1y".parse::<RulePolicy>().unwrap(),
        &EvictAll,
    ] {
        assert_eq!(
            evicted(policy, &list),
            ["old", "scheduled"].map(String::from).into()
        );
    }
    let plan = plan(&"0/1y".parse::<RulePolicy>().unwrap(), &list, now());
    assert_eq!(plan[0].reason, "rule 0/1y: after takes its place");
    assert!(plan[1].reason.contains("by hand"), "{}", plan[1].reason);
}
