//! Policies that are changed and backups that are pinned while the engine runs.

use std::sync::Arc;
use std::time::Duration;

use backup_engine::{Engine, EngineBuilder, EngineError, NewPolicy, PolicyChange};
use eviction_policy::{Action, Decision, RulePolicy};
use health_metrics::Problem;
use job_queue::{JobCall, JobFault};
use vault_store::{FileName, VaultCall, VaultFault, VaultStore as _};

use super::support::{DAY, HOUR, Running, World, backed_up, described, full, gate, of, run};

fn rules(text: &str) -> RulePolicy {
    text.parse().unwrap()
}

fn for_full(text: &str) -> PolicyChange {
    PolicyChange {
        full: Some(NewPolicy::Rules(rules(text))),
        granular: None,
    }
}

fn with_setting(text: &'static str) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    move |builder| builder.full_policy(Arc::new(rules(text)))
}

/// The ids that a plan evicts.
fn evicted(plan: &[Decision]) -> Vec<&str> {
    let doomed = plan.iter().filter(|decision| decision.action == Action::Evict);
    doomed.map(|decision| &*decision.id).collect()
}

/// The policy of full backups that counts, and whether it was set in place of the setting.
async fn counting(engine: &Engine) -> (String, bool) {
    let full = engine.policies().await.unwrap().full;
    (full.policy, full.set_at.is_some())
}

#[tokio::test]
async fn a_policy_that_is_set_counts_everywhere_until_its_setting_changes() {
    let world = World::new();
    let engine = world.start_with(with_setting("9y/delete")).engine;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(full(&engine).await);
        world.pass(2 * DAY);
    }
    assert_eq!(counting(&engine).await, ("9y/delete".to_owned(), false));
    let told = engine.set_policies(for_full("1/delete"), true).await.unwrap();
    assert_eq!(
        (evicted(&told.decisions), told.good_evicted),
        (vec![&*ids[0], &*ids[1]], 2)
    );
    assert_eq!(counting(&engine).await, ("9y/delete".to_owned(), false));
    assert!(evicted(&engine.evict(true).await.unwrap()).is_empty());

    let told = engine.set_policies(for_full("2/delete"), false).await.unwrap();
    assert_eq!((evicted(&told.decisions), told.good_evicted), (vec![&*ids[0]], 1));
    assert_eq!(
        engine.list().await.unwrap(),
        ids,
        "setting a policy evicts nothing"
    );
    let policies = engine.policies().await.unwrap();
    assert_eq!(policies.full.setting, "9y/delete");
    assert_eq!(policies.full.set_at, Some(world.now()));
    assert_eq!(
        (&*policies.granular.policy, policies.granular.set_at),
        ("Nothing", None)
    );

    // Another engine over the same store goes by it, and so does one that comes later.
    let other = world.start_with(with_setting("9y/delete")).engine;
    assert_eq!(counting(&other).await, ("2/delete".to_owned(), true));
    assert_eq!(evicted(&other.evict(true).await.unwrap()), [&*ids[0]]);
    // Where the setting is another one, somebody has decided anew.
    let changed = world.start_with(with_setting("8y/delete")).engine;
    assert_eq!(counting(&changed).await, ("8y/delete".to_owned(), false));
    assert!(evicted(&changed.evict(true).await.unwrap()).is_empty());

    let back = PolicyChange {
        full: Some(NewPolicy::Setting),
        granular: None,
    };
    other.set_policies(back, false).await.unwrap();
    assert_eq!(counting(&engine).await, ("9y/delete".to_owned(), false));
    engine.set_policies(for_full("1/delete"), false).await.unwrap();
    engine.evict(false).await.unwrap();
    assert_eq!(other.list().await.unwrap(), ids[2..]);
}

#[tokio::test]
async fn a_policy_that_could_not_be_kept_or_read_evicts_nothing() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start_with(with_setting("9y/delete"));
    let old = full(&engine).await;
    world.pass(2 * DAY);
    let new = full(&engine).await;
    vaults.plan(VaultCall::KeepNote, 1, VaultFault::Fail);
    let refused = engine.set_policies(for_full("1/delete"), false).await;
    assert!(matches!(refused, Err(EngineError::Storage(_))), "{refused:?}");
    assert_eq!(counting(&engine).await, ("9y/delete".to_owned(), false));

    let note = FileName::from_static("policies");
    for broken in [
        &b"{"[..],
        br#"{"full": {"policy": "?", "of": "9y/delete", "at": "2026-11-21T00:00:00Z"}}"#,
    ] {
        world.vaults.keep_note(&note, broken).unwrap();
        assert!(engine.evict(false).await.is_err());
        assert!(engine.policies().await.is_err());
    }
    assert_eq!(engine.list().await.unwrap(), [old, new]);
    // It is mended by setting it.
    world.vaults.keep_note(&note, b"{").unwrap();
    engine.set_policies(for_full("5/delete"), false).await.unwrap();
    assert_eq!(counting(&engine).await, ("5/delete".to_owned(), true));
}

