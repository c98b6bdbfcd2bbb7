//! The full-screen program: its state, the messages that change it, and the effects that follow.
//!
//! ```text
//! keys, mouse, resize, reports, events, ticks ─> Msg ─> update(&mut State, Msg) ─> Vec<Effect> ─> perform ─> Engine
//!                                                            │ changed              subscriptions(&State) ─> streams
//!                                                            └─> views::draw
//! ```
//!
//! `update` is pure: no I/O, no clock, no channel. `perform` alone calls the engine, `terminal` alone touches the terminal.

pub mod action;
pub mod ansi;
pub mod columns;
pub mod command;
pub mod containers;
pub mod document;
pub mod explorer;
pub mod figures;
pub mod filter;
pub mod form;
pub mod images;
pub mod jobs;
pub mod key;
pub mod keymap;
pub mod layout;
pub mod list;
pub mod logs;
pub mod looks;
pub mod networks;
pub mod overlay;
pub mod progress;
pub mod role;
pub mod search;
pub mod shell;
pub mod tables;
pub mod text;
pub mod volumes;
pub mod words;

mod config;
mod driver;
mod perform;
mod pruned;
mod subscribe;
mod terminal;
mod throttle;
mod update;

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::layout::Rect;

use crate::engine::Engine;
use crate::engine::credentials::Store;
use crate::engine::error::{Attempt, Result};
use crate::engine::model::container::Change;
use crate::engine::model::layers::findings::Finding;
use crate::engine::model::process::Process;
use crate::engine::model::registry::DiskUsage;
use crate::engine::model::request::TerminalSize;
use crate::engine::model::sharing::Sharing;
use crate::engine::model::{
    ContainerId, ContainerSummary, Event, ImageSummary, Stats, Status, Timestamp,
    image::Image,
    network::{Endpoint, Network},
    reach::Connection,
    volume::Volume,
};
use action::{Action, Scope};
use containers::ContainerRow;
use document::Document;
use explorer::{Explorer, News, Shared, Target};
use images::ImageRow;
use jobs::{Failure, JobId, Jobs, Report, Request};
use key::Key;
use keymap::Keymap;
use list::{Context, List, Listing};
use logs::{LogLine, LogView};
use networks::NetworkRow;
use overlay::{Overlay, Plan, Unused};
use role::Glyphs;
use shell::Shell;
use tables::{Compared, Question, Tables};
use volumes::VolumeRow;

pub use crate::engine::FileStart;
pub use config::Options;
pub use update::update;

/// Runs the full-screen program until the user leaves it; without an engine it can look into an archive. What registries want to know of the user is in `credentials`;
/// `commands` reads the command lines that dialogs make.
///
/// # Errors
/// [`crate::engine::error::Kind::Unsupported`] if there is no terminal to draw on; what the system says if the terminal
/// breaks. The terminal is given back in any case, and containers go on running.
pub fn run(
    engine: Option<Engine>,
    credentials: Store,
    commands: command::Commands,
    options: Options,
) -> Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = config::read(options, variable, perform::read_config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(perform::THREADS)
        .thread_stack_size(4 << 20)
        .build()
        .attempt(|| "start the event loop")?;
    let result = runtime.block_on(driver::run(engine, credentials, commands, config));
    // Whatever still runs is the engine's; nobody waits for it.
    runtime.shutdown_background();
    result
}

