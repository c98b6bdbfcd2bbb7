//! What is told to the user: the footer's message, and the log of what was done.

use super::super::jobs::{Failure, JobId};
use super::super::overlay::Overlay;
use super::super::{Done, Notice, Severity, State, text};

/// How long good news is shown, in seconds.
const NOTICE_SECONDS: i64 = 3;
/// Commands kept in the command log.
const MAX_COMMANDS: usize = 500;

impl State {
    pub(super) fn tell(&mut self, severity: Severity, text: String) {
        let until = match severity {
            Severity::Good | Severity::Info => Some(
                self.now
                    .saturating_add(jiff::SignedDuration::from_secs(NOTICE_SECONDS))
                    .unwrap_or(self.now),
            ),
            Severity::Error => None,
        };
        let text = text::sanitise(&text).into_owned();
        self.notice = Some(Notice {
            severity,
            chain: vec![text.clone()],
            text,
            hint: None,
            until,
        });
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        let clean = |text: String| text::sanitise(&text).into_owned();
        self.notice = Some(Notice {
            severity: Severity::Error,
            text: clean(failure.line),
            hint: failure.hint.map(clean),
            chain: failure.chain.into_iter().map(clean).collect(),
            until: None,
        });
    }

    pub(super) fn log_command(&mut self, command: String, job: Option<JobId>) {
        if self.commands.len() == MAX_COMMANDS {
            self.commands.remove(0);
        }
        self.commands.push(Done {
            time: self.now,
            command,
            job,
            error: None,
        });
    }
}

/// Enter on an error opens it.
pub(super) fn show_error(state: &mut State) -> bool {
    let is_error = state
        .notice
        .as_ref()
        .is_some_and(|n| n.severity == Severity::Error);
    if is_error {
        open_notice(state);
    }
    is_error
}

pub(super) fn open_notice(state: &mut State) {
    let lines = match (&state.notice, &state.stale) {
        (Some(notice), _) => {
            let hint = notice.hint.iter().map(|h| format!("hint: {h}"));
            notice.chain.iter().cloned().chain(hint).collect()
        }
        (None, Some(failure)) => failure.chain.clone(),
        (None, None) => return,
    };
    state.notice = None;
    state.overlays.push(Overlay::Message {
        title: "Message".to_owned(),
        lines,
    });
}
