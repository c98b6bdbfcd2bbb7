//! What the journal says of images: their id, the name that was meant, and their labels, as Docker has it.

use super::Engine;
use super::model::image::{Image, Removed};
use super::model::{Event, Timestamp, event};

impl Engine {
    /// Of an image that is there, by a name of it.
    pub(super) fn note_image(&self, action: &str, name: &str) {
        let image = self.inner.images.resolve(name).ok();
        self.append(&of(image.as_ref(), action, name));
    }

    /// Of an image and a registry, which do not speak of ids.
    pub(super) fn note_transfer(&self, action: &str, name: &str) {
        let image = self.inner.images.resolve(name).ok();
        self.append(&Event {
            id: name.to_owned(),
            ..of(image.as_ref(), action, name)
        });
    }

    /// Of what was removed; `image` is what was known of it before.
    pub(super) fn note_removed(&self, image: Option<&Image>, removed: &[Removed]) {
        for (at, step) in removed.iter().enumerate() {
            let event = match step {
                Removed::Deleted(digest) => Event {
                    id: digest.to_string(),
                    ..of(image, "delete", digest.as_str())
                },
                Removed::Untagged(name) => {
                    // What is deleted next is what had the name.
                    let deleted = removed.iter().skip(at).find_map(|step| match step {
                        Removed::Deleted(digest) => Some(digest.to_string()),
                        Removed::Untagged(_) => None,
                    });
                    let known = of(image, "untag", name);
                    Event {
                        id: deleted.filter(|_| image.is_none()).unwrap_or(known.id),
                        ..known
                    }
                }
            };
            self.append(&event);
        }
    }
}

fn of(image: Option<&Image>, action: &str, name: &str) -> Event {
    let mut attributes = image
        .map(|image| image.config.labels.clone())
        .unwrap_or_default();
    attributes.insert("name".to_owned(), name.to_owned());
    Event {
        time: Timestamp::now(),
        kind: event::Kind::Image,
        action: action.to_owned(),
        id: image.map_or_else(|| name.to_owned(), |image| image.summary.id.to_string()),
        attributes,
    }
}