/// Everything that can wake the program.
#[derive(Debug, Clone, PartialEq)]
pub enum Msg {
    /// A key.
    Key(Key),
    /// Pasted text.
    Paste(String),
    /// The mouse.
    Mouse(Mouse),
    /// The terminal has this size.
    Resized {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Time went on.
    Tick(Timestamp),
    /// The answer to a query.
    Answer(QueryId, Result<Answer, Failure>),
    /// A report of a job.
    Job(JobId, Report),
    /// The event journal is being followed from here on.
    Watching,
    /// What happened.
    Events(Vec<Event>),
    /// The event journal cannot be followed any more.
    WatchFailed(Failure),
    /// One round of figures.
    Stats(Vec<Stats>),
    /// Lines of a log.
    Log {
        /// Which reading of it.
        generation: u64,
        /// The lines.
        lines: Vec<LogLine>,
    },
    /// A log came to its end.
    LogEnded {
        /// Which reading of it.
        generation: u64,
        /// Why, if not because the container ended.
        failure: Option<Failure>,
    },
    /// Output of a shell.
    ShellOutput {
        /// Which shell.
        generation: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A shell ended, or could not be started.
    ShellEnded {
        /// Which shell.
        generation: u64,
        /// Its exit code; `None` if the connection broke.
        result: Result<Option<i32>, Failure>,
    },
    /// Something of an image that is looked into became known.
    Explored {
        /// By which explorer.
        generation: u64,
        /// What.
        news: News,
    },
    /// Text went to the clipboard: so many characters; or could not.
    Copied(Result<usize, String>),
    /// Something went wrong outside of a job.
    Failed(Failure),
    /// Asked to end by a signal.
    Terminate,
}

/// What the mouse did, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mouse {
    /// What.
    pub kind: MouseKind,
    /// Column.
    pub x: u16,
    /// Row.
    pub y: u16,
}

/// What the mouse can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MouseKind {
    /// The left button went down.
    Press,
    /// The wheel turned up.
    WheelUp,
    /// The wheel turned down.
    WheelDown,
}

/// What follows from a message, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run a job.
    Start(JobId, Request),
    /// Ask a job to stop.
    Cancel(JobId),
    /// Ask the engine, after a pause.
    Query {
        /// Comes back with the answer.
        id: QueryId,
        /// What.
        query: Query,
        /// The pause: many events are answered by one look.
        after: Duration,
    },
    /// Put a text into the user's clipboard.
    Copy(String),
    /// Keep how lists are looked at for the next time: see [`looks::text`].
    KeepLists(String),
    /// Keep a name that was pulled for the next time.
    Remember(String),
    /// Type into a shell.
    ShellInput {
        /// Which.
        generation: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A shell's screen has another size.
    ShellResize {
        /// Which.
        generation: u64,
        /// The size.
        size: TerminalSize,
    },
    /// Take the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Stop the process as ctrl-z does.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// End the program.
    Quit,
}

/// Names one question. Only the newest answer to a kind of question counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// A question to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All containers.
    Containers,
    /// All images.
    Images,
    /// All volumes.
    Volumes,
    /// All networks, with who is on them.
    Networks,
    /// What a container is connected to.
    Connections(ContainerId),
    /// One image with its layers.
    Image(String),
    /// The processes of a container.
    Processes(ContainerId),
    /// The files of a container that differ from its image.
    Changes(ContainerId),
    /// Facts about the host.
    Host,
    /// What is on disk.
    DiskUsage,
    /// What a prune would take.
    PrunePlan(Unused),
    /// What is in a directory.
    Directory(PathBuf),
    /// The beginning of some files of an image that is looked into.
    Files {
        /// The image.
        image: Shared,
        /// Which files: layers, and numbers of entries there.
        files: Vec<(u16, u32)>,
    },
    /// What should be known of an image before it ships.
    Findings(Shared),
    /// The beginning of files, each of its own image.
    FilesOf(Vec<(Shared, (u16, u32))>),
    /// What two tables show.
    Tables(Box<Question>),
    /// Whether a command can be read: its words.
    Check(Vec<String>),
}

/// What the engine answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// All containers.
    Containers(Vec<ContainerSummary>),
    /// All images.
    Images(Vec<ImageSummary>),
    /// All volumes.
    Volumes(Vec<Volume>),
    /// All networks, with who is on them.
    Networks(Vec<(Network, Vec<Endpoint>)>),
    /// What a container is connected to.
    Connections(Vec<Connection>),
    /// One image.
    Image(Box<Image>),
    /// Processes, oldest first.
    Processes(Vec<Process>),
    /// Files that differ.
    Changes(Vec<Change>),
    /// The host: name, and what the bar says about it.
    Host(Host),
    /// What is on disk.
    DiskUsage(Box<DiskUsage>),
    /// What a prune would take.
    PrunePlan(Box<Plan>),
    /// What is in a directory, sorted by name.
    Directory(Vec<DirectoryEntry>),
    /// The beginning of each file.
    Files(Vec<FileStart>),
    /// What was found, the worst first, and how much more may be.
    Findings(Vec<Finding>, usize),
    /// Images and their layers.
    Sharing(Sharing),
    /// Two images that were compared.
    Compared(Compared),
    /// The command can be read; what the user should know.
    Checked(Vec<String>),
}

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: String,
    /// It is a directory, or leads to one.
    pub is_directory: bool,
}

