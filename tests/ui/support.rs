//! A made-up host, the keys that are pressed on it, and the screen as text.

use std::sync::Arc;

use crate::networks;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;
use wharf::app::ansi::Parser;
use wharf::app::jobs::{Failure, JobId, Outcome, Report, Request};
use wharf::app::key::Key;
use wharf::app::logs::{LogLine, Stream};
use wharf::app::overlay::{Plan, Unused};
use wharf::app::role::Glyphs;
use wharf::app::{Answer, DirectoryEntry, Effect, Host, Msg, Query, Settings, State, update};
use wharf::engine::error::Kind;
use wharf::engine::model::container::{Change, Changed};
use wharf::engine::model::container::{
    Container, ContainerConfig, HostConfig, Mount, Status, VolumeMount,
};
use wharf::engine::model::image::{HistoryEntry, Image, Layer, Stated};
use wharf::engine::model::process::Process;
use wharf::engine::model::registry::{
    ContainerUsage, ContainersUsage, DiskUsage, ImageUsage, ImagesUsage,
};
use wharf::engine::model::request::PruneContainers;
use wharf::engine::model::units::human_size_short;
use wharf::engine::model::volume::{ANONYMOUS, Volume, VolumeUsage};
use wharf::engine::model::{
    ContainerId, ContainerSummary, Digest, ImageSummary, Platform, Progress, Stats, Timestamp,
};
use wharf::views;
use wharf::views::theme::{Depth, Theme};

/// When all tests take place.
pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

pub(crate) fn id(n: u8) -> ContainerId {
    ContainerId::try_from(format!("{n:02x}").repeat(32)).unwrap()
}

fn digest(n: u8) -> Digest {
    Digest::from_sha256(&[n; 32])
}

pub(crate) fn container(n: u8, name: &str, image: &str, status: Status) -> ContainerSummary {
    let mut state = wharf::engine::model::State {
        status,
        ..Default::default()
    };
    if status != Status::Created {
        state.started_at = Some(ago(i64::from(n) * 600));
    }
    if status == Status::Exited {
        state.finished_at = Some(ago(i64::from(n) * 60));
    }
    let config = ContainerConfig {
        image: image.to_owned(),
        cmd: vec!["serve".to_owned()],
        labels: [("tier".to_owned(), "front".to_owned())].into(),
        ..ContainerConfig::default()
    };
    ContainerSummary {
        container: Arc::new(Container {
            version: 1,
            id: id(n),
            name: name.to_owned(),
            created: ago(i64::from(n) * 3600),
            image: digest(if image.starts_with("busybox") { 1 } else { 2 }),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                ..Platform::default()
            },
            layers: Vec::new(),
            config,
            host: HostConfig::default(),
        }),
        state,
        endpoints: Vec::new(),
    }
}

fn volume(n: i64, name: &str, labels: &[(&str, &str)], options: &[(&str, &str)]) -> Volume {
    let map = |pairs: &[(&str, &str)]| {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    };
    Volume {
        version: 1,
        name: name.to_owned(),
        created: ago(n * 7200),
        labels: map(labels),
        options: map(options),
    }
}

/// The container with a volume at /data.
pub(crate) fn with_volume(mut summary: ContainerSummary, name: &str) -> ContainerSummary {
    let container = Arc::make_mut(&mut summary.container);
    container.host.mounts.push(Mount::Volume(VolumeMount {
        name: name.to_owned(),
        target: "/data".to_owned(),
        ..VolumeMount::default()
    }));
    summary
}

/// What the engine would answer.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) containers: Vec<ContainerSummary>,
    pub(crate) images: Vec<ImageSummary>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) failure: Option<Failure>,
}

