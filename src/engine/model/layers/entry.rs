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
