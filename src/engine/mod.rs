//! The engine: images, containers, processes. It does not know who is asking.
//!
//! [`Engine`] is the only door for command line, TUI and API. Its methods block; callers that must not block run them
//! on a thread of their own.

pub mod error;
pub mod model;

pub mod store;
pub mod sys;

pub mod build;
pub mod images;
pub mod net;
pub mod runtime;

mod alter;
pub mod attacher;
mod boot;
mod config;
mod connections;
mod containers;
mod contexts;
mod etc_files;
mod files;
mod image_events;
mod journal_log;
mod launch;
mod leftovers;
mod limits;
mod log_pieces;
mod names;
mod network_rules;
mod networks;
mod processes;
mod prune;
mod records;
mod teardown;
mod user_ids;
mod volumes;
mod working_dir;

pub mod copy;
pub mod credentials;
pub mod events;
pub mod logs;
pub mod manifests;
pub mod stats;
pub mod system;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use error::{Attempt, Error, Kind, Result};
use images::{Images, InUse};
use model::container::{Change, Sizes};
use model::copy::{Sort, Source as CopySource};
use model::digest::ImageId;
use model::image::{Image, Loaded, Removed};
use model::layers::findings::Evidence;
use model::layers::squash::Squashed;
use model::layers::{Explored, Step, Target};
use model::manifest::{Listed, PushedList, Trust};
use model::network::{Attachment, Endpoint, Network};
use model::process::Process;
use model::progress::Report;
use model::registry::{
    Checked, DiskUsage, Hit, PrunableContainer, PrunePlan, Pruned, PrunedContainers, Pulled,
    Pushed, Referrer, Turn,
};
use model::sharing::Sharing;
use model::volume::{PrunedVolumes, Volume, VolumeUsage};
use model::{Cancel, Container, ContainerId, ContainerSummary, Digest, ImageSummary, request};
use runtime::cgroup::Hierarchy;
pub use runtime::channel::{Exit, Output, Session, SessionReader, SessionWriter};
use runtime::control::{self, Waiting};
use runtime::spec;
use store::Roots;
use sys::{file, host};
pub use system::HostInfo;

/// A handle on the two roots. Cheap to clone; any number of processes may hold one.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    roots: Roots,
    surroundings: Surroundings,
    /// One for all: its connections and tokens are shared.
    registries: OnceLock<images::registry::Client>,
    binary: Option<PathBuf>,
    images: Images,
    hierarchy: OnceLock<Hierarchy>,
    spec_host: OnceLock<spec::Host>,
    /// Made by [`Engine::warm_up`].
    spare: Mutex<Option<Spare>>,
}

/// The next container's id and monitor.
#[derive(Debug)]
struct Spare {
    id: ContainerId,
    monitor: Waiting,
    /// A container has this id now.
    given: bool,
}

pub use boot::Turn as BootTurn;
pub use images::Source;
pub use images::explore::{Contents, FileStart, Reading};
pub use images::registry::{Proxies, Surroundings};

/// What `create` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The new id.
    pub id: ContainerId,
    /// Things the user should know, one line each.
    pub warnings: Vec<String>,
}

pub use model::request::AttachTo;
/// Where standard input is something else, keys come from there.
pub use sys::file::has_controlling_terminal;
/// For files that the user wrote, such as the keymap: reading them is the same careful work.
pub use sys::file::read_optional as read_user_file;
/// For what the user wants written, and to choose where.
pub use sys::file::{list_entries, write_user_file};
pub use sys::new_file::NewFile;

impl Engine {
    /// Opens (and makes, if missing) the two roots. Monitors are started from this process's own binary.
    ///
    /// # Errors
    /// [`Kind::Denied`] without root's rights; what the file system says.
    pub fn open(roots: Roots) -> Result<Self> {
        Self::open_in(roots, Surroundings::default())
    }