impl World {
    /// One container in each state.
    pub(crate) fn usual() -> Self {
        let mut oom = container(7, "cache", "redis:7", Status::Exited);
        oom.state.exit_code = 137;
        oom.state.oom_killed = true;
        let mut failed = container(6, "job", "busybox:latest", Status::Exited);
        failed.state.exit_code = 1;
        let mut restarting = container(5, "flaky", "busybox:latest", Status::Restarting);
        restarting.state.exit_code = 3;
        let image = |n: u8, tags: &[&str], size| ImageSummary {
            id: digest(n),
            tags: tags.iter().map(|&t| t.to_owned()).collect(),
            digests: Vec::new(),
            created: Some(ago(86_400 * i64::from(n))),
            size,
            labels: [("maker".to_owned(), "me".to_owned())].into(),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                ..Platform::default()
            },
        };
        let anonymous = "5ad1".repeat(16);
        Self {
            volumes: vec![
                volume(1, "cache", &[], &[("type", "tmpfs"), ("device", "tmpfs")]),
                volume(2, "pgdata", &[("tier", "data")], &[]),
                volume(3, "uploads", &[], &[]),
                volume(4, &anonymous, &[(ANONYMOUS, "")], &[]),
            ],
            containers: vec![
                container(1, "web", "nginx:1.27", Status::Running),
                with_volume(container(2, "db", "postgres:17", Status::Running), "pgdata"),
                container(3, "worker", "busybox:latest", Status::Paused),
                container(4, "new", "busybox:latest", Status::Created),
                restarting,
                failed,
                oom,
                container(8, "done", "busybox:latest", Status::Exited),
            ],
            images: vec![
                image(1, &["busybox:latest"], 4_261_550),
                image(2, &["nginx:1.27", "nginx:latest"], 191_000_000),
                image(3, &[], 12_000),
            ],
            failure: None,
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            containers: Vec::new(),
            images: Vec::new(),
            volumes: Vec::new(),
            failure: None,
        }
    }

    /// So many running containers.
    pub(crate) fn many(count: u8) -> Self {
        let container = |n| container(n, &format!("c{n:03}"), "busybox:latest", Status::Running);
        Self {
            containers: (1..=count).map(container).collect(),
            ..Self::usual()
        }
    }

    /// Every image shares a quarter of its layers.
    fn usage(&self) -> DiskUsage {
        let users = |image: &ImageSummary| {
            let uses = |c: &&ContainerSummary| c.container.image == image.id;
            self.containers.iter().filter(uses).count()
        };
        let image = |image: &ImageSummary| ImageUsage {
            id: image.id.clone(),
            tags: image.tags.clone(),
            created: image.created,
            platform: image.platform.clone(),
            size: image.size,
            shared: image.size / 4,
            unique: image.size - image.size / 4,
            containers: u64::try_from(users(image)).unwrap(),
        };
        let container = |(n, summary): (u64, &ContainerSummary)| ContainerUsage {
            id: summary.container.id.clone(),
            name: summary.container.name.clone(),
            image: summary.container.config.image.clone(),
            command: "serve".to_owned(),
            running: summary.state.status.is_live(),
            status: "Up".to_owned(),
            created: summary.container.created,
            size: n * 1_200_000,
        };
        DiskUsage {
            images: ImagesUsage {
                images: self.images.iter().map(image).collect(),
                layers: self.images.iter().map(|image| image.size).sum(),
                blobs: 60_000_000,
                leftovers: 1_500_000,
                unused: 1_500_000,
                reclaimable: 1_512_000,
            },
            containers: ContainersUsage {
                containers: (0..).zip(&self.containers).map(container).collect(),
            },
            volumes: (1..)
                .zip(&self.volumes)
                .map(|(n, volume)| self.volume_usage(n, volume))
                .collect(),
        }
    }

    fn volume_usage(&self, n: u64, volume: &Volume) -> VolumeUsage {
        let has = |c: &&ContainerSummary| {
            let mut mounts = c.container.host.mounts.iter();
            mounts.any(|m| matches!(m, Mount::Volume(v) if v.name == volume.name))
        };
        let links = self.containers.iter().filter(has).count();
        VolumeUsage {
            volume: volume.clone(),
            links: u64::try_from(links).unwrap(),
            size: (n - 1) * 3_000_000,
        }
    }

    fn plan(&self, what: &Unused) -> Plan {
        match what {
            Unused::Images(request) => {
                let uses = |image: &&ImageSummary| {
                    let mut users = self.containers.iter();
                    users.any(|c| c.container.image == image.id)
                };
                let goes =
                    |image: &&ImageSummary| !uses(image) && (request.all || image.tags.is_empty());
                let images: Vec<_> = self.images.iter().filter(goes).collect();
                let row = |image: &&ImageSummary| {
                    let names = match image.tags.join(", ") {
                        names if names.is_empty() => "<none>".to_owned(),
                        names => names,
                    };
                    (names, image.id.short().to_owned())
                };
                let mut request = request.clone();
                let seen = images.iter();
                request.only = Some(seen.map(|i| (i.id.clone(), i.tags.clone())).collect());
                Plan {
                    reclaimed: images.iter().map(|image| image.size).sum(),
                    rows: images.iter().map(row).collect(),
                    request: Request::PruneImages(request),
                }
            }
            Unused::Containers => {
                let goes = |c: &&ContainerSummary| !c.state.status.is_live();
                let all: Vec<_> = self.containers.iter().filter(goes).collect();
                let count = u64::try_from(all.len()).unwrap();
                Plan {
                    rows: all
                        .iter()
                        .map(|c| (c.container.name.clone(), "1kB".to_owned()))
                        .collect(),
                    reclaimed: count * 1000,
                    request: Request::PruneContainers(PruneContainers {
                        only: Some(all.iter().map(|c| c.container.id.clone()).collect()),
                        ..PruneContainers::default()
                    }),
                }
            }
            Unused::Volumes(request) => {
                let usage = (1..)
                    .zip(&self.volumes)
                    .map(|(n, volume)| self.volume_usage(n, volume));
                let all: Vec<_> = usage
                    .filter(|usage| usage.links == 0)
                    .filter(|usage| request.all || usage.volume.is_anonymous())
                    .collect();
                let mut request = request.clone();
                let seen = all.iter().map(|usage| &usage.volume);
                request.only = Some(seen.map(|v| (v.name.clone(), v.created)).collect());
                Plan {
                    rows: all
                        .iter()
                        .map(|usage| (usage.volume.name.clone(), human_size_short(usage.size)))
                        .collect(),
                    reclaimed: all.iter().map(|usage| usage.size).sum(),
                    request: Request::PruneVolumes(request),
                }
            }
        }
    }

    fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, Failure> {
        let of = |summary: &&ContainerSummary| summary.container.id == *id;
        let summary = self.containers.iter().find(of).unwrap();
        if !summary.state.status.is_live() {
            let name = &summary.container.name;
            return Err(Failure {
                kind: Kind::Conflict,
                ..failure(&format!("container {name} is not running"))
            });
        }
        let process = |pid, parent, command: &str, arguments: &[&str]| Process {
            pid,
            parent,
            group: pid,
            session: 100,
            foreground: -1,
            terminal: (0, 0),
            state: 'S',
            uid: 0,
            user: "root".to_owned(),
            gid: 0,
            group_name: "root".to_owned(),
            cpu: 12_345,
            started: ago(125),
            nice: 0,
            priority: 20,
            threads: 3,
            virtual_size: 1 << 30,
            resident: 5 << 20,
            memory_share: 1,
            processor: 0,
            command: command.to_owned(),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        };
        Ok(vec![
            process(100, 90, "nginx", &["nginx", "-g", "daemon off;"]),
            process(107, 100, "nginx", &["nginx: worker"]),
            process(130, 107, "sleep", &[]),
            process(108, 100, "nginx", &["nginx: cache"]),
        ])
    }

    fn answer(&self, query: &Query) -> Result<Answer, Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        Ok(match query {
            Query::Containers => Answer::Containers(self.containers.clone()),
            Query::Images => Answer::Images(self.images.clone()),
            Query::Image(name) => {
                let summary = self.images.iter().find(|i| i.id.as_str() == name).unwrap();
                Answer::Image(Box::new(image(summary)))
            }
            Query::Processes(id) => Answer::Processes(self.processes(id)?),
            Query::Changes(_) => Answer::Changes(
                [
                    (Changed::Modified, "/etc"),
                    (Changed::Added, "/etc/new\u{1b}[31m"),
                    (Changed::Deleted, "/srv/old"),
                ]
                .map(|(kind, path)| Change {
                    path: path.to_owned(),
                    kind,
                })
                .to_vec(),
            ),
            Query::DiskUsage => Answer::DiskUsage(Box::new(self.usage())),
            Query::PrunePlan(what) => Answer::PrunePlan(Box::new(self.plan(what))),
            Query::Check(words) => match words.iter().find(|word| *word == "--bad") {
                Some(bad) => return Err(failure(&format!("unknown flag: {bad}"))),
                None => Answer::Checked(Vec::new()),
            },
            Query::Volumes => Answer::Volumes(self.volumes.clone()),
            Query::Networks if self.volumes.is_empty() => Answer::Networks(Vec::new()),
            Query::Networks => Answer::Networks(networks::all()),
            Query::Connections(_) => Answer::Connections(networks::connections()),
            Query::Files { image, files, .. } => Answer::Files(
                files
                    .iter()
                    .map(|at| crate::explorer::content(image, *at))
                    .collect(),
            ),
            Query::FilesOf(files) => Answer::Files(
                files
                    .iter()
                    .map(|(image, at)| crate::explorer::content(image, *at))
                    .collect(),
            ),
            Query::Tables(question) => crate::tables::answer(question),
            Query::Findings(image) => Answer::Findings(crate::explorer::findings(image), 2),
            Query::Directory(path) => Answer::Directory(
                ["archives/", "busybox_latest.tar", "notes.txt"]
                    .iter()
                    .filter(|_| path.as_os_str() == "/home/me")
                    .map(|name| DirectoryEntry {
                        name: name.trim_end_matches('/').to_owned(),
                        is_directory: name.ends_with('/'),
                    })
                    .collect(),
            ),
            Query::Host => Answer::Host(Host {
                name: "pier".to_owned(),
                memory: 8 << 30,
                cpus: 4,
                volumes: "/var/lib/wharf/volumes".into(),
            }),
        })
    }
}

