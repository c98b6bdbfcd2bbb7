//! What fuzz targets that read images, names and settings do with their input. `tests/fuzz.rs` does the same with the
//! corpora and with what becomes of them, so that each of these holds on every run of the tests.

use std::fs;
use std::os::unix::fs::MetadataExt;

use oci_spec::runtime::LinuxSeccomp;
use wharf::app::words;
use wharf::cli::{networking, ports};
use wharf::engine::credentials::Store;
use wharf::engine::images::document::{self, Document};
use wharf::engine::images::tarball::Reader;
use wharf::engine::images::{explore, platform as platforms, unpack};
use wharf::engine::model::image::HistoryEntry;
use wharf::engine::model::layers::Entry;
use wharf::engine::model::layers::dive_rules::Written;
use wharf::engine::model::layers::findings::allow::Allowed;
use wharf::engine::model::layers::findings::nature::Nature;
use wharf::engine::model::layers::findings::{self, Evidence, secrets};
use wharf::engine::model::layers::glob::Glob;
use wharf::engine::model::layers::{About, Explored, instruction};
use wharf::engine::model::{Platform, Reference};
use wharf::engine::net::dns::message::{self, Incoming, Transport};
use wharf::engine::net::names::Directory;
use wharf::engine::runtime::oci::bundle;
use wharf::engine::runtime::seccomp::compile;
use wharf::engine::runtime::{dialect, launch};
use wharf::engine::sys::at::Dir;
use wharf::engine::sys::link::Seen;
use wharf::engine::sys::netlink as wire;
use wharf::engine::sys::seccomp::Instruction;
use wharf::engine::sys::{nftables, route};

#[path = "filters.rs"]
mod filters;

/// Filters of system calls. Bytes that begin with `{` are a document: it makes a filter that the kernel takes, or an error.
/// Others choose a document and calls: the filter answers what the document means.
pub fn seccomp(bytes: &[u8]) {
    if bytes.first() == Some(&b'{') {
        let Ok(spec) = serde_json::from_slice::<LinuxSeccomp>(bytes) else {
            return;
        };
        match compile(&spec) {
            Ok(filter) => filters::verify(&ops(&filter.program)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        return;
    }
    let mut draw = filters::Draw(bytes);
    let document = draw.document();
    let spec = serde_json::from_value(document.clone()).expect("a document");
    match compile(&spec) {
        Ok(filter) => {
            let program = ops(&filter.program);
            filters::verify(&program);
            let native = filters::MACHINES.into_iter().find(|machine| {
                machine.name.to_lowercase() == format!("scmp_arch_{}", std::env::consts::ARCH)
            });
            let native = native.expect("the build script knows no others");
            for _ in 0..4 {
                filters::compare(&program, &document, native, &draw.arguments());
            }
        }
        Err(error) => assert!(error.to_string().contains("same conditions"), "{error}"),
    }
}

fn ops(program: &[Instruction]) -> Vec<filters::Op> {
    let parts = |i: &Instruction| (i.code, i.jt, i.jf, i.k);
    program.iter().map(parts).collect()
}

/// An image reference from anywhere either parses or is refused; what parses prints as something that parses to the same.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(reference) = text.parse::<Reference>() {
        let again = reference.to_string().parse::<Reference>();
        assert_eq!(again.as_ref(), Ok(&reference));
        // Not always to the same: Docker shortens `docker.io/a.b/c`, too.
        assert!(reference.familiar().parse::<Reference>().is_ok());
    }
}

/// A platform either parses or is refused; what parses prints as something that means the same.
pub fn platform(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(platform) = text.parse::<Platform>() {
        let again: Platform = platform.to_string().parse().expect("its own text");
        assert_eq!(again.to_string(), platform.to_string());
    }
}

