//! Architectures, and the numbers that system calls have on them. Knows no filters.
//!
//! The build script compiles this file, too: it uses nothing of the crate.

/// Names and numbers; the file says where they are from.
const SYSCALLS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/syscalls.tsv"));

/// The bit that marks a system call of the x32 interface (asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose system calls a filter can tell apart, in the order of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Arch {
    X86_64,
    I386,
    X32,
    Aarch64,
    Arm,
}

impl Arch {
    pub(super) const ALL: [Self; 5] = [
        Self::X86_64,
        Self::I386,
        Self::X32,
        Self::Aarch64,
        Self::Arm,
    ];

    /// The architecture of a program that Rust calls `name`, if it can be the host's.
    pub(super) fn native(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// What else a host of this architecture runs.
    pub(super) fn family(self) -> &'static [Self] {
        match self {
            Self::X86_64 | Self::I386 | Self::X32 => &[Self::X86_64, Self::I386, Self::X32],
            Self::Aarch64 | Self::Arm => &[Self::Aarch64, Self::Arm],
        }
    }

    /// `seccomp_data.arch` (linux/audit.h). That of x32 is x86_64's: only [`X32_BIT`] tells them apart.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are compared in all 64 bits; else in the lower 32, as libseccomp does, for x32 as well.
    pub(super) fn is_wide(self) -> bool {
        match self {
            Self::X86_64 | Self::Aarch64 => true,
            Self::I386 | Self::X32 | Self::Arm => false,
        }
    }

    /// Its place in [`Self::ALL`] and among the table's columns.
    pub(super) fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::I386 => 1,
            Self::X32 => 2,
            Self::Aarch64 => 3,
            Self::Arm => 4,
        }
    }
}

/// The system calls of all architectures. The build script reads it from the file and writes it down ([`Table::rows`]),
/// the program takes what was written: rows without pointers, which need no relocation when a process starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    /// All names, one after the other.
    pub(super) names: &'a str,
    /// Sorted by name.
    pub(super) rows: &'a [Row],
}

/// One system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Where its name begins.
    pub(super) at: u16,
    /// How long that is, in bytes.
    pub(super) length: u8,
    pub(super) numbers: Numbers,
}

/// The numbers of one system call; [`MISSING`] where an architecture does not have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers(pub(super) [u32; 5]);

/// No number: the kernel's own "no system call".
pub(super) const MISSING: u32 = u32::MAX;

impl Numbers {
    /// The number on an architecture, if that has the system call.
    pub(super) fn on(self, arch: Arch) -> Option<u32> {
        Some(self.0[arch.column()]).filter(|number| *number != MISSING)
    }
}

/// Reads the file; some ten microseconds.
pub(super) fn read() -> (String, Vec<Row>) {
    let mut names = String::new();
    let lines = SYSCALLS.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.skip(1).filter_map(|line| {
        let mut fields = line.split('\t');
        let name = fields.next()?;
        let at = u16::try_from(names.len()).ok()?;
        names += name;
        let mut numbers = [MISSING; 5];
        for (number, field) in numbers.iter_mut().zip(fields) {
            *number = field.parse().unwrap_or(MISSING);
        }
        // All ones stay all ones.
        numbers[Arch::X32.column()] |= X32_BIT;
        let length = u8::try_from(name.len()).ok()?;
        let numbers = Numbers(numbers);
        Some(Row {
            at,
            length,
            numbers,
        })
    });
    let rows = rows.collect();
    (names, rows)
}

impl Table<'_> {
    /// The numbers of a system call, if any architecture has it.
    pub(super) fn find(self, name: &str) -> Option<Numbers> {
        let name_of = |row: &Row| {
            let at = usize::from(row.at);
            let bytes = self.names.as_bytes();
            bytes.get(at..at + usize::from(row.length))
        };
        let found = (self.rows).binary_search_by(|row| name_of(row).cmp(&Some(name.as_bytes())));
        Some(self.rows[found.ok()?].numbers)
    }
}

/// The older way in on i386: one system call for many, told apart by its first argument.
///
/// Gives the name of that system call and the argument (linux/net.h, linux/ipc.h). The call's own arguments are in
/// memory then, where no filter sees them.
pub(super) fn multiplexed(name: &str) -> Option<(&'static str, u64)> {
    let (by, argument) = match name {
        "socket" => ("socketcall", 1),
        "bind" => ("socketcall", 2),
        "connect" => ("socketcall", 3),
        "listen" => ("socketcall", 4),
        "accept" => ("socketcall", 5),
        "getsockname" => ("socketcall", 6),
        "getpeername" => ("socketcall", 7),
        "socketpair" => ("socketcall", 8),
        "send" => ("socketcall", 9),
        "recv" => ("socketcall", 10),
        "sendto" => ("socketcall", 11),
        "recvfrom" => ("socketcall", 12),
        "shutdown" => ("socketcall", 13),
        "setsockopt" => ("socketcall", 14),
        "getsockopt" => ("socketcall", 15),
        "sendmsg" => ("socketcall", 16),
        "recvmsg" => ("socketcall", 17),
        "accept4" => ("socketcall", 18),
        "recvmmsg" => ("socketcall", 19),
        "sendmmsg" => ("socketcall", 20),
        "semop" => ("ipc", 1),
        "semget" => ("ipc", 2),
        "semctl" => ("ipc", 3),
        "semtimedop" => ("ipc", 4),
        "msgsnd" => ("ipc", 11),
        "msgrcv" => ("ipc", 12),
        "msgget" => ("ipc", 13),
        "msgctl" => ("ipc", 14),
        "shmat" => ("ipc", 21),
        "shmdt" => ("ipc", 22),
        "shmget" => ("ipc", 23),
        "shmctl" => ("ipc", 24),
        _ => return None,
    };
    Some((by, argument))
}