fn image(summary: &ImageSummary) -> Image {
    let entry = |by: &str, size, empty| HistoryEntry {
        created: Some(ago(86_400)),
        created_by: by.to_owned(),
        comment: String::new(),
        size,
        empty,
    };
    Image {
        summary: summary.clone(),
        author: "me".to_owned(),
        comment: String::new(),
        config: ContainerConfig::default(),
        layers: vec![
            Layer {
                diff_id: digest(8),
                chain_id: digest(8),
                blob: digest(9),
                size: 4_000_000,
                blob_size: 2_000_000,
            },
            Layer {
                diff_id: digest(10),
                chain_id: digest(11),
                blob: digest(12),
                size: 261_550,
                blob_size: 100_000,
            },
        ],
        history: vec![
            entry("ADD rootfs.tar /", 4_000_000, false),
            entry("ENV A=b", 0, true),
            entry("COPY app /app", 261_550, false),
        ],
        manifest: digest(13),
        stated: Stated::default(),
        tagged: None,
    }
}

/// A program that runs on a world.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) state: State,
    pub(crate) world: World,
    pub(crate) theme: Theme,
}

impl Ui {
    pub(crate) fn new(world: World, width: u16, height: u16) -> Self {
        let settings = Settings {
            here: Some("/home/me".into()),
            home: Some("/home/me".into()),
            ..Settings::default()
        };
        let mut ui = Self {
            state: State::new(settings, width, height, now()),
            world,
            theme: Theme::built_in("dark", Depth::True),
        };
        let effects = ui.state.start();
        ui.settle(effects);
        ui
    }

