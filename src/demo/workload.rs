//! What runs inside the demo's containers: small programs that behave as containers do in real life.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::shell;

/// Where the web server listens.
pub(super) const WEB_PORT: u16 = 8080;

type Workload = fn(&Stopped) -> io::Result<ExitCode>;

const WORKLOADS: &[(&str, Workload)] = &[
    ("web", web),
    ("tick", tick),
    ("wave", wave),
    ("grow", grow),
    ("crash", crash),
];

/// Whether there is a workload of that name.
#[cfg(test)]
pub(super) fn exists(name: &str) -> bool {
    WORKLOADS.iter().any(|(known, _)| *known == name)
}

/// Runs the workload that the arguments after [`super::WORKLOAD_VERB`] name, until SIGTERM or its own end. `sh` is the
/// shell that `exec` finds in the demo's containers.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let name = arguments.next().unwrap_or_default();
    if name == "sh" {
        return shell::run(&arguments.collect::<Vec<_>>());
    }
    let outcome = match WORKLOADS
        .iter()
        .find(|(known, _)| OsStr::new(known) == name)
    {
        Some((_, workload)) => Stopped::listen().and_then(|stopped| workload(&stopped)),
        None => Err(io::Error::other(format!(
            "no workload named {}",
            name.to_string_lossy()
        ))),
    };
    outcome.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "demo workload: {error}");
        ExitCode::FAILURE
    })
}

/// Tells a workload that SIGTERM or SIGINT came. As process 1 of its container it would otherwise not even notice
/// (pid_namespaces(7)).
struct Stopped(mpsc::Receiver<()>);

impl Stopped {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (sender, receiver) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut term, mut int) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            )
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = term.recv() => {}
                        _ = int.recv() => {}
                    }
                });
                // The workload may have ended by itself meanwhile.
                let _ = sender.send(());
            })?;
        Ok(Self(receiver))
    }

    /// Lets time pass; true if it is time to end.
    fn within(&self, time: Duration) -> bool {
        self.0.recv_timeout(time).is_ok()
    }
}

/// Numbers that look random, the same at every start.
struct Dice(u64);

impl Dice {
    /// The next number below `limit` (xorshift64).
    fn roll(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let limit = u64::try_from(choices.len()).unwrap_or(1);
        let index = usize::try_from(self.roll(limit)).unwrap_or(0);
        &choices[index]
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A web server that writes an access log in the combined format, and a visitor to it, for nobody else may come.
fn web(stopped: &Stopped) -> io::Result<ExitCode> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, WEB_PORT))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, WEB_PORT));
    say(&format!("demo-web: listening on port {WEB_PORT}"))?;
    std::thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(error) = answer(&stream) {
                    let _ = complain(&format!("request: {error}"));
                }
            }
        })?;
    let mut dice = Dice(0x5eed_0001);
    loop {
        let pause = 120 + dice.roll(900);
        if stopped.within(Duration::from_millis(pause)) {
            say("demo-web: no longer listening")?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Err(error) = visit(address, &mut dice) {
            complain(&format!("visitor: {error}"))?;
        }
    }
}

/// Path, status, size of the page.
const PAGES: &[(&str, u16, usize)] = &[
    ("/", 200, 5_120),
    ("/index.html", 200, 5_120),
    ("/assets/app.css", 200, 14_336),
    ("/assets/app.js", 200, 88_064),
    ("/assets/logo.svg", 304, 0),
    ("/api/containers", 200, 2_310),
    ("/api/images?all=1", 200, 7_904),
    ("/api/login", 401, 48),
    ("/favicon.ico", 404, 153),
    ("/wp-login.php", 404, 153),
    ("/old/docs", 301, 0),
    ("/api/report", 500, 97),
];

fn answer(stream: &TcpStream) -> io::Result<()> {
    let start = Instant::now();
    let peer = stream.peer_addr()?.ip();
    let mut agent = String::from("-");
    let mut request = String::new();
    for (number, line) in BufReader::new(stream).lines().enumerate() {
        let line = line?;
        if number == 0 {
            request = line;
        } else if line.is_empty() {
            break;
        } else if let Some(value) = line.strip_prefix("User-Agent: ") {
            value.clone_into(&mut agent);
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (_, status, size) = PAGES
        .iter()
        .find(|(known, ..)| *known == path)
        .unwrap_or(&("", 404, 153));
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} demo\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&vec![b'.'; *size])?;
    let time = now().strftime("%d/%b/%Y:%H:%M:%S +0000");
    let taken = start.elapsed().as_micros();
    let line =
        format!("{peer} - - [{time}] \"{request}\" {status} {size} \"-\" \"{agent}\" {taken}us");
    if *status >= 500 {
        complain(&format!("upstream timed out while serving {path}"))?;
    }
    say(&line)
}