/// What keeps policies from evicting, as health says it.
async fn hindered(engine: &Engine) -> Vec<String> {
    let health = engine.health().await;
    let found = health.problems.iter().filter_map(|problem| match problem {
        Problem::NothingEvicted(why) => Some(why.clone()),
        _ => None,
    });
    found.collect()
}

#[tokio::test]
async fn a_note_that_cannot_be_read_is_a_problem_until_it_is_mended() {
    let world = World::new();
    let Running { engine, jobs, .. } = world.start_with(with_setting("9y/delete"));
    full(&engine).await;
    let errors = async || {
        let text = engine.metrics().await.unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("zk_backup_eviction_errors_total "));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!((hindered(&engine).await.len(), &*errors().await), (0, "0"));
    for (name, sound) in [
        ("pins", &b"{}"[..]),
        ("policies", &br#"{"full": null, "granular": null}"#[..]),
    ] {
        let note = FileName::from_static(name);
        for broken in [&b"{garb"[..], b"{", b"[]"] {
            world.vaults.keep_note(&note, broken).unwrap();
            let told = hindered(&engine).await;
            let words = format!("the note {name} cannot be read: ");
            assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
        }
        let before: u64 = errors().await.parse().unwrap();
        jobs.plan(JobCall::Prune, 1, JobFault::Fail);
        full(&engine).await;
        assert_eq!(jobs.left(), 0, "old jobs are forgotten all the same");
        assert_eq!(errors().await, (before + 1).to_string());
        world.vaults.keep_note(&note, sound).unwrap();
        assert!(hindered(&engine).await.is_empty());
        engine.evict(false).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_are_all_made() {
    let world = World::new();
    let engine = world.start_with(with_setting("9y/delete")).engine;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(full(&engine).await);
    }
    let pins = ids.iter().map(|id| engine.pin(id, true));
    let granular = PolicyChange {
        full: None,
        granular: Some(NewPolicy::Rules(rules("4/delete"))),
    };
    let (pinned, one, two) = tokio::join!(
        futures::future::join_all(pins),
        engine.set_policies(for_full("3/delete"), false),
        engine.set_policies(granular, false),
    );
    assert!(
        pinned
            .iter()
            .all(|info| info.as_ref().unwrap().pinned == Some(true))
    );
    assert!(one.is_ok() && two.is_ok());
    for id in &ids {
        assert_eq!(described(&engine, id).await.pinned, Some(true));
    }
    let policies = engine.policies().await.unwrap();
    assert_eq!(
        (&*policies.full.policy, &*policies.granular.policy),
        ("3/delete", "4/delete")
    );
}

#[tokio::test]
async fn a_pin_holds_until_it_is_taken_away() {
    let world = World::new();
    let engine = world.start().engine;
    let (old, there) = (full(&engine).await, world.znodes());
    let info = engine.pin(&old, true).await.unwrap();
    assert_eq!((info.pinned, info.is_evictable()), (Some(true), false));
    assert!(!info.manifest().unwrap().pinned, "a manifest never changes");
    let asked_for = backup_engine::BackupRequest {
        pinned: true,
        ..of(&["/a"])
    };
    let (granular, _) = backed_up(&engine, asked_for).await;
    world.pass(2 * DAY);
    // Another engine over the same store evicts by a policy that keeps nothing.
    let engine = world.start().engine;
    let new = full(&engine).await;
    world.pass(HOUR);
    assert_eq!(
        engine.list().await.unwrap(),
        [old.clone(), granular.clone(), new.clone()]
    );
    let plan = engine.evict(true).await.unwrap();
    assert_eq!((plan[0].action, &*plan[0].reason), (Action::Keep, "it is pinned"));

    let info = engine.pin(&granular, false).await.unwrap();
    assert_eq!((info.pinned, info.is_evictable()), (Some(false), true));
    // It is the only good one of its kind.
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap().len(), 3);
    engine.pin(&old, false).await.unwrap();
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), [granular, new.clone()]);
    assert_eq!(world.znodes(), there);

    assert!(matches!(
        engine.pin(&old, true).await,
        Err(EngineError::BackupNotFound(_))
    ));
    assert!(matches!(
        engine.pin("none", true).await,
        Err(EngineError::BackupNotFound(_))
    ));
    let queued = engine
        .backup(backup_engine::BackupRequest::default())
        .await
        .unwrap();
    assert!(matches!(
        engine.pin(&queued, true).await,
        Err(EngineError::InUse(_))
    ));
    assert_eq!(described(&engine, &queued).await.pinned, Some(false));
    assert!(matches!(
        engine.pin("latest", true).await,
        Err(EngineError::BackupNotFound(_))
    ));
    assert_eq!(described(&engine, &new).await.pinned, Some(false));
}