    pub(crate) fn usual(width: u16, height: u16) -> Self {
        let mut ui = Self::new(World::usual(), width, height);
        ui.measure();
        ui
    }

    pub(crate) fn ascii(mut self) -> Self {
        self.state.settings.glyphs = Glyphs::Ascii;
        self
    }

    pub(crate) fn mono(mut self) -> Self {
        self.theme = Theme::built_in("dark", Depth::Mono);
        self
    }

    /// One message; questions to the engine are answered, other effects returned.
    pub(crate) fn send(&mut self, msg: Msg) -> Vec<Effect> {
        let effects = update(&mut self.state, msg);
        self.settle(effects)
    }

    fn settle(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                // Asked again and again: once is enough.
                Effect::Query {
                    query: Query::Processes(_) | Query::Connections(_),
                    after,
                    ..
                } if !after.is_zero() => {}
                Effect::Query { id, query, .. } => {
                    let answer = self.world.answer(&query);
                    rest.extend(self.send(Msg::Answer(id, answer)));
                }
                other => rest.push(other),
            }
        }
        rest
    }

    /// Presses keys: words separated by blanks, `<cr>` is enter.
    pub(crate) fn play(&mut self, script: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for word in script.split_whitespace() {
            let word = if word == "<cr>" { "enter" } else { word };
            let key: Key = word.parse().unwrap();
            effects.extend(self.send(Msg::Key(key)));
        }
        effects
    }

    /// The same, and questions stay open.
    pub(crate) fn unanswered(&mut self, script: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for word in script.split_whitespace() {
            let word = if word == "<cr>" { "enter" } else { word };
            let key: Key = word.parse().unwrap();
            effects.extend(update(&mut self.state, Msg::Key(key)));
        }
        effects.retain(|effect| !is_directory(effect));
        effects
    }

    /// Ends all jobs in the same way.
    pub(crate) fn finish(&mut self, effects: &[Effect], outcome: &Outcome) {
        for job in jobs(effects) {
            self.send(Msg::Job(job, Report::Finished(outcome.clone())));
        }
    }

    /// Types a text; blanks too.
    pub(crate) fn type_text(&mut self, text: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for c in text.chars() {
            effects.extend(self.send(Msg::Key(Key::char(c))));
        }
        effects
    }

    /// A report of a job, and so many milliseconds after the start.
    pub(crate) fn progress(
        &mut self,
        job: JobId,
        (part, phase, done, total): (&str, &'static str, u64, Option<u64>),
        milliseconds: i64,
    ) {
        let time = now() + jiff::SignedDuration::from_millis(milliseconds);
        self.send(Msg::Tick(time));
        let progress = Progress {
            part: part.to_owned(),
            phase: phase.into(),
            done,
            total,
        };
        self.send(Msg::Job(job, Report::Progress(progress)));
    }

    /// Some seconds of figures for what runs.
    pub(crate) fn measure(&mut self) {
        for second in 0..60_u64 {
            let stats = |n: u8| Stats {
                id: id(n),
                at: second * 1_000_000_000,
                cpu_total: second * second * 4_000_000 * u64::from(n),
                cpu_user: 0,
                cpu_system: 0,
                throttled_periods: 0,
                memory: (20 + second / u64::from(n)) << 20,
                memory_limit: 64 << 20,
                net_rx: second * 20_000,
                net_tx: second * second * 500,
                block_read: second * 4096,
                block_write: 0,
                pids: 3 + second % 4,
                pids_limit: None,
            };
            let all = [1, 2, 3].map(stats).to_vec();
            self.send(Msg::Stats(all));
        }
    }

    /// Lines of the chosen container's log; `!` in front: standard error.
    pub(crate) fn log(&mut self, text: &str) {
        let log = self.state.log.as_ref().unwrap();
        let generation = log.generation;
        let mut lines = Vec::new();
        for (number, text) in (0..).zip(text.lines()) {
            let (stream, text) = match text.strip_prefix('!') {
                Some(rest) => (Stream::Stderr, rest),
                None => (Stream::Stdout, text),
            };
            let mut parser = Parser::default();
            parser.feed(format!("{text}\n").as_bytes(), |line| {
                lines.push(LogLine {
                    time: now() + jiff::SignedDuration::from_millis(number * 100),
                    stream,
                    line,
                });
            });
        }
        self.send(Msg::Log { generation, lines });
    }

    pub(crate) fn resize(&mut self, width: u16, height: u16) -> Vec<Effect> {
        self.send(Msg::Resized { width, height })
    }

    pub(crate) fn cells(&self) -> (Buffer, Option<Position>) {
        let mut buffer = Buffer::empty(self.state.area());
        let cursor = views::draw(&self.state, &self.theme, &mut buffer);
        (buffer, cursor)
    }

    /// The screen as text, without blanks at line ends.
    pub(crate) fn screen(&self) -> String {
        let (buffer, _) = self.cells();
        let mut text = String::new();
        for row in rows(&buffer) {
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    #[track_caller]
    pub(crate) fn assert_shows(&self, wanted: &str) {
        let screen = self.screen();
        assert!(screen.contains(wanted), "no {wanted:?} in\n{screen}");
    }

    #[track_caller]
    pub(crate) fn assert_hides(&self, unwanted: &str) {
        let screen = self.screen();
        assert!(!screen.contains(unwanted), "{unwanted:?} in\n{screen}");
    }

    pub(crate) fn chosen(&self) -> String {
        let row = self.state.containers.selected();
        row.map(|r| r.name().into_owned()).unwrap_or_default()
    }
}

/// The rows of a buffer; what a wide character covers is left out.
pub(crate) fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width).max(1);
    buffer
        .content
        .chunks(width)
        .map(|cells| {
            let mut row = String::new();
            let mut covered = 0;
            for cell in cells {
                if covered > 0 {
                    covered -= 1;
                    continue;
                }
                covered = wharf::app::text::width(cell.symbol()).max(1) - 1;
                row.push_str(cell.symbol());
            }
            row
        })
        .collect()
}

pub(crate) fn jobs(effects: &[Effect]) -> Vec<JobId> {
    let job = |effect: &Effect| match effect {
        Effect::Start(id, _) => Some(*id),
        _ => None,
    };
    effects.iter().filter_map(job).collect()
}

pub(crate) fn failure(line: &str) -> Failure {
    Failure {
        kind: Kind::Internal,
        line: line.to_owned(),
        hint: Some("try again".to_owned()),
        chain: line.split(": ").map(ToOwned::to_owned).collect(),
    }
}

/// A question about what can be completed.
fn is_directory(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Query {
            query: Query::Directory(_),
            ..
        }
    )
}