/// The host, for the bar on top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its memory in bytes.
    pub memory: u64,
    /// Its CPUs.
    pub cpus: usize,
    /// Where volumes are.
    pub volumes: PathBuf,
}

/// A stream that is wanted as long as it is named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sub {
    /// The event journal.
    Events,
    /// Figures of these containers, once a second.
    Stats {
        /// Which, sorted.
        ids: Vec<ContainerId>,
    },
    /// A log.
    Logs {
        /// Whose.
        id: ContainerId,
        /// Which reading.
        generation: u64,
        /// Lines of the past.
        tail: u64,
    },
    /// A shell.
    Shell {
        /// In which container.
        id: ContainerId,
        /// Which.
        generation: u64,
        /// Size of its screen at the start.
        size: TerminalSize,
    },
    /// An image is looked into.
    Explore {
        /// For which explorer.
        generation: u64,
        /// Which image.
        target: Target,
    },
    /// A tick every so many seconds.
    Clock {
        /// Seconds.
        seconds: u32,
    },
}

/// The object panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pane {
    /// Containers.
    Containers,
    /// Images.
    Images,
    /// Volumes.
    Volumes,
    /// Networks.
    Networks,
}

impl Pane {
    /// All, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Containers,
        Self::Images,
        Self::Volumes,
        Self::Networks,
    ];

    /// Title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Containers => "Containers",
            Self::Images => "Images",
            Self::Volumes => "Volumes",
            Self::Networks => "Networks",
        }
    }
}

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The list.
    List,
    /// The details of its chosen object.
    Detail,
}

/// Views of the chosen object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// A container's log.
    Logs,
    /// A container's figures.
    Stats,
    /// A container's processes.
    Top,
    /// The files of a container that differ from its image.
    Diff,
    /// What a container's health probes said.
    Health,
    /// A container's variables.
    Environment,
    /// What is mounted in a container.
    Mounts,
    /// A container's ports.
    Ports,
    /// All about a container.
    Inspect,
    /// A shell in a container.
    Shell,
    /// An image's layers.
    Layers,
    /// All about an image.
    Image,
    /// The containers made from an image, or that have a volume.
    Users,
    /// All about a volume.
    Volume,
    /// All about a network.
    Network,
    /// All networks, drawn.
    NetworkMap,
    /// Who reaches a container, and what it is connected to.
    Reach,
}

/// How a tab is shown, moved in and searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Lines as they come.
    Log,
    /// Graphs.
    Figures,
    /// A terminal.
    Shell,
    /// A text that is there.
    Document,
}

impl Tab {
    /// How it is shown.
    #[must_use]
    pub fn view(self) -> View {
        match self {
            Self::Logs => View::Log,
            Self::Stats => View::Figures,
            Self::Shell => View::Shell,
            Self::Top
            | Self::Diff
            | Self::Health
            | Self::Environment
            | Self::Mounts
            | Self::Ports
            | Self::Inspect
            | Self::Layers
            | Self::Image
            | Self::Volume
            | Self::Network
            | Self::NetworkMap
            | Self::Reach
            | Self::Users => View::Document,
        }
    }

    /// Title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Logs => "Logs",
            Self::Stats => "Stats",
            Self::Top => "Top",
            Self::Diff => "Diff",
            Self::Health => "Health",
            Self::Environment => "Env",
            Self::Mounts => "Mounts",
            Self::Ports => "Ports",
            Self::Inspect | Self::Image | Self::Volume | Self::Network => "Inspect",
            Self::NetworkMap => "Map",
            Self::Reach => "Reach",
            Self::Shell => "Shell",
            Self::Layers => "Layers",
            Self::Users => "Used by",
        }
    }
}

/// What the document of the detail pane is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Nothing,
    Container(ContainerId),
    Health(ContainerId),
    Environment(ContainerId),
    Mounts(ContainerId),
    Ports(ContainerId),
    Top(ContainerId),
    Diff(ContainerId),
    Layers(String),
    Image(String),
    Users(String),
    Volume(String),
    VolumeUsers(String),
    Network(String),
    NetworkMap,
    Reach(ContainerId),
}