#[tokio::test]
async fn what_is_pinned_while_a_pass_goes_on_stays() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start();
    let old = full(&engine).await;
    engine.pin(&old, true).await.unwrap();
    world.pass(2 * DAY);
    let new = full(&engine).await;
    engine.pin(&old, false).await.unwrap();
    assert_eq!(evicted(&engine.evict(true).await.unwrap()), [&*old]);

    // The pass has planned, and keeps the time; nothing is removed yet.
    let (mut gate, delay) = gate();
    vaults.plan(VaultCall::KeepNote, 1, VaultFault::Delay(delay));
    let passing = engine.clone();
    let pass = tokio::spawn(async move { passing.evict(false).await });
    gate.reached().await;
    engine.pin(&old, true).await.unwrap();
    drop(gate);
    let plan = pass.await.unwrap().unwrap();
    assert_eq!((plan[0].action, &*plan[0].reason), (Action::Keep, "it is pinned"));
    assert_eq!(engine.list().await.unwrap(), [old, new]);
}

#[tokio::test]
async fn pins_that_could_not_be_kept_or_read_evict_nothing() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start_with(with_setting("9y/delete"));
    let old = full(&engine).await;
    world.pass(2 * DAY);
    let new = full(&engine).await;
    for (fault, pinned) in [(VaultFault::Fail, false), (VaultFault::LoseAnswer, true)] {
        vaults.plan(VaultCall::KeepNote, 1, fault);
        assert!(matches!(
            engine.pin(&old, true).await,
            Err(EngineError::Storage(_))
        ));
        assert_eq!(described(&engine, &old).await.pinned, Some(pinned));
    }
    engine.set_policies(for_full("1/delete"), false).await.unwrap();
    world
        .vaults
        .keep_note(&FileName::from_static("pins"), b"[")
        .unwrap();
    assert!(engine.evict(false).await.is_err());
    assert_eq!(engine.list().await.unwrap(), [old.clone(), new]);
    let info = described(&engine, &old).await;
    assert!(info.pinned.is_none() && !info.is_evictable() && info.is_valid());
}

/// A setting that changes overrules what was set before it, for good.
#[tokio::test]
async fn what_was_overruled_does_not_come_back_with_an_earlier_setting() {
    let world = World::new();
    let started = async |setting| {
        let engine = world.start_with(with_setting(setting)).engine;
        engine.forget_overruled_policies().await.unwrap();
        engine
    };
    let engine = started("9y/delete").await;
    engine.set_policies(for_full("2/delete"), false).await.unwrap();
    assert_eq!(
        counting(&started("9y/delete").await).await,
        ("2/delete".to_owned(), true)
    );
    assert_eq!(
        counting(&started("8y/delete").await).await,
        ("8y/delete".to_owned(), false)
    );
    assert_eq!(
        counting(&started("9y/delete").await).await,
        ("9y/delete".to_owned(), false)
    );
}

#[tokio::test]
async fn a_server_that_ran_for_long_without_an_eviction_pass_was_not_off() {
    let world = World::new();
    let engine = world.start().engine;
    full(&engine).await;
    let clock = FileName::from_static("clock");
    let before = world.vaults.note(&clock).unwrap();
    world.pass(40 * DAY);
    let (stop, running) = run(&engine);
    let kept = async {
        while world.vaults.note(&clock).unwrap() == before {
            tokio::task::yield_now().await;
        }
    };
    let kept = tokio::time::timeout(Duration::from_secs(60), kept).await;
    kept.expect("no time is kept");
    drop(stop);
    running.await.unwrap();
    let health = world.start().engine.health().await;
    let moved = |problem: &Problem| matches!(problem, Problem::ClockMoved { .. });
    assert!(!health.problems.iter().any(moved), "{:?}", health.problems);
}
