//! Network namespaces with nothing but their loopback, for what needs no container; and a loop for what lives in a monitor's.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use wharf::engine::sys::{namespace, process};

/// A network namespace that lives as long as this. Its loopback is up.
#[derive(Debug)]
pub struct Space {
    file: File,
}

impl Space {
    pub fn new() -> Self {
        let file = thread::spawn(|| {
            namespace::unshare(process::NEWNET).unwrap();
            namespace::loopback_up().unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self {
            file: file.join().unwrap(),
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Puts this thread, which was made for it, into the namespace for good.
    pub fn enter(&self) {
        namespace::enter_file(self.fd(), process::NEWNET, "of a test").unwrap();
    }

    /// Does something there, in a thread of its own. Sockets that were made there stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let done = scope.spawn(|| {
                self.enter();
                work()
            });
            done.join().unwrap()
        })
    }
}

/// Another handle for the same namespace.
impl Clone for Space {
    fn clone(&self) -> Self {
        Self {
            file: self.file.try_clone().unwrap(),
        }
    }
}