/// What was done, and the command that does the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// When.
    pub time: Timestamp,
    /// The command.
    pub command: String,
    /// Its job, while it runs.
    pub job: Option<JobId>,
    /// Why it failed, if so.
    pub error: Option<String>,
}

/// How important a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It went well.
    Good,
    /// Something to know.
    Info,
    /// It did not work.
    Error,
}

/// A message in the footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How important.
    pub severity: Severity,
    /// The line.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
    /// The error and its causes.
    pub chain: Vec<String>,
    /// When it goes by itself; errors stay until a key is pressed for them.
    pub until: Option<Timestamp>,
}

/// What the user chose; read once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Keys.
    pub keymap: Keymap,
    /// Characters.
    pub glyphs: Glyphs,
    /// Nothing may be changed.
    pub read_only: bool,
    /// Time zone of time stamps.
    pub zone: TimeZone,
    /// Where relative paths begin: the directory that wharf was started in.
    pub here: Option<PathBuf>,
    /// What `~` means.
    pub home: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keymap: Keymap::built_in(),
            glyphs: Glyphs::Unicode,
            read_only: false,
            zone: TimeZone::UTC,
            here: None,
            home: None,
        }
    }
}

/// A kind of query of which one runs at a time, and a next one if something happened meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pending {
    running: Option<QueryId>,
    again: bool,
}

/// What is on disk, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// The newest answer.
    pub data: Option<DiskUsage>,
    /// Why there is no newer one.
    pub failure: Option<Failure>,
    /// Asked for, and not answered yet.
    pub asked: bool,
    /// Something has happened since.
    stale: bool,
    query: Option<QueryId>,
}

/// Everything that the screen shows.
#[derive(Debug)]
pub struct State {
    /// The user's choices.
    pub settings: Settings,
    /// Columns of the terminal.
    pub width: u16,
    /// Rows of the terminal.
    pub height: u16,
    /// Now, as of the last tick.
    pub now: Timestamp,
    /// The host.
    pub host: Option<Host>,
    /// The object pane that was used last.
    pub pane: Pane,
    /// Where keys go.
    pub focus: Focus,
    /// The focused pane has the whole screen.
    pub zoom: bool,
    /// The mouse is ours.
    pub mouse: bool,
    /// The chosen view of containers.
    pub container_tab: Tab,
    /// The chosen view of images.
    pub image_tab: Tab,
    /// The chosen view of volumes.
    pub volume_tab: Tab,
    /// The chosen view of networks.
    pub network_tab: Tab,
    /// Containers.
    pub containers: List<ContainerRow>,
    /// The containers have been read at least once.
    pub loaded: bool,
    /// Containers that do not run are left out.
    pub stopped_hidden: bool,
    /// Images.
    pub images: List<ImageRow>,
    /// Volumes.
    pub volumes: List<VolumeRow>,
    /// Networks.
    pub networks: List<NetworkRow>,
    /// What they take on disk.
    pub usage: Usage,
    /// Names that were pulled before, the newest first.
    pub pulled: Vec<String>,
    /// Figures.
    pub figures: figures::Table,
    /// Logs are opened with wrapped lines.
    pub wrap: bool,
    /// Logs are opened with times.
    pub timestamps: bool,
    /// The log of the chosen container.
    pub log: Option<LogView>,
    /// The text of the chosen object.
    pub document: Document,
    /// The chosen image, once the engine has told.
    pub image: Option<Image>,
    /// Open shells, at most one per container.
    pub shells: Vec<Shell>,
    /// The layer explorer, which has the whole screen.
    pub explorer: Option<Box<Explorer>>,
    /// Two images beside each other, or images and their layers; below the explorer, where that is open.
    pub tables: Option<Box<Tables>>,
    /// There is no engine: only the explorer is there, for an archive.
    pub detached: bool,
    /// What lies over the panes; the last is on top.
    pub overlays: Vec<Overlay>,
    /// Running work.
    pub jobs: Jobs,
    /// What was done.
    pub commands: Vec<Done>,
    /// The message in the footer.
    pub notice: Option<Notice>,
    /// The data could not be read: what is shown is old.
    pub stale: Option<Failure>,
    subject: Subject,
    next_id: u64,
    containers_query: Pending,
    images_query: Pending,
    volumes_query: Pending,
    networks_query: Pending,
    image_query: Option<QueryId>,
    look: Look,
}

