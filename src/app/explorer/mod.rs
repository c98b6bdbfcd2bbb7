//! The layer explorer: an image's layers, the tree of one of them, and what of all that nobody sees. It takes the whole
//! screen; what it shows is computed here from what the engine has read, never while drawing.

pub mod layout;
pub mod lines;
mod scroll;
mod tree;
pub mod viewer;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use super::jobs::Failure;
use crate::engine::model::Platform;
use crate::engine::model::layers::listing::Order;
use crate::engine::model::layers::{About, Explored, Hidden, LayerFacts};
pub use scroll::Scroll;
pub use tree::TreeView;
use viewer::Viewer;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// In the store.
    Stored(String),
    /// In an archive that lies somewhere: no store is needed.
    Archive {
        /// The archive or directory.
        path: PathBuf,
        /// One of several images in it.
        name: Option<String>,
        /// Which platform of it.
        platform: Option<Platform>,
    },
}

impl Target {
    /// As the command line has it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Stored(name) => name.clone(),
            Self::Archive { path, name, .. } => {
                let path = path.to_string_lossy();
                let shown = if path.starts_with(['/', '.']) || path == "-" {
                    path.into_owned()
                } else {
                    format!("./{path}")
                };
                match name {
                    Some(name) => format!("{shown}:{name}"),
                    None => shown,
                }
            }
        }
    }
}

/// An image that has been read as a whole, with what is made of it once.
#[derive(Debug)]
pub struct Looked {
    /// The image.
    pub image: Explored,
    /// Its paths by name.
    pub order: Order,
    /// What is hidden, the largest first.
    pub hidden: Vec<Hidden>,
}

/// The same for many to look at.
#[derive(Clone)]
pub struct Shared(Arc<Looked>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shared")
            .field(&self.image.about.name)
            .finish()
    }
}

impl Shared {
    /// Sorts and sums up.
    #[must_use]
    pub fn new(image: Explored) -> Self {
        let order = Order::of(&image.stack.tree);
        let hidden = image.hidden();
        Self(Arc::new(Looked {
            image,
            order,
            hidden,
        }))
    }
}

impl Deref for Shared {
    type Target = Looked;

    fn deref(&self) -> &Looked {
        &self.0
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shared {}

/// What became known.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// What the image's documents say.
    Outline(Box<About>, Vec<LayerFacts>),
    /// The layers that have been read so far, the lowest first.
    Layers(Vec<LayerFacts>),
    /// Everything.
    Whole(Shared),
    /// It cannot be read.
    Failed(Failure),
}

/// What has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The layers.
    Layers,
    /// The tree of the chosen one.
    Tree,
    /// What is hidden.
    Waste,
}

/// The explorer of one image.
#[derive(Debug)]
pub struct Explorer {
    /// What is looked into.
    pub target: Target,
    /// Tells its news from those of another one.
    pub generation: u64,
    /// wharf was started for it: whoever leaves it leaves wharf.
    pub alone: bool,
    /// The image's documents.
    pub about: Option<About>,
    /// Layers that came with the base image, as far as the history tells.
    pub base: usize,
    /// The layers, the lowest first.
    pub layers: Vec<LayerFacts>,
    /// How many of them have been read.
    pub read: usize,
    /// Everything, once it is there.
    pub image: Option<Shared>,
    /// Why there is no more.
    pub failure: Option<Failure>,
    /// What has the keys.
    pub part: Part,
    /// The chosen layer.
    pub layer: Scroll,
    /// Its tree.
    pub tree: TreeView,
    /// The list of what is hidden is open; the tree tells hidden bytes, too.
    pub waste_shown: bool,
    /// The chosen line of that list.
    pub waste: Scroll,
    /// A file that is read.
    pub viewer: Option<Viewer>,
}

impl Explorer {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(target: Target, generation: u64, alone: bool) -> Self {
        Self {
            target,
            generation,
            alone,
            about: None,
            base: 0,
            layers: Vec::new(),
            read: 0,
            image: None,
            failure: None,
            part: Part::Layers,
            layer: Scroll::default(),
            tree: TreeView::default(),
            waste_shown: false,
            waste: Scroll::default(),
            viewer: None,
        }
    }

    /// Takes what became known.
    pub fn take(&mut self, news: News) {
        match news {
            News::Outline(about, layers) => {
                self.base = about.base_layers().min(layers.len());
                self.about = Some(*about);
                self.layers = layers;
            }
            News::Layers(layers) => {
                self.read = layers.len();
                for (known, new) in self.layers.iter_mut().zip(layers) {
                    *known = new;
                }
            }
            News::Whole(image) => {
                self.read = image.image.layers.len();
                self.layers.clone_from(&image.image.layers);
                self.image = Some(image);
                self.show_layer();
            }
            News::Failed(failure) => self.failure = Some(failure),
        }
    }

    /// Its files are still being read.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.image.is_none() && self.failure.is_none()
    }

    /// Bytes of all layers that have been read, or that the documents tell.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Bytes that are hidden.
    #[must_use]
    pub fn wasted(&self) -> u64 {
        self.layers.iter().map(|layer| layer.wasted).sum()
    }

    /// What of the list of hidden bytes the cursor is on.
    #[must_use]
    pub fn chosen_waste(&self) -> Option<&Hidden> {
        self.image.as_ref()?.hidden.get(self.waste.at)
    }

    /// Shows the tree of the chosen layer.
    pub fn show_layer(&mut self) {
        if let Some(image) = &self.image {
            self.tree.look(image, self.layer.at);
        }
    }

    /// Chooses another layer; true if it is another.
    pub fn step_layer(&mut self, lines: isize) -> bool {
        let before = self.layer.at;
        self.layer.step(lines, self.layers.len());
        let other = before != self.layer.at;
        if other {
            self.show_layer();
        }
        other
    }

    /// Moves in the list that has the keys.
    pub fn step(&mut self, lines: isize) {
        match self.part {
            Part::Layers => {
                self.step_layer(lines);
            }
            Part::Tree => self.tree.step(lines),
            Part::Waste => {
                let count = self.image.as_ref().map_or(0, |image| image.hidden.len());
                self.waste.step(lines, count);
            }
        }
    }

    /// Goes to the layer that brought what the cursor is on in the list of hidden bytes, or to the one that hides it, with
    /// the path in view.
    pub fn jump(&mut self, to_hiding: bool) {
        let Some(image) = self.image.clone() else {
            return;
        };
        let Some(hidden) = image.hidden.get(self.waste.at) else {
            return;
        };
        let layer = if to_hiding {
            hidden.hidden
        } else {
            hidden.added
        };
        let at = usize::from(layer);
        self.layer.go_to(at, self.layers.len());
        self.tree.show_change();
        self.show_layer();
        self.tree.reveal(&image, &hidden.path);
        self.part = Part::Tree;
    }
}