/// Files of dive's rules and patterns for paths: an answer or one line.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let one_line = |error: String| assert!(!error.is_empty() && !error.contains('\n'), "{error}");
    match Written::read(text) {
        Ok((written, _unknown)) => {
            if let Err(error) = written.rules() {
                assert!(!error.is_empty());
            }
        }
        Err(error) => assert!(!error.is_empty()),
    }
    for line in text.lines().take(4) {
        match Glob::parse(line) {
            Ok(glob) => {
                let _ = glob.matches(bytes);
            }
            Err(error) => one_line(error),
        }
    }
}

/// Instructions of a history, one a line; those that begin with a blank made no layer. Whatever they say: the base has no more
/// layers than there are, an instruction is one line, and so is each finding.
pub fn history(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let step = |line: &str| HistoryEntry {
        created: None,
        created_by: line.replace('\r', "\n"),
        comment: String::new(),
        size: 0,
        empty: line.starts_with(' '),
    };
    let history: Vec<HistoryEntry> = text.split('\n').map(step).collect();
    let about = About {
        name: String::new(),
        id: String::new(),
        platform: Platform::default(),
        user: String::new(),
        has_healthcheck: false,
        env: text.lines().map(ToOwned::to_owned).collect(),
        history,
        labels: [(
            "org.opencontainers.image.base.name".to_owned(),
            text.to_string(),
        )]
        .into(),
    };
    let layers = about.history.iter().filter(|step| !step.empty).count();
    assert!(about.base_layers() <= layers);
    for step in &about.history {
        let told = instruction(&step.created_by);
        assert!(!told.contains('\n') && told.len() <= step.created_by.len());
    }
    let image = Explored::new(about);
    for finding in findings::findings(&image, &Evidence::default()) {
        assert!(!finding.detail.contains('\n'), "{finding:?}");
    }
}

/// A line has words or an error; words written as a line are the same words.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(found) = words::split(text) {
        let line = words::join(found.iter().map(String::as_str));
        assert_eq!(words::split(&line), Ok(found));
    }
}

/// A path, a line's end, and what the file holds: secrets are in lines that are there, few, and never shown whole. The same
/// as an instruction, and as what may be a finding.
pub fn secrets(bytes: &[u8]) {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (path, content) = bytes.split_at(end);
    let lines = content.split(|b| *b == b'\n').count();
    let hits = secrets::in_content(path, content);
    assert!(hits.len() <= 20);
    for hit in &hits {
        assert!(usize::try_from(hit.line).is_ok_and(|line| (1..=lines).contains(&line)));
        assert!(hit.shown.contains("characters)"), "{}", hit.shown);
    }
    if !hits.is_empty() && content.len() < 1 << 18 {
        let size = u64::try_from(content.len()).expect("a length");
        assert!(
            secrets::wanted(path, size),
            "what is not read has no secrets"
        );
    }
    if let Ok(text) = std::str::from_utf8(content) {
        for hit in secrets::in_words(text) {
            assert!(hit.shown.contains("characters)"), "{}", hit.shown);
        }
        let _ = Allowed::parse(text);
    }
    if let Some((_, end)) = Nature::of(path) {
        assert!(end > 0 && end <= path.len());
    }
}