/// What the engine tells of a container only while somebody looks at it.
#[derive(Debug, Default)]
struct Look {
    query: Option<QueryId>,
    answer: Option<Result<Answer, Failure>>,
}

impl State {
    /// Nothing known yet. The first effects come from [`State::start`].
    #[must_use]
    pub fn new(settings: Settings, width: u16, height: u16, now: Timestamp) -> Self {
        Self {
            settings,
            width,
            height,
            now,
            host: None,
            pane: Pane::Containers,
            focus: Focus::List,
            zoom: false,
            mouse: true,
            container_tab: Tab::Logs,
            image_tab: Tab::Layers,
            volume_tab: Tab::Volume,
            network_tab: Tab::Network,
            containers: List::new(containers::STATUS, false),
            loaded: false,
            stopped_hidden: false,
            images: List::new(images::NAME, false),
            volumes: List::new(volumes::NAME, false),
            networks: List::new(networks::NAME, false),
            usage: Usage {
                stale: true,
                ..Usage::default()
            },
            pulled: Vec::new(),
            figures: figures::Table::default(),
            wrap: true,
            timestamps: false,
            log: None,
            document: Document::default(),
            image: None,
            shells: Vec::new(),
            explorer: None,
            tables: None,
            detached: false,
            overlays: Vec::new(),
            jobs: Jobs::default(),
            commands: Vec::new(),
            notice: None,
            stale: None,
            subject: Subject::Nothing,
            next_id: 0,
            containers_query: Pending::default(),
            images_query: Pending::default(),
            volumes_query: Pending::default(),
            networks_query: Pending::default(),
            image_query: None,
            look: Look::default(),
        }
    }

    /// The whole screen.
    #[must_use]
    pub fn area(&self) -> Rect {
        Rect::new(0, 0, self.width, self.height)
    }

