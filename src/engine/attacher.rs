//! What a monitor has for networks: `net` behind the runtime's trait, and events of what was joined and left.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use super::error::{Error, Result};
use super::model::network::Attachment;
use super::model::{Event, Timestamp, event};
use super::net::attach::{About, Member};
use super::net::connection::Connection;
use super::runtime::journal;
use super::runtime::monitor::{Networks, Plan, TOKENS};
use super::sys::poll::{Poller, Ready};

/// The networks of one container.
#[derive(Debug)]
pub struct Attacher {
    connection: Connection,
}

impl Default for Attacher {
    fn default() -> Self {
        Self {
            connection: Connection::new(TOKENS),
        }
    }
}

impl Networks for Attacher {
    fn attach(
        &mut self,
        plan: &Plan,
        live: &Path,
        namespace: BorrowedFd<'_>,
        poller: &Poller,
    ) -> Result<()> {
        let Some(about) = about(plan, live) else {
            return Ok(());
        };
        for member in self.connection.attach(&about, namespace, poller)? {
            note(plan, "connect", &member);
        }
        Ok(())
    }

    fn handle(&mut self, _plan: &Plan, ready: Ready, poller: &Poller) {
        self.connection.handle(ready, poller);
    }

    fn deadline(&self) -> Option<Instant> {
        self.connection.deadline()
    }

    fn tick(&mut self, now: Instant, poller: &Poller) {
        self.connection.tick(now, poller);
    }

    fn connect(
        &mut self,
        plan: &Plan,
        live: &Path,
        namespace: BorrowedFd<'_>,
        attachment: &Attachment,
        poller: &Poller,
    ) -> Result<()> {
        let Some(about) = about(plan, live) else {
            return Err(Error::conflict("the container is on no network"));
        };
        let connection = &mut self.connection;
        let member = connection.connect(&about, namespace, attachment, poller)?;
        note(plan, "connect", &member);
        Ok(())
    }

    fn disconnect(
        &mut self,
        plan: &Plan,
        live: &Path,
        namespace: BorrowedFd<'_>,
        network: &str,
        poller: &Poller,
    ) -> Result<()> {
        let Some(about) = about(plan, live) else {
            return Err(Error::conflict("the container is on no network"));
        };
        let connection = &mut self.connection;
        let member = connection.disconnect(&about, namespace, network, poller)?;
        note(plan, "disconnect", &member);
        Ok(())
    }

    fn detach(&mut self, plan: &Plan, live: &Path) -> Vec<Error> {
        let Some(about) = about(plan, live) else {
            return Vec::new();
        };
        let (left, errors) = self.connection.detach(&about);
        for member in left {
            note(plan, "disconnect", &member);
        }
        errors
    }

    fn rest(&mut self) {
        self.connection.rest();
    }

    fn clear(&mut self) -> Vec<Error> {
        self.connection.clear()
    }
}

fn about<'a>(plan: &'a Plan, live: &'a Path) -> Option<About<'a>> {
    Some(About {
        id: &plan.id,
        name: &plan.name,
        live,
        networking: plan.networking.as_ref()?,
    })
}

/// A journal that cannot be written stops nothing.
fn note(plan: &Plan, action: &str, member: &Member) {
    let attributes = [
        ("container", plan.id.to_string()),
        ("name", member.name.clone()),
        ("type", member.driver.as_str().to_owned()),
    ];
    let event = Event {
        time: Timestamp::now(),
        kind: event::Kind::Network,
        action: action.to_owned(),
        id: member.network.to_string(),
        attributes: attributes
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    };
    let _ = journal::append(&plan.events, &event);
}
