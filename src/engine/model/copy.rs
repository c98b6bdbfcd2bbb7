//! What `cp` asks about a path, in a container or on the host.

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sort {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, and what it says.
    Link(String),
    /// A device, a pipe or a socket.
    Special,
}

/// One file or directory, and what it is called in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Absolute path. With `/` or `/.` at its end it is a directory, also behind a link.
    pub path: String,
    /// Its name in the archive; `.` for what is in it alone.
    pub called: String,
    /// A link at the end of the path is followed.
    pub follow: bool,
}