    /// What rows may look at.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            now: self.now,
            glyphs: self.settings.glyphs,
        }
    }

    /// Views that the chosen object has.
    #[must_use]
    pub fn tabs(&self) -> Vec<Tab> {
        match self.pane {
            Pane::Containers => {
                let mut tabs = vec![
                    Tab::Logs,
                    Tab::Stats,
                    Tab::Top,
                    Tab::Environment,
                    Tab::Mounts,
                    Tab::Ports,
                    Tab::Reach,
                    Tab::Diff,
                    Tab::Inspect,
                ];
                let probed = self.containers.selected().is_some_and(|row| {
                    let config = &row.summary.container.config;
                    config.healthcheck.is_some()
                });
                if probed || self.container_tab == Tab::Health {
                    tabs.push(Tab::Health);
                }
                if self.selected_shell().is_some() {
                    tabs.push(Tab::Shell);
                }
                tabs
            }
            Pane::Images => vec![Tab::Layers, Tab::Image, Tab::Users],
            Pane::Volumes => vec![Tab::Volume, Tab::Users],
            Pane::Networks => vec![Tab::Network, Tab::NetworkMap],
        }
    }

    /// The view that is shown.
    #[must_use]
    pub fn tab(&self) -> Tab {
        match self.pane {
            Pane::Containers if self.container_tab == Tab::Shell => {
                // The shell belongs to one container; the others show their log.
                if self.selected_shell().is_some() {
                    Tab::Shell
                } else {
                    Tab::Logs
                }
            }
            Pane::Containers => self.container_tab,
            Pane::Images => self.image_tab,
            Pane::Volumes => self.volume_tab,
            Pane::Networks => self.network_tab,
        }
    }

    /// The list of a pane.
    #[must_use]
    pub fn list(&self, pane: Pane) -> &dyn Listing {
        match pane {
            Pane::Containers => &self.containers,
            Pane::Images => &self.images,
            Pane::Volumes => &self.volumes,
            Pane::Networks => &self.networks,
        }
    }

    /// The same, to be changed.
    pub fn list_mut(&mut self, pane: Pane) -> &mut dyn Listing {
        match pane {
            Pane::Containers => &mut self.containers,
            Pane::Images => &mut self.images,
            Pane::Volumes => &mut self.volumes,
            Pane::Networks => &mut self.networks,
        }
    }

    /// What the chosen object of the pane is called, safe to draw.
    #[must_use]
    pub fn chosen(&self) -> Option<String> {
        let name = match self.pane {
            Pane::Containers => self.containers.selected()?.name(),
            Pane::Images => self.images.selected()?.name(),
            Pane::Volumes => self.volumes.selected()?.name(),
            Pane::Networks => self.networks.selected()?.name(),
        };
        Some(name.into_owned())
    }

    /// The shell in the chosen container.
    #[must_use]
    pub fn selected_shell(&self) -> Option<&Shell> {
        let id = self.containers.selected()?.id();
        self.shells.iter().find(|shell| shell.id == *id)
    }

    /// A shell has the keys.
    #[must_use]
    pub fn in_shell(&self) -> bool {
        let is_below = self.explorer.is_some() || self.tables.is_some();
        !is_below && self.focus == Focus::Detail && self.tab() == Tab::Shell
    }

    /// Where a key is looked up, innermost first.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        if self.explorer.is_some() {
            return vec![Scope::Explorer, Scope::Global];
        }
        if let Some(tables) = &self.tables {
            let scope = match tables.viewer {
                Some(_) => Scope::Explorer,
                None => Scope::Tables,
            };
            return vec![scope, Scope::Global];
        }
        let object = match self.pane {
            Pane::Containers => Scope::Containers,
            Pane::Images => Scope::Images,
            Pane::Volumes => Scope::Volumes,
            Pane::Networks => Scope::Networks,
        };
        match self.focus {
            Focus::List => vec![object, Scope::List, Scope::Global],
            Focus::Detail if self.tab() == Tab::Shell => vec![Scope::Shell],
            Focus::Detail if self.tab() == Tab::Logs => {
                vec![Scope::Logs, Scope::Detail, object, Scope::Global]
            }
            Focus::Detail => vec![Scope::Detail, object, Scope::Global],
        }
    }

    /// What a key does now.
    #[must_use]
    pub fn action(&self, key: Key) -> Option<Action> {
        self.settings.keymap.action(&self.scopes(), key)
    }

    /// What a key does in the list of the pane.
    fn action_in_list(&self, key: Key) -> Option<Action> {
        self.settings.keymap.action(&[Scope::List], key)
    }

    /// How many containers run.
    #[must_use]
    pub fn running(&self) -> usize {
        let runs = |row: &&ContainerRow| matches!(row.status(), Status::Running | Status::Paused);
        self.containers.rows().iter().filter(runs).count()
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// The streams that this state wants. The driver starts the missing and ends the rest.
#[must_use]
pub fn subscriptions(state: &State) -> Vec<Sub> {
    let mut subs = Vec::new();
    let reading = state.explorer.as_ref().filter(|e| e.is_reading());
    if let Some(explorer) = reading {
        subs.push(Sub::Explore {
            generation: explorer.generation,
            target: explorer.target.clone(),
        });
    }
    if !state.detached {
        subs.push(Sub::Events);
    }
    let mut ids: Vec<_> = state
        .containers
        .rows()
        .iter()
        .filter(|row| matches!(row.status(), Status::Running | Status::Paused))
        .map(|row| row.id().clone())
        .collect();
    if !ids.is_empty() {
        ids.sort();
        subs.push(Sub::Stats { ids });
    }
    if let Some(log) = state.log.as_ref().filter(|log| log.ended.is_none()) {
        subs.push(Sub::Logs {
            id: log.id.clone(),
            generation: log.generation,
            tail: logs::TAIL,
        });
    }
    let open = state.shells.iter().filter(|shell| shell.ended.is_none());
    subs.extend(open.map(|shell| Sub::Shell {
        id: shell.id.clone(),
        generation: shell.generation,
        size: shell.opened,
    }));
    // Ages are coarse; only something that is about to go or that runs needs every second.
    let hurry = !state.jobs.is_empty() || state.notice.as_ref().is_some_and(|n| n.until.is_some());
    let seconds = if hurry { 1 } else { 10 };
    subs.push(Sub::Clock { seconds });
    subs
}
