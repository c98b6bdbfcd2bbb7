//! The layer explorer: an image's layers, the tree of one of them, and what of all that nobody sees. It takes the whole
//! screen; what it shows is computed here from what the engine has read, never while drawing.

pub mod layout;
pub mod lines;
mod scroll;
mod tree;
pub mod viewer;

use std::ops::Deref;
use std::sync::Arc;

use super::QueryId;
use super::jobs::Failure;
use crate::engine::Contents;
pub use crate::engine::model::layers::Target;
use crate::engine::model::layers::findings::{Finding, secret_files};
use crate::engine::model::layers::listing::Order;
use crate::engine::model::layers::{About, Explored, Hidden, LayerFacts};
pub use scroll::Scroll;
pub use tree::TreeView;
use viewer::Viewer;

/// An image that has been read as a whole, with what is made of it once.
#[derive(Debug)]
pub struct Looked {
    /// The image.
    pub image: Explored,
    /// Its paths by name.
    pub order: Order,
    /// What is hidden, the largest first.
    pub hidden: Vec<Hidden>,
    /// Where its files are.
    pub contents: Contents,
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
    pub fn new(image: Explored, contents: Contents) -> Self {
        let order = Order::of(&image.stack.tree);
        let hidden = image.hidden();
        Self(Arc::new(Looked {
            image,
            order,
            hidden,
            contents,
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
    /// So many bytes have come.
    Read(u64),
    /// The layers that have been read so far, the lowest first.
    Layers(Vec<LayerFacts>),
    /// The image up to a layer, while those above are still read.
    Part(Shared),
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
    /// What should be known before it ships.
    Findings,
}

/// What should be known of the image before it ships, once somebody asked.
#[derive(Debug, Default)]
pub enum Findings {
    /// Nobody did.
    #[default]
    Unasked,
    /// Files are being read for it.
    Asked(QueryId),
    /// The worst first, and how much more was found that may be.
    There(Vec<Finding>, usize),
    /// It cannot be told.
    Failed(Failure),
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
    /// Bytes that have come.
    pub came: u64,
    /// The image as far as its trees are known.
    pub image: Option<Shared>,
    /// That is everything.
    pub whole: bool,
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
    /// What should be known.
    pub findings: Findings,
    /// The list of it is open.
    pub findings_shown: bool,
    /// The chosen line of that list.
    pub finding: Scroll,
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
            came: 0,
            image: None,
            whole: false,
            failure: None,
            part: Part::Layers,
            layer: Scroll::default(),
            tree: TreeView::default(),
            waste_shown: false,
            waste: Scroll::default(),
            findings: Findings::default(),
            findings_shown: false,
            finding: Scroll::default(),
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
                // From now on the bytes of layers are counted.
                self.came = 0;
            }
            News::Read(bytes) => self.came = bytes,
            News::Layers(layers) => {
                self.read = layers.len();
                for (known, new) in self.layers.iter_mut().zip(layers) {
                    *known = new;
                }
            }
            News::Part(image) => {
                self.read = image.image.layers.len();
                for (known, new) in self.layers.iter_mut().zip(&image.image.layers) {
                    known.clone_from(new);
                }
                self.image = Some(image);
                self.show_layer();
            }
            News::Whole(image) => {
                self.read = image.image.layers.len();
                self.layers.clone_from(&image.image.layers);
                self.image = Some(image);
                self.whole = true;
                self.show_layer();
            }
            News::Failed(failure) => self.failure = Some(failure),
        }
    }

    /// Its files are still being read.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.whole && self.failure.is_none()
    }

    /// The image, if the tree of the chosen layer is known.
    #[must_use]
    pub fn image_of_layer(&self) -> Option<&Shared> {
        let image = self.image.as_ref()?;
        (self.whole || self.layer.at < image.image.layers.len()).then_some(image)
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
        match self.image_of_layer().cloned() {
            Some(image) => self.tree.look(&image, self.layer.at),
            None => self.tree.empty(self.layer.at),
        }
    }

    /// What was found, if that is known.
    #[must_use]
    pub fn found(&self) -> &[Finding] {
        match &self.findings {
            Findings::There(found, _) => found,
            Findings::Unasked | Findings::Asked(_) | Findings::Failed(_) => &[],
        }
    }

    /// What of the findings the cursor is on.
    #[must_use]
    pub fn chosen_finding(&self) -> Option<&Finding> {
        self.found().get(self.finding.at)
    }

    /// Takes what was found: filters for secrets know from now on.
    pub fn take_findings(&mut self, found: Vec<Finding>, let_be: usize) {
        if let Some(image) = self.image.clone() {
            let files = secret_files(&image.image, &found);
            self.tree.know_secrets(&image, files);
        }
        self.findings = Findings::There(found, let_be);
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
            Part::Findings => {
                let count = self.found().len();
                self.finding.step(lines, count);
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
        self.go_to(layer.into(), &image, Some(&hidden.path));
    }

    /// Goes to the layer that has what the cursor is on in the list of findings, or to the one that hides it; false if it is in
    /// no layer.
    pub fn jump_to_finding(&mut self, to_hiding: bool) -> bool {
        let (Some(image), Some(finding)) = (self.image.clone(), self.chosen_finding().cloned())
        else {
            return false;
        };
        let hiding = finding.hidden.filter(|_| to_hiding);
        let Some(layer) = hiding.or(finding.layer) else {
            return false;
        };
        self.go_to(layer.into(), &image, finding.path.as_deref());
        true
    }

    fn go_to(&mut self, layer: usize, image: &Shared, path: Option<&[u8]>) {
        self.layer.go_to(layer, self.layers.len());
        self.tree.show_change();
        self.show_layer();
        if let Some(path) = path {
            self.tree.reveal(image, path);
        }
        self.part = Part::Tree;
    }
}