/// Manifests, indexes and `manifest.json`: what is read is written as something that is read to the same.
pub fn documents(bytes: &[u8]) {
    match document::read(bytes, "") {
        Ok(Document::Index(index)) => {
            let picked = platforms::choose(&index.manifests, &Platform::host());
            assert!(picked.is_none_or(|picked| index.manifests.contains(picked)));
            let text = serde_json::to_vec(&index).expect("JSON");
            let again = document::read(&text, "").expect("its own text");
            assert_eq!(again, Document::Index(index));
        }
        Ok(Document::Manifest(manifest)) => {
            let text = serde_json::to_vec(&manifest).expect("JSON");
            let again = document::read(&text, "").expect("its own text");
            assert_eq!(again, Document::Manifest(manifest));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = document::read_archive_manifest(bytes);
}

/// Configurations.
pub fn config(bytes: &[u8]) {
    for layers in 0..3 {
        if let Ok(config) = document::read_config(bytes, layers) {
            assert_eq!(config.rootfs.diff_ids.len(), layers);
            let _ = config.container_config();
            let _ = config.platform();
        }
    }
}

/// Specifications: what is read is written as something that is read to the same, and every check gives an answer.
pub fn specification(bytes: &[u8]) {
    let read = bundle::parse(bytes);
    if let Some(translated) = dialect::translate(bytes, dialect::Document::Container) {
        assert!(dialect::translate(&translated.content, dialect::Document::Container).is_none());
    }
    let Ok((spec, _warnings)) = read else {
        return;
    };
    let text = serde_json::to_vec(&spec).expect("JSON");
    let (again, _warnings) = bundle::parse(&text).expect("its own text");
    assert_eq!(again, spec);
    if let Err(error) = launch::check(&spec) {
        assert!(!error.to_string().is_empty());
    }
}

/// The tar reader: headers, PAX records, sparse maps. Checksums are made right first, or nothing would get past them.
pub fn tarball(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        set_checksum(block);
    }
    let mut reader = Reader::new(bytes.as_slice());
    let mut buffer = [0; 1000];
    while let Ok(Some(entry)) = reader.next_entry() {
        assert!(!entry.path.is_empty());
        let mut stored = 0_u64;
        while let Ok(read @ 1..) = reader.read_data(&mut buffer) {
            stored += read as u64;
        }
        assert!(entry.sparse.is_some() || stored <= entry.size);
    }
}

/// Compressed streams of any kind end, with their content or an error, and a layer is what a layer may be.
pub fn codec(bytes: &[u8]) {
    use std::io::Read;
    use wharf::engine::images::codec;
    let Ok(mut archive) = codec::decode_archive(bytes) else {
        return;
    };
    let mut content = Vec::new();
    let read = archive.by_ref().take(1 << 20).read_to_end(&mut content);
    let mut layer = Vec::new();
    let passed =
        codec::as_layer(bytes).and_then(|layer_of| layer_of.take(1 << 20).read_to_end(&mut layer));
    match codec::Compression::sniff(bytes) {
        Ok(_) => assert!(layer == bytes.get(..1 << 20).unwrap_or(bytes)),
        Err(_) => assert!(read.is_ok() == passed.is_ok() && content == layer),
    }
}

/// A layer's table of contents: what it says is a list as archives make it, or refused.
pub fn table(bytes: &[u8]) {
    let Ok((entries, wanted)) = explore::list_table(bytes) else {
        return;
    };
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    assert!(entries.first().is_some_and(|root| root.path.is_empty()));
    for entry in &entries {
        let parts: Vec<&[u8]> = entry.path.split(|byte| *byte == b'/').collect();
        let odd = |part: &&[u8]| matches!(*part, b"" | b"." | b"..");
        assert!(entry.path.is_empty() || !parts.iter().any(odd));
        assert!(entry.mode <= 0o7777);
    }
    assert!(wanted <= bytes.len());
}

fn set_checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A byte of input chooses what an entry is, the next ones its names.
fn archive(bytes: &[u8]) -> Vec<u8> {
    const NAMES: [&str; 16] = [
        "a",
        "b",
        "a/b",
        "b/a",
        "a/b/a",
        "../decoy",
        "/decoy",
        "../decoy/f",
        "a/../b",
        ".wh.a",
        "a/.wh.b",
        "b/.wh.a",
        ".wh..wh..opq",
        "a/.wh..wh..opq",
        ".",
        "/",
    ];
    let mut archive = Vec::new();
    for triple in bytes.chunks_exact(3) {
        let mut block = [0_u8; 512];
        let name = NAMES[usize::from(triple[1] % 16)];
        let link = NAMES[usize::from(triple[2] % 16)];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0007777");
        block[156] = b"01255236"[usize::from(triple[0] % 8)];
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        // A file has up to three bytes.
        let length = if block[156] == b'0' {
            triple[2] >> 6
        } else {
            0
        };
        block[124..135].copy_from_slice(format!("{length:011o}").as_bytes());
        set_checksum(&mut block);
        archive.extend_from_slice(&block);
        if length > 0 {
            archive.extend_from_slice(&[length; 512]);
        }
    }
    archive
}

/// Applies a layer to a directory next to a decoy, which must not change. Needs root, and a directory for temporary
/// files on a file system with device nodes and extended attributes.
pub fn layer(bytes: &[u8]) {
    let root = std::env::temp_dir().join(format!("wharf-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("fs")).unwrap();
    fs::create_dir(root.join("decoy")).unwrap();
    fs::write(root.join("decoy/f"), "precious").unwrap();
    let before = fs::metadata(root.join("decoy")).unwrap();
    let archive = archive(bytes);
    let dir = Dir::open(&root.join("fs")).unwrap();
    let (behind, nursery) = Default::default();
    let unpacked = unpack::unpack(&mut archive.as_slice(), dir, &behind, &nursery);
    if let Ok(complete) = unpacked.and_then(|layer| layer.complete(&[])) {
        // The same without a file system.
        let (listed, wanted) = explore::list(&mut archive.as_slice()).unwrap();
        let facts = |entry: &Entry| {
            (
                entry.path.clone(),
                entry.kind.clone(),
                entry.mode,
                entry.size,
            )
        };
        let expected: Vec<_> = complete.entries().map(|entry| facts(&entry)).collect();
        assert_eq!(listed.iter().map(facts).collect::<Vec<_>>(), expected);
        assert_eq!(wanted, 0);
        let repeated = explore::list_repeated(&mut archive.as_slice()).unwrap();
        assert_eq!(repeated, complete.repeated());
    }
    let after = fs::metadata(root.join("decoy")).unwrap();
    assert_eq!(
        (before.mode(), before.mtime_nsec(), before.nlink()),
        (after.mode(), after.mtime_nsec(), after.nlink())
    );
    assert_eq!(fs::metadata(root.join("decoy/f")).unwrap().nlink(), 1);
    assert_eq!(
        fs::read_to_string(root.join("decoy/f")).unwrap(),
        "precious"
    );
    fs::remove_dir_all(&root).unwrap();
}

/// Docker's `config.json`: what it says of a registry is understood or refused, and no helper of it is found.
pub fn credentials(bytes: &[u8]) {
    let dir = std::env::temp_dir().join(format!("wharf-fuzz-config-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.json"), bytes).unwrap();
    let store = Store::with_path(&dir, std::ffi::OsString::new());
    for registry in ["docker.io", "127.0.0.1:5000", "registry.test"] {
        let _ = store.auth(registry);
    }
    fs::remove_dir_all(&dir).unwrap();
}

/// What a registry says that it wants to be shown is read, whatever it is.
pub fn challenge(bytes: &[u8]) {
    let Ok(header) = std::str::from_utf8(bytes) else {
        return;
    };
    for one in wharf::engine::images::registry::challenge::parse(header) {
        assert_eq!(one.scheme, one.scheme.to_ascii_lowercase());
        assert_ne!(one.get("realm"), Some(""));
    }
}

/// The administrator's `registries.toml` is understood, or refused with file and line.
pub fn registries_toml(bytes: &[u8]) {
    use wharf::engine::images::registry::{Settings, Surroundings};
    let dir = std::env::temp_dir().join(format!("wharf-fuzz-toml-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("registries.toml"), bytes).unwrap();
    let read = Settings::read(&Surroundings {
        config: dir.clone(),
        ..Surroundings::default()
    });
    if let Err(error) = read {
        assert!(error.to_string().contains("registries.toml"), "{error}");
    }
    fs::remove_dir_all(&dir).unwrap();
}

/// No list of mount options, one on each line, makes a bit both set and cleared, and the last word wins.
pub fn mount_options(bytes: &[u8]) {
    use wharf::engine::runtime::mounts::options::parse;
    use wharf::engine::sys::mount;
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut list: Vec<String> = text.lines().map(str::to_owned).collect();
    let Ok(options) = parse(&list) else {
        return;
    };
    for (set, clear) in [
        (options.set, options.clear),
        (options.set_all, options.clear_all),
    ] {
        assert_eq!(set & clear & !mount::ATIME, 0);
        assert!(set & mount::ATIME == 0 || clear & mount::ATIME == mount::ATIME);
    }
    assert!(options.data.iter().all(|(key, _)| !key.contains('=')));
    list.extend(["rw", "rro", "ro"].map(str::to_owned));
    let last = parse(&list).unwrap();
    assert_ne!(last.set & mount::RDONLY, 0);
    assert_ne!(last.set_all & mount::RDONLY, 0);
}

/// Flags of networking: what `-p`, `--expose` and `--network` make of any text holds together, or is refused in a word.
pub fn networking(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match ports::publish(text) {
        Ok(bindings) => {
            assert!(!bindings.is_empty());
            for binding in &bindings {
                let host = binding.host;
                assert_ne!(binding.port.number, 0);
                assert!(host.is_none_or(|(first, last)| 0 < first && first <= last));
            }
            // One range on one range: port by port, in order.
            let numbers: Vec<u16> = bindings.iter().map(|binding| binding.port.number).collect();
            assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{text}");
        }
        Err(error) => assert!(!error.is_empty() && !error.contains('\n') || text.contains('\n')),
    }
    match networking::network(text) {
        Ok(attachment) => assert!(!attachment.network.is_empty()),
        Err(error) => assert!(!error.is_empty()),
    }
    if let Ok(all) = ports::expose(text) {
        assert!(all.iter().all(|port| port.number != 0));
    }
}

/// Messages to a name server: no answer to an answer; what is said is a response under the same number, never longer than may be;
/// the same bytes as a server's answer are not believed unless they are one.
pub fn dns(bytes: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let answers = match message::read(bytes, transport) {
            Incoming::Nothing => continue,
            Incoming::Refused(answer) => vec![answer],
            Incoming::Question(question) => {
                let id = question.id();
                assert_eq!(question.judge(bytes, id), message::Reply::Stranger);
                let mut reply = bytes.to_vec();
                reply[2] |= 0x80;
                assert_ne!(question.judge(&reply, id), message::Reply::Stranger);
                assert_eq!(question.judge(&reply, !id), message::Reply::Stranger);
                let handed = question.hand_over(reply).expect("an answer");
                assert!(handed.len() <= usize::from(question.limit()));
                let failure = question.failure(hickory_proto::op::ResponseCode::ServFail);
                let unknown = question.answer(&Directory::default(), 1);
                assert_eq!(unknown, None);
                failure.into_iter().chain([handed]).collect()
            }
        };
        for answer in answers {
            assert_eq!(answer.first_chunk::<2>(), bytes.first_chunk::<2>());
            assert_eq!(bytes[2] & 0x80, 0, "an answer was answered");
            assert_eq!(answer[2] & 0x80, 0x80);
        }
    }
}

/// Answers of the kernel by netlink: devices, addresses, routes, chains, rules, elements.
pub fn netlink(bytes: &[u8]) {
    let messages: Vec<_> = wire::messages(bytes).collect();
    assert!(messages.len() <= bytes.len() / 16, "each has a header");
    for message in messages {
        let body = message.body;
        let _ = Seen::parse(body);
        if let Some(net) = route::parse_route(body) {
            assert_eq!(net, net.trunc());
        }
        let _ = route::parse_address(body);
        let _ = nftables::parse_chain(body);
        let _ = nftables::parse_rule(body);
        for key in nftables::parse_keys(body) {
            assert!(key.len() <= body.len());
        }
    }
}
