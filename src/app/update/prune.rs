//! The dialog of a prune: what would go is shown first, and only what was shown goes.

use std::time::Duration;

use super::super::key::{Key, KeyCode};
use super::super::overlay::{Cursor, Field, Overlay, Prune, Unused};
use super::super::{Effect, Query, QueryId, Severity, State};
use super::jobs::run;
use super::refuse_if_read_only;

pub(super) fn open_prune(
    state: &mut State,
    what: Unused,
    after: Duration,
    effects: &mut Vec<Effect>,
) {
    if refuse_if_read_only(state) {
        return;
    }
    let prune = plan(state, what, after, effects);
    state.overlays.push(Overlay::Prune(prune));
}

/// A prune whose plan is asked for.
fn plan(state: &mut State, what: Unused, after: Duration, effects: &mut Vec<Effect>) -> Prune {
    let query = QueryId(state.next_id());
    effects.push(Effect::Query {
        id: query,
        query: Query::PrunePlan(what.clone()),
        after,
    });
    Prune {
        what,
        plan: None,
        query,
        cursor: Cursor::default(),
        typed: Field::default(),
    }
}

/// A key in the dialog of a prune; true if it goes on.
pub(super) fn on_prune_key(
    state: &mut State,
    prune: &mut Prune,
    key: Key,
    step: Option<isize>,
    effects: &mut Vec<Effect>,
) -> bool {
    if let Some(step) = step {
        let rows = match &prune.plan {
            Some(Ok(plan)) => plan.rows.len(),
            Some(Err(_)) | None => 0,
        };
        prune.cursor.step(step, rows);
        return true;
    }
    let wanted = prune.number();
    match (key.typed(), key.code) {
        (Some('a'), _) if prune.what.all().is_some() => {
            let what = prune.what.toggled();
            *prune = plan(state, what, Duration::ZERO, effects);
            true
        }
        // Data of volumes: a number is typed, so that nothing goes by one key too many.
        (Some(c), _) if wanted.is_some() && c.is_ascii_digit() => {
            prune.typed.key(key);
            true
        }
        (_, KeyCode::Backspace) if wanted.is_some() => {
            prune.typed.key(key);
            true
        }
        (Some('y' | 'Y'), _) if wanted.is_some() => true,
        (_, KeyCode::Enter) if wanted.as_deref().is_some_and(|n| n != prune.typed.text()) => true,
        (Some('y' | 'Y'), _) | (_, KeyCode::Enter) => match &prune.plan {
            // Only what has been seen is removed.
            None => true,
            Some(Ok(plan)) => {
                if plan.is_nothing() {
                    state.tell(Severity::Info, "nothing to remove".to_owned());
                } else {
                    let request = plan.request.clone();
                    run(
                        state,
                        vec![(request, prune.what.name().to_owned())],
                        effects,
                    );
                }
                false
            }
            Some(Err(_)) => false,
        },
        (Some('n' | 'N' | 'q'), _) | (_, KeyCode::Esc) => false,
        _ => key != Key::ctrl('c'),
    }
}