fn visit(address: SocketAddr, dice: &mut Dice) -> io::Result<()> {
    const AGENTS: [&str; 4] = [
        "Mozilla/5.0",
        "curl/8.14",
        "kube-probe/1.34",
        "Googlebot/2.1",
    ];
    // The home page is what people ask for most.
    let path = if dice.roll(3) == 0 {
        "/"
    } else {
        dice.pick(PAGES).0
    };
    let agent = dice.pick(&AGENTS);
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: demo\r\nUser-Agent: {agent}\r\n\r\n"
    )?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// A line each second, some of them warnings on standard error.
fn tick(stopped: &Stopped) -> io::Result<ExitCode> {
    const TASKS: [&str; 5] = ["mail", "backup", "index", "thumbnails", "reports"];
    let mut dice = Dice(0x5eed_0002);
    let mut tick: u64 = 0;
    loop {
        tick += 1;
        let task = dice.pick(&TASKS);
        let (jobs, taken) = (dice.roll(40), dice.roll(90) + 3);
        let time = now().strftime("%H:%M:%S");
        if tick.is_multiple_of(13) {
            complain(&format!(
                "{time} \x1b[33mWARN\x1b[0m  tick {tick}: {task} is behind, {jobs} jobs wait"
            ))?;
        } else {
            say(&format!(
                "{time} \x1b[32mINFO\x1b[0m  tick {tick}: {task} did {jobs} jobs in {taken} ms"
            ))?;
        }
        if stopped.within(Duration::from_secs(1)) {
            say("ticker: good bye")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Load that rises and falls once in twenty seconds, up to two fifths of a CPU.
fn wave(stopped: &Stopped) -> io::Result<ExitCode> {
    const SLICE: Duration = Duration::from_millis(100);
    const PERIOD: f64 = 20.0;
    const PEAK: f64 = 0.4;
    let start = Instant::now();
    let mut slices: u64 = 0;
    loop {
        let phase = start.elapsed().as_secs_f64() / PERIOD * std::f64::consts::TAU;
        let share = PEAK * (0.5 - 0.5 * phase.cos());
        let busy = SLICE.mul_f64(share);
        let slice = Instant::now();
        let mut dice = Dice(0x5eed_0003);
        while slice.elapsed() < busy {
            for _ in 0..1_000 {
                std::hint::black_box(dice.roll(7));
            }
        }
        if slices.is_multiple_of(50) {
            say(&format!("wave: at {:.0} % of a CPU", share * 100.0))?;
        }
        slices += 1;
        if stopped.within(SLICE.saturating_sub(slice.elapsed())) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A cache that nobody ever empties: 4 MiB more each second, until the memory limit ends it.
fn grow(stopped: &Stopped) -> io::Result<ExitCode> {
    const STEP: usize = 4 * 1024 * 1024;
    let mut cache: Vec<Vec<u8>> = Vec::new();
    loop {
        // Not zeros: the kernel gives memory only for pages that are written to.
        cache.push(vec![0xA5; STEP]);
        std::hint::black_box(&cache);
        say(&format!(
            "cache: {} segments, {} MiB, hit rate {} %",
            cache.len(),
            cache.len() * 4,
            90 + cache.len() % 10
        ))?;
        if stopped.within(Duration::from_secs(1)) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A service that cannot reach its database, and gives up after a few seconds.
fn crash(stopped: &Stopped) -> io::Result<ExitCode> {
    for attempt in 1..=4 {
        say(&format!(
            "orders: connecting to db.internal:5432 (attempt {attempt} of 4)"
        ))?;
        if stopped.within(Duration::from_secs(1)) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    for line in [
        "Traceback (most recent call last):",
        "  File \"/app/orders/main.py\", line 42, in <module>",
        "    pool = connect(settings.database)",
        "  File \"/app/orders/db.py\", line 17, in connect",
        "    return Pool(host, port, timeout=1)",
        "ConnectionRefusedError: [Errno 111] db.internal:5432",
    ] {
        complain(line)?;
    }
    Ok(ExitCode::FAILURE)
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

fn complain(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{line}")
}