    /// The same, with what of the caller's surroundings registries depend on.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in(roots: Roots, surroundings: Surroundings) -> Result<Self> {
        Self::open_with(roots, surroundings, None)
    }

    /// The same, with the path of the wharf binary that becomes the monitors: for tests and embedders.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_binary(roots: Roots, binary: PathBuf) -> Result<Self> {
        Self::open_with(roots, Surroundings::default(), Some(binary))
    }

    fn open_with(
        roots: Roots,
        surroundings: Surroundings,
        binary: Option<PathBuf>,
    ) -> Result<Self> {
        if !host::is_root() {
            return Err(Error::new(
                Kind::Denied,
                "open the engine: only root may run containers",
            )
            .with_hint("use sudo, or log in as root"));
        }
        let needed = [
            roots.containers(),
            roots.names(),
            roots.live_directories(),
            roots.run.join("locks"),
        ];
        for directory in needed {
            file::create_private_dir(&directory)?;
        }
        let images = Images::open(&roots)?;
        let inner = Inner {
            roots,
            surroundings,
            registries: OnceLock::new(),
            binary,
            images,
            hierarchy: OnceLock::new(),
            spec_host: OnceLock::new(),
            spare: Mutex::new(None),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.inner.roots
    }

    /// Facts about host and engine.
    ///
    /// # Errors
    /// What reading `/proc` says.
    pub fn host_info(&self) -> Result<HostInfo> {
        system::host_info(self.roots(), self.hierarchy()?.version())
    }

    // Images.

    /// Brings in every image of an archive. On failure or cancel nothing of it is left but whole, verified blobs that
    /// the next load uses.
    ///
    /// # Errors
    /// A broken or hostile archive, a full disk.
    pub fn load(&self, source: Source, report: Report<'_>, cancel: &Cancel) -> Result<Vec<Loaded>> {
        self.load_for(source, None, report, cancel)
    }

    /// The same, and of several platforms another one than the host's.
    ///
    /// # Errors
    /// As [`Self::load`]; [`Kind::NotFound`] for an archive without an image for it.
    pub fn load_for(
        &self,
        source: Source,
        platform: Option<&model::Platform>,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Loaded>> {
        let loaded = self
            .inner
            .images
            .load_for(source, platform, report, cancel)?;
        for image in &loaded {
            let name = match image {
                Loaded::Tagged(name) => name.clone(),
                Loaded::Untagged(id) => id.to_string(),
            };
            self.note_image("load", &name);
        }
        Ok(loaded)
    }

    /// Makes a one-layer image of a root file system tar (plain, gzip or zstd).
    ///
    /// # Errors
    /// A broken tar, an instruction in `changes` that does not exist.
    pub fn import(
        &self,
        tar: &mut dyn Read,
        request: &request::Import,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Digest> {
        let id = self.inner.images.import(tar, request, report, cancel)?;
        self.note_image("import", id.as_str());
        Ok(id)
    }

    /// Opens a file of the web, for [`Self::import`].
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] for what is no URL; [`Kind::NotFound`], [`Kind::Unavailable`].
    pub fn download(&self, url: &str) -> Result<images::Download> {
        images::Download::open(&self.registries()?, url)
    }

    /// Makes an image of layers that were generated: each is what made it and a tar, bottom first.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn assemble(
        &self,
        reference: &model::Reference,
        config: &model::ContainerConfig,
        layers: Vec<(String, Box<dyn Read + Send + '_>)>,
        cancel: &Cancel,
    ) -> Result<Digest> {
        let id = self
            .inner
            .images
            .assemble(reference, config, layers, cancel)?;
        self.note_image("import", id.as_str());
        Ok(id)
    }

    /// Writes images as one archive that `docker load` and OCI tools read: how many bytes it has.
    ///
    /// # Errors
    /// An unknown image (before anything is written), or what writing says.
    pub fn save(
        &self,
        names: &[String],
        out: &mut dyn Write,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<u64> {
        let written = self.inner.images.save(names, out, report, cancel)?;
        for name in names {
            self.note_image("save", name);
        }
        Ok(written)
    }

    /// All images, newest first.
    ///
    /// # Errors
    /// A damaged store.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        self.inner.images.list()
    }

    /// What each of these names of images means now; those that mean nothing are left out.
    ///
    /// # Errors
    /// A damaged store.
    pub fn image_meanings<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<&'a str, ImageId>> {
        self.inner.images.meanings(names)
    }

    /// One image by reference, id or id prefix.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::InvalidInput`] for a prefix that fits two.
    pub fn image(&self, name: &str) -> Result<Image> {
        self.inner.images.resolve(name)
    }

    /// An image of the store with everything that its layers' indexes say; nothing else is read.
    ///
    /// # Errors
    /// As [`Self::image`]; a damaged index.
    pub fn explore(&self, name: &str) -> Result<Explored> {
        let nothing = &mut |_: Step<'_>| ();
        self.inner.images.explore(name, nothing, &Cancel::new())
    }

    /// Looks into an image wherever it is: all that its layers say, and where their files are. Each step is told. Only what is in
    /// the store needs an engine; nothing is kept but lists of layers, and files without a name. Of [`Reading::Files`] there is what
    /// its files say, unless it is in the store: [`Contents::evidence`] reads that.
    ///
    /// # Errors
    /// As [`Self::image`]; what the registry or the other engine says; `InvalidInput` for what is malformed;
    /// [`Kind::Cancelled`].
    pub fn look_into(
        engine: Option<&Self>,
        surroundings: &Surroundings,
        target: &Target,
        reading: Reading,
        watch: &mut dyn FnMut(Step<'_>),
        cancel: &Cancel,
    ) -> Result<(Explored, Contents, Option<Evidence>)> {
        let looked = match target {
            Target::Stored(name) => {
                let no_store = || Error::new(Kind::Unsupported, "there is no store to look into");
                let images = &engine.ok_or_else(no_store)?.inner.images;
                let explored = images.explore(name, watch, cancel)?;
                // Its name may mean another one by now.
                let contents = images.contents(&explored.about.id)?;
                return Ok((explored, contents, None));
            }
            Target::Archive {
                path,
                name,
                platform,
                cache,
            } => images::explore::archive(
                path,
                cache.as_deref(),
                (name.as_deref(), platform.as_ref()),
                reading,
                watch,
                cancel,
            ),
            Target::Rootfs(path) => images::explore::rootfs(path, reading, watch, cancel),
            Target::Registry { wanted, cache } => {
                let settings = images::registry::Settings::read(surroundings)?;
                let client = images::registry::Client::new(settings)?;
                images::explore::registry(&client, wanted, cache.as_deref(), reading, watch, cancel)
            }
            Target::Engine {
                socket,
                image,
                platform,
                ..
            } => images::explore::engine(socket, image, platform.as_ref(), reading, watch, cancel),
        };
        let (explored, contents, evidence) = looked?;
        let evidence = (reading == Reading::Files).then_some(evidence);
        Ok((explored, contents, evidence))
    }

    /// Makes an image of another one whose upper layers are one, without what nobody sees in them, and shows that its file
    /// system is the same.
    ///
    /// # Errors
    /// As [`Self::image`]; [`Kind::InvalidInput`] for a layer that is not there; a damaged layer. Nothing is left then.
    pub fn squash_layers(
        &self,
        name: &str,
        request: &request::Squash,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Squashed> {
        let made = self.inner.images.squash(name, request, report, cancel)?;
        let reference = request.reference.clone().with_default_tag();
        self.note_image("tag", &reference.familiar());
        Ok(made)
    }

    /// Media type and bytes of an image's manifest.
    ///
    /// # Errors
    /// A damaged store.
    pub fn describe_manifest(&self, digest: &Digest) -> Result<(String, u64)> {
        self.inner.images.describe_manifest(digest)
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// An unknown source, a malformed target.
    pub fn tag(&self, source: &str, target: &str) -> Result<()> {
        self.inner.images.tag(source, target)?;
        self.note_image("tag", target);
        Ok(())
    }

    /// Removes a tag, or the image with its last one.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when a container uses it, unless forced (and never while one runs).
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let users = |id: &Digest| containers::users_of(self, id);
        let layers = || containers::layers_in_use(self);
        let in_use = InUse {
            users: &users,
            layers: &layers,
        };
        let image = self.inner.images.resolve(name).ok();
        let removed = self.inner.images.remove(name, force, &in_use)?;
        self.note_removed(image.as_ref(), &removed);
        Ok(removed)
    }

    /// Brings images of a registry into the store. On failure or cancel what was fetched is kept for the next pull, and
    /// no image is half there.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unauthorized`], [`Kind::Unavailable`]; content that is not what it says.
    pub fn pull(
        &self,
        request: &request::Pull,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Pulled>> {
        self.pull_each(request, &|_| (), report, cancel)
    }

    /// The same, and tells of each name in its turn.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn pull_each(
        &self,
        request: &request::Pull,
        tell: &dyn Fn(Turn<'_, Pulled>),
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Pulled>> {
        let client = self.registries()?;
        let noted = |turn: Turn<'_, Pulled>| {
            if let Turn::Done(image) = turn {
                self.note_transfer("pull", &image.reference.familiar());
            }
            tell(turn);
        };
        let images = &self.inner.images;
        images.pull(&client, request, &noted, report, cancel)
    }

    /// Sends images of the store to a registry.
    ///
    /// # Errors
    /// As [`Self::pull`]; [`Kind::NotFound`] for an image that is not in the store.
    pub fn push(
        &self,
        request: &request::Push,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Pushed>> {
        self.push_each(request, &|_| (), report, cancel)
    }

    /// The same, and tells of each name in its turn.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_each(
        &self,
        request: &request::Push,
        tell: &dyn Fn(Turn<'_, Pushed>),
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Pushed>> {
        let client = self.registries()?;
        let noted = |turn: Turn<'_, Pushed>| {
            if let Turn::Done(image) = turn {
                self.note_transfer("push", &image.reference.familiar());
            }
            tell(turn);
        };
        let images = &self.inner.images;
        let in_use = || containers::layers_in_use(self);
        images.push(&client, request, &in_use, &noted, report, cancel)
    }

    /// Checks credentials with a registry: the refresh token that it gave for them, if any.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`], [`Kind::Unavailable`].
    pub fn login(&self, registry: &str, auth: &model::Auth) -> Result<Option<model::Secret>> {
        let client = self.registries()?;
        images::block_on(client.login(registry, auth))
    }

    /// Looks for images on Docker Hub or another registry that has its v1 search.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub fn search(&self, request: &request::Search) -> Result<Vec<Hit>> {
        let client = self.registries()?;
        images::block_on(client.search(request))
    }

    /// What refers to an image in its registry: signatures, SBOMs.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn referrers(
        &self,
        reference: &model::Reference,
        auth: &model::Auth,
    ) -> Result<Vec<Referrer>> {
        self.inner
            .images
            .referrers(&self.registries()?, reference, auth)
    }

    /// A manifest or an index of a registry, and of an image what it is for.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn manifest(
        &self,
        reference: &model::Reference,
        auth: &model::Auth,
        trust: Trust,
    ) -> Result<Listed> {
        Images::manifest(&self.registries_as(reference, trust)?, reference, auth)
    }

    /// The document of a list of manifests, as it would be pushed.
    ///
    /// # Errors
    /// What encoding says.
    pub fn manifest_list(list: &[Listed]) -> Result<Vec<u8>> {
        images::manifest_list::index(list).map(|(_, document)| document)
    }

    /// Stores a list of manifests in a registry. Those of other repositories of the same registry are brought into the
    /// list's own.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] for an entry of another registry or without a platform; as [`Self::push`].
    pub fn push_manifest_list(
        &self,
        target: &model::Reference,
        list: &[Listed],
        auth: &model::Auth,
        trust: Trust,
    ) -> Result<PushedList> {
        let client = self.registries_as(target, trust)?;
        Images::push_manifest_list(&client, target, list, auth)
    }

    /// What [`Self::prune_images`] would take.
    ///
    /// # Errors
    /// A damaged store.
    pub fn plan_prune_images(&self, request: &request::PruneImages) -> Result<PrunePlan> {
        let users = |id: &Digest| containers::users_of(self, id);
        let layers = || containers::layers_in_use(self);
        let in_use = InUse {
            users: &users,
            layers: &layers,
        };
        self.inner.images.plan_prune(request, &in_use)
    }

    /// Removes images that nothing uses: dangling ones, or all.
    ///
    /// # Errors
    /// A damaged store.
    pub fn prune_images(&self, request: &request::PruneImages) -> Result<Pruned> {
        let users = |id: &Digest| containers::users_of(self, id);
        let layers = || containers::layers_in_use(self);
        let in_use = InUse {
            users: &users,
            layers: &layers,
        };
        let pruned = self.inner.images.prune(request, &in_use)?;
        self.note_removed(None, &pruned.removed);
        Ok(pruned)
    }

    /// What is on disk, and what could be given back.
    ///
    /// # Errors
    /// A damaged store.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        system::disk_usage(self)
    }

    /// Which images of the store share which layers, and what removing each would give back.
    ///
    /// # Errors
    /// A damaged store.
    pub fn sharing(&self) -> Result<Sharing> {
        system::sharing(self)
    }

    /// Reads the whole store and says what is wrong with it. `auth` is asked what the user shows to a registry from which
    /// something is fetched again.
    ///
    /// # Errors
    /// A store that cannot be read; what is damaged in it is in the answer.
    pub fn check(
        &self,
        request: request::Check,
        auth: &dyn Fn(&str) -> Result<model::Auth>,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Checked> {
        system::check(self, request, auth, report, cancel)
    }

    // Containers.

    /// All containers, newest first, with their state as the kernel has it now. Containers whose monitor was killed
    /// are recovered on the way.
    ///
    /// # Errors
    /// A damaged record.
    pub fn containers(&self) -> Result<Vec<ContainerSummary>> {
        containers::list(self)
    }

    /// The container of a name, id or unambiguous id prefix.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::InvalidInput`] for a prefix that fits two.
    pub fn resolve(&self, name: &str) -> Result<ContainerId> {
        records::resolve(self.roots(), name)
    }

    /// One container.
    ///
    /// # Errors
    /// [`Kind::NotFound`], a damaged record.
    pub fn container(&self, id: &ContainerId) -> Result<ContainerSummary> {
        containers::get(self, id)
    }

    /// A hint that a container will be created and started at once: its monitor begins its own start-up now, while the
    /// caller goes on (about a millisecond of a `run`). It ends by itself if nothing comes of it.
    pub fn warm_up(&self) {
        let id = containers::new_id();
        // Without it the start spawns its own and says what is wrong.
        if let Ok(monitor) = control::spawn_waiting(self.binary(), &self.roots().live(&id)) {
            *self.spare() = Some(Spare {
                id,
                monitor,
                given: false,
            });
        }
    }

    /// Makes a container without starting it. Nothing is left on failure.
    ///
    /// # Errors
    /// An unknown image, a taken name, a request that cannot be.
    pub fn create(&self, request: &request::Create) -> Result<Created> {
        containers::create(self, request)
    }

    /// Starts a container; a running one is left alone (`Ok`). With `attach`, the session misses no byte of output.
    ///
    /// # Errors
    /// [`Kind::CommandNotFound`], [`Kind::CommandNotRunnable`], or the step of the start that failed; the container is
    /// then as it was before, with the error in its state.
    pub fn start(&self, id: &ContainerId, attach: Option<AttachTo>) -> Result<Option<Session>> {
        containers::start(self, id, attach)
    }

    /// Joins the streams of a running container.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it does not run.
    pub fn attach(&self, id: &ContainerId, to: AttachTo) -> Result<Session> {
        containers::attach(self, id, to)
    }

    /// Stops: signal, grace time, SIGKILL. A stopped one is left alone (`Ok`).
    ///
    /// # Errors
    /// An unknown signal or container.
    pub fn stop(&self, id: &ContainerId, request: &request::Stop) -> Result<()> {
        containers::stop(self, id, request, containers::Keep::AsConfigured)
    }

    /// Stops and starts.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub fn restart(&self, id: &ContainerId, request: &request::Stop) -> Result<()> {
        containers::restart(self, id, request)
    }

    /// Sends a signal to the main process.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it does not run.
    pub fn kill(&self, id: &ContainerId, signal: i32) -> Result<()> {
        containers::kill(self, id, signal)
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it does not run or is paused already.
    pub fn pause(&self, id: &ContainerId) -> Result<()> {
        self.explained(id, containers::pause(self, id))
    }

    /// Thaws them.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it is not paused.
    pub fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.explained(id, containers::unpause(self, id))
    }

    /// Removes a container and everything of it.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it runs and is not forced; else what could not be taken away, and the rest is.
    pub fn remove(&self, id: &ContainerId, request: request::Remove) -> Result<()> {
        containers::remove(self, id, request)
    }

    /// Takes a link of a container away, `container/alias`: its files say so from its next start on.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Conflict`] for a container's own name.
    pub fn unlink(&self, link: &str) -> Result<()> {
        alter::unlink(self, link)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is taken; [`Kind::InvalidInput`] for what is no name. The old one stays then.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.explained(id, alter::rename(self, id, name))
    }

    /// Changes limits and restart policy, at once where it runs, and for the next start.
    ///
    /// # Errors
    /// A limit that cannot be, or that the kernel refuses: then everything is as it was.
    pub fn update(&self, id: &ContainerId, request: &request::Update) -> Result<()> {
        self.explained(id, alter::update(self, id, request))
    }

    /// What differs from the image in a container's files, sorted by path.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; what reading says.
    pub fn changes(&self, id: &ContainerId) -> Result<Vec<Change>> {
        self.explained(id, files::list_changes(self, id))
    }

    /// Writes a container's root file system as a tar archive, without what is mounted in it.
    ///
    /// # Errors
    /// What reading and writing say; the archive is then cut short.
    pub fn export(
        &self,
        id: &ContainerId,
        out: &mut (dyn Write + Send),
        cancel: &Cancel,
    ) -> Result<()> {
        self.explained(id, files::export(self, id, out, cancel))
    }

    /// Makes an image of a container.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if its image is gone; [`Kind::InvalidInput`] for an instruction that cannot be applied. No
    /// image is made then.
    pub fn commit(
        &self,
        id: &ContainerId,
        request: &request::Commit,
        cancel: &Cancel,
    ) -> Result<ImageId> {
        let image = self.explained(id, files::commit(self, id, request, cancel))?;
        if let Some(name) = &request.reference {
            self.note_image("tag", &name.familiar());
        }
        Ok(image)
    }

    /// What is at a path of a container, as its processes see it, or would; `None` if there is nothing.
    ///
    /// # Errors
    /// [`Kind::Conflict`] while it restarts; what the kernel says.
    pub fn look(&self, id: &ContainerId, path: &str) -> Result<Option<Sort>> {
        self.explained(id, copy::look(self, id, path))
    }

    /// Writes a file or directory of a container as a tar archive.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; what reading and writing say. The archive is then cut short.
    pub fn copy_out(
        &self,
        id: &ContainerId,
        source: &CopySource,
        out: &mut (dyn Write + Send),
        cancel: &Cancel,
    ) -> Result<()> {
        self.explained(id, copy::copy_out(self, id, source, out, cancel))
    }

    /// Extracts an archive, also a compressed one, into a directory of a container.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for the directory; [`Kind::Denied`] for one that is read-only; an archive that cannot be read.
    pub fn copy_in(
        &self,
        id: &ContainerId,
        directory: &str,
        owners: copy::Owners,
        input: &mut (dyn Read + Send),
        cancel: &Cancel,
    ) -> Result<()> {
        let done = copy::copy_in(self, id, directory, owners, input, cancel);
        self.explained(id, done)
    }

    /// Bytes that a container has written, and with its image.
    ///
    /// # Errors
    /// What reading its files says.
    pub fn sizes(&self, container: &Container) -> Result<Sizes> {
        files::sizes(self, container)
    }

    /// What a running container is connected to: all its sockets of TCP and UDP.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it does not run.
    pub fn connections(&self, id: &ContainerId) -> Result<Vec<model::reach::Connection>> {
        connections::list(self, id)
    }

    /// The processes of a running container, oldest first.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it does not run.
    pub fn processes(&self, id: &ContainerId) -> Result<Vec<Process>> {
        self.explained(id, processes::of(self, id))
    }

    /// What [`Engine::prune_containers`] would take now, with the bytes that each wrote.
    ///
    /// # Errors
    /// A damaged record.
    pub fn plan_prune_containers(
        &self,
        request: &request::PruneContainers,
    ) -> Result<Vec<PrunableContainer>> {
        prune::plan_containers(self, request)
    }

    /// Removes containers that do not run.
    ///
    /// # Errors
    /// A damaged record; what could not be removed is left out of the answer.
    pub fn prune_containers(&self, request: &request::PruneContainers) -> Result<PrunedContainers> {
        prune::containers(self, request)
    }

    // Volumes.

    /// All networks, by name; those that are always there are made if they are missing.
    ///
    /// # Errors
    /// A damaged store.
    pub fn networks(&self) -> Result<Vec<Network>> {
        networks::list(self)
    }

    /// One network by name, id or prefix of the id.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::InvalidInput`] for a prefix that fits two.
    pub fn network(&self, name: &str) -> Result<Network> {
        networks::find(self, name)
    }

    /// Who is on a network now.
    ///
    /// # Errors
    /// A damaged store.
    pub fn network_members(&self, network: &Network) -> Result<Vec<Endpoint>> {
        networks::endpoints(self, network)
    }

    /// Makes a network. Its bridge is made when the first container comes.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; [`Kind::InvalidInput`] for what cannot be; [`Kind::Denied`] for a subnet in use.
    pub fn create_network(&self, request: &request::CreateNetwork) -> Result<Network> {
        networks::create(self, request)
    }

    /// Removes a network that nobody is on, with its bridge and its rules.
    ///
    /// # Errors
    /// [`Kind::Denied`] while somebody is on it, and for one that is always there; [`Kind::NotFound`].
    pub fn remove_network(&self, name: &str) -> Result<Network> {
        networks::remove(self, name)
    }

    /// Removes networks of users that nobody is on: their names.
    ///
    /// # Errors
    /// A damaged store.
    pub fn prune_networks(&self, request: &request::PruneNetworks) -> Result<Vec<String>> {
        networks::prune(self, request)
    }

    /// Puts a container on a further network, at once if it runs.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Conflict`] if it is on that network already, or has somebody else's network.
    pub fn connect_network(&self, id: &ContainerId, attachment: &Attachment) -> Result<()> {
        networks::connect(self, id, attachment)
    }

    /// Takes a container off a network. By `force`, one that is gone already is no error.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Conflict`] if it is not on that network.
    pub fn disconnect_network(&self, network: &str, container: &str, force: bool) -> Result<()> {
        networks::disconnect(self, network, container, force)
    }

    /// Makes bridges and firewall rules again from the files: what was done, one line each.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn repair_networks(&self) -> Result<Vec<String>> {
        networks::repair(self)
    }

    /// Makes a volume; one of that name that is there is kept.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] for a name or an option that cannot be.
    pub fn create_volume(&self, request: &request::CreateVolume) -> Result<Volume> {
        volumes::create(self, request)
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// A damaged record.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        volumes::list(self)
    }

    /// One volume.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn volume(&self, name: &str) -> Result<Volume> {
        volumes::get(self, name)
    }

    /// Which containers have which volume, whether they run or not.
    ///
    /// # Errors
    /// A damaged record.
    pub fn volume_users(&self) -> Result<BTreeMap<String, Vec<ContainerId>>> {
        volumes::users(self)
    }

    /// Removes a volume with what is in it.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Conflict`] while a container has it.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        volumes::remove(self, name)
    }

    /// What [`Engine::prune_volumes`] would take now, with what each holds.
    ///
    /// # Errors
    /// A damaged record.
    pub fn plan_prune_volumes(&self, request: &request::PruneVolumes) -> Result<Vec<VolumeUsage>> {
        volumes::plan_prune(self, request)
    }

    /// Removes volumes that no container has.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn prune_volumes(&self, request: &request::PruneVolumes) -> Result<PrunedVolumes> {
        volumes::prune(self, request)
    }

    /// Waits until it is not running (`None` when cancelled).
    ///
    /// # Errors
    /// An unknown container.
    pub fn wait(&self, id: &ContainerId, cancel: &Cancel) -> Result<Option<Exit>> {
        containers::wait(self, id, cancel)
    }

    /// The host has started: starts the containers that are to run then, and records how the others ended. Containers
    /// that run are left alone. `tell` hears of each one that was started or could not be.
    ///
    /// # Errors
    /// A damaged record.
    pub fn boot(&self, tell: &mut dyn FnMut(BootTurn)) -> Result<()> {
        boot::up(self, tell)
    }

    /// The host goes down: stops all containers, such that [`Self::boot`] starts them again. Blocks until they are over.
    ///
    /// # Errors
    /// A damaged record.
    pub fn shutdown(&self, tell: &mut dyn FnMut(BootTurn)) -> Result<()> {
        boot::down(self, tell)
    }

    /// Runs a command in a running container.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when it does not run; [`Kind::CommandNotFound`], [`Kind::CommandNotRunnable`].
    pub fn exec(&self, id: &ContainerId, request: &request::Exec) -> Result<Session> {
        self.explained(id, containers::run_exec(self, id, request))
    }

    /// The ids of what runs in a container by `exec`, ascending. Asks no process.
    ///
    /// # Errors
    /// What the file system says.
    pub fn execs(&self, id: &ContainerId) -> Result<Vec<String>> {
        runtime::exec::running(&self.roots().live(id))
    }

    /// The log.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a container without a readable log.
    pub fn logs(&self, id: &ContainerId, request: &request::Logs) -> Result<logs::Log> {
        containers::open_log(self, id, request)
    }

    /// A sampler of live figures.
    ///
    /// # Errors
    /// What reading the host's cgroup mounts says.
    pub fn sampler(&self) -> Result<stats::Sampler> {
        stats::Sampler::new(self.roots(), self.hierarchy()?.clone())
    }

    /// Follows the event journal from now on.
    ///
    /// # Errors
    /// What inotify(7) says.
    pub fn events(&self) -> Result<events::EventReader> {
        events::follow(&self.roots().events(), None)
    }

    // For the engine's own files.

    fn binary(&self) -> Option<&Path> {
        self.inner.binary.as_deref()
    }

    fn spare(&self) -> MutexGuard<'_, Option<Spare>> {
        // What is in it is whole or not there, whoever panicked.
        self.inner
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An id for a new container: the one that a monitor waits for, if nobody has it yet.
    fn next_id(&self) -> ContainerId {
        match self.spare().as_mut().filter(|spare| !spare.given) {
            Some(spare) => {
                spare.given = true;
                spare.id.clone()
            }
            None => containers::new_id(),
        }
    }

    /// The monitor that waits for this container.
    fn take_spare(&self, id: &ContainerId) -> Option<Waiting> {
        let spare = self.spare().take_if(|spare| spare.id == *id);
        spare.map(|spare| spare.monitor)
    }

    /// What was done with a container that went, or ended, meanwhile says so.
    fn explained<T>(&self, id: &ContainerId, result: Result<T>) -> Result<T> {
        result.map_err(|error| leftovers::explain(self, id, error))
    }

    /// The client of registries, with the administrator's settings.
    fn registries(&self) -> Result<images::registry::Client> {
        if let Some(known) = self.inner.registries.get() {
            return Ok(known.clone());
        }
        let settings = images::registry::Settings::read(&self.inner.surroundings)?;
        let made = images::registry::Client::new(settings)?;
        Ok(self.inner.registries.get_or_init(|| made).clone())
    }

    /// The same, for a request that trusts its registry more than the administrator does.
    fn registries_as(
        &self,
        reference: &model::Reference,
        trust: Trust,
    ) -> Result<images::registry::Client> {
        let client = self.registries()?;
        match trust {
            Trust::Configured => Ok(client),
            Trust::Insecure => {
                let mut settings = client.settings().clone();
                settings.insecure.push(reference.domain().to_owned());
                images::registry::Client::new(settings)
            }
        }
    }

    fn images_store(&self) -> &Images {
        &self.inner.images
    }

    fn hierarchy(&self) -> Result<&Hierarchy> {
        if let Some(known) = self.inner.hierarchy.get() {
            return Ok(known);
        }
        let found = Hierarchy::detect()?;
        Ok(self.inner.hierarchy.get_or_init(|| found))
    }

    fn spec_host(&self) -> Result<&spec::Host> {
        if let Some(known) = self.inner.spec_host.get() {
            return Ok(known);
        }
        let found = spec::Host {
            cgroups: self.hierarchy()?.version(),
            hostname: host::uname().node,
            cpus: system::online_cpus(),
        };
        Ok(self.inner.spec_host.get_or_init(|| found))
    }

    /// Writes an event. A journal that cannot be written must not undo what has happened, so this never fails.
    fn note(&self, container: &Container, action: &str, more: &[(&str, &str)]) {
        self.append(&containers::event_of(container, action, more));
    }

    fn append(&self, event: &model::Event) {
        if let Err(error) = runtime::journal::append(&self.roots().events(), event) {
            tracing::warn!(%error, "an event was lost");
        }
    }
}
