//! What a layer has at a path.

/// What one entry of a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File {
        /// BLAKE3 of its content: it compares files, nobody shows it; `None` if it is mostly holes and was not hashed.
        content: Option<[u8; 32]>,
    },
    /// Directory.
    Directory {
        /// It hides everything that lower layers have at this path.
        opaque: bool,
        /// The archive did not name it: it was made for an entry below it.
        implied: bool,
    },
    /// Symbolic link.
    Symlink {
        /// Its target, as written.
        target: Vec<u8>,
    },
    /// Another name of a file of the same layer.
    HardLink {
        /// Path of that file in the layer.
        target: Vec<u8>,
    },
    /// Character device.
    Char {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// Block device.
    Block {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// Named pipe.
    Fifo,
    /// It removes what lower layers have at this path.
    Whiteout,
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the layer's root without a slash in front; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes; 0 for all but files.
    pub size: u64,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Bytes that a layer's archive has, and that another entry of the same archive took the place of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repeated {
    /// The path that was written again; what was below it counts, too.
    pub path: Vec<u8>,
    /// Bytes of files that went.
    pub bytes: u64,
}

impl Entry {
    /// Everybody may write to it; directories whose files only their owners may remove (the sticky bit) do not count.
    #[must_use]
    pub fn is_world_writable(&self) -> bool {
        let sticky = matches!(self.kind, Kind::Directory { .. }) && self.mode & 0o1000 != 0;
        let has_mode = !matches!(self.kind, Kind::Symlink { .. } | Kind::Whiteout);
        has_mode && !sticky && self.mode & 0o002 != 0
    }

    /// It is the same to whoever uses it: all but its time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let kinds = match (&self.kind, &other.kind) {
            (Kind::Directory { .. }, Kind::Directory { .. }) => true,
            // Of what was not hashed nothing is known.
            (Kind::File { content: None }, _) => false,
            (a, b) => a == b,
        };
        kinds
            && (self.mode, self.uid, self.gid, self.size)
                == (other.mode, other.uid, other.gid, other.size)
            && self.xattrs == other.xattrs
    }
}
