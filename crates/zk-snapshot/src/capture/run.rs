//! A capture from beginning to end: which walks and looks make it one moment, and when that is given up.

use tokio::sync::mpsc;

use super::second_look::LookEnd;
use super::state::CaptureState;
use super::two_walks::TwoWalks;
use super::verify::Verified;
use super::walk::Walked;
use super::{CaptureError, CaptureOptions, CaptureSummary, Consistency, Portion};
use crate::tree::{History, ZnodePath, ZnodeReader};

/// How often a validation starts over after the connection was lost.
const STARTS: u32 = 5;
/// How often what came and went during a walk is looked at again where nothing is validated.
const SECOND_LOOKS: u32 = 64;
/// How often the tree is walked where it cannot be watched.
const PASSES: u32 = 5;

/// Walks the tree and sends what it finds, parents before children.
///
/// Where the server can watch a subtree, everything that changes during the walk is read again until nothing
/// changes any more; elsewhere the tree is walked until two walks agree. `docs/decisions/0005` has the proofs.
/// Many znodes are read at once and no more of them held; the channel's bound is the back pressure.
///
/// # Errors
/// [`CaptureError`]; what was sent until then is not a backup.
pub async fn capture(
    reader: &dyn ZnodeReader,
    options: &CaptureOptions,
    sink: mpsc::Sender<Portion>,
) -> Result<CaptureSummary, CaptureError> {
    let roots = outermost(&options.roots);
    let mut state = CaptureState::new(reader, &roots, options, sink);
    state.served = reader.served().await?;
    if state.is_keeper() {
        // Its watches do not tell which znode has changed (ClickHouse issue 115475).
        return if options.rounds == 0 {
            once(state).await
        } else {
            until_two_agree(state, options.rounds).await
        };
    }
    state.verifies = options.rounds > 0 && !reader.reads_everything().await?;
    if options.rounds == 0 {
        return once(state).await;
    }
    let mut rounds = options.rounds;
    for start in 0..STARTS {
        let Some(mut watch) = reader.watch(&roots).await? else {
            return until_two_agree(state, rounds).await;
        };
        if start > 0 {
            state.restart().await?;
        }
        let before = if state.verifies {
            reader.applied().await
        } else {
            None
        };
        if matches!(
            state.walk(History::One, Some(&mut *watch)).await?,
            Walked::ConnectionLost
        ) {
            continue;
        }
        match state.look_again(Some(&mut *watch), &mut rounds).await? {
            LookEnd::Quiet if !state.verifies => return state.finish(Consistency::Consistent).await,
            // Nothing at all has happened there.
            LookEnd::Quiet if before.is_some() && before == reader.applied().await => {
                return state.finish(Consistency::Consistent).await;
            }
            LookEnd::Quiet => match state.verify(&mut *watch, &mut rounds).await? {
                Verified::Same => return state.finish(Consistency::Consistent).await,
                Verified::Differs | Verified::ConnectionLost => {}
            },
            LookEnd::Moving => return state.finish(Consistency::Fuzzy).await,
            LookEnd::ConnectionLost => {}
        }
    }
    state.restart().await?;
    state.walk(History::One, None).await?;
    state.look_again(None, &mut { SECOND_LOOKS }).await?;
    state.finish(Consistency::Fuzzy).await
}

/// One walk, of which nothing is claimed.
async fn once(mut state: CaptureState<'_>) -> Result<CaptureSummary, CaptureError> {
    state.walk(History::Any, None).await?;
    state.look_again(None, &mut { SECOND_LOOKS }).await?;
    state.finish(Consistency::Fuzzy).await
}

/// Double collect: two walks that find every znode the same show the moment between them.
async fn until_two_agree(mut state: CaptureState<'_>, rounds: u32) -> Result<CaptureSummary, CaptureError> {
    let reader = state.reader;
    let mut epoch_before = None;
    for pass in 0..rounds.clamp(2, PASSES) {
        if pass > 0 {
            state.restart().await?;
        }
        let epoch = reader.epoch();
        state.walks = Some(TwoWalks::after(state.walks.take()));
        state.walk(History::One, None).await?;
        let steady = epoch_before == Some(reader.epoch()) && state.dirty.is_empty();
        state.look_again(None, &mut { SECOND_LOOKS }).await?;
        if state.agrees_with_last_walk() && steady {
            return state.finish(Consistency::Consistent).await;
        }
        epoch_before = Some(epoch);
    }
    state.finish(Consistency::Fuzzy).await
}

/// `roots` without those that lie within another, or `/` where there are none.
fn outermost(roots: &[ZnodePath]) -> Vec<ZnodePath> {
    if roots.is_empty() {
        return vec![ZnodePath::root()];
    }
    let mut kept: Vec<ZnodePath> = Vec::new();
    let mut sorted: Vec<_> = roots.to_vec();
    sorted.sort();
    for root in sorted {
        if !kept.iter().any(|outer| root.is_within(outer)) {
            kept.push(root);
        }
    }
    kept
}
