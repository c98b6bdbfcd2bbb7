//! When and where the calling process runs: sched_setattr(2), sched_setaffinity(2), ioprio_set(2), personality(2),
//! set_mempolicy(2).

#![expect(unsafe_code, reason = "none of these calls has a safe wrapper")]

use std::fmt::Display;

use super::{failed, last_errno};
use crate::engine::error::Result;

/// A set of numbers (processors, memory nodes), one bit each, lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Adds a number.
    pub fn insert(&mut self, number: u16) {
        let (word, bit) = (usize::from(number / 64), number % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u16) -> bool {
        let word = self.words.get(usize::from(number / 64));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// Whether all numbers of this are in the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let theirs = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words
            .iter()
            .zip(theirs)
            .all(|(own, theirs)| own & !theirs == 0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// As one hexadecimal number.
    #[must_use]
    pub fn hexadecimal(&self) -> String {
        let used = self.words.iter().rposition(|word| *word != 0).unwrap_or(0);
        let (high, low) = self.words.split_at(used.min(self.words.len()));
        let first = low.first().copied().unwrap_or(0);
        let rest = high.iter().rev().map(|word| format!("{word:016x}"));
        format!("0x{first:x}{}", rest.collect::<String>())
    }

    /// The first 8192 numbers: more processors than a kernel can be built for.
    #[must_use]
    pub fn full() -> Self {
        Self {
            words: vec![u64::MAX; 128],
        }
    }
}

/// `struct sched_attr` (sched_setattr(2)), first version.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Of this structure; [`set_attributes`] fills it in.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`: -20 to 19.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`: 1 to 99.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub period: u64,
}

/// Sets the scheduling policy.
///
/// # Errors
/// `EPERM` without the right to, `EINVAL` for what does not fit together, `EBUSY` if there is no bandwidth left.
pub fn set_attributes(attributes: Attributes) -> Result<()> {
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).unwrap_or(0),
        ..attributes
    };
    // SAFETY: the structure outlives the call and says how long it is; pid 0 is this process.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    check(result, "set the scheduling policy")
}

/// On which processors this process may run.
///
/// # Errors
/// `EINVAL` if none of them is there, or allowed by its cpuset.
pub fn set_affinity(processors: &Bits) -> Result<()> {
    let words = &processors.words;
    // SAFETY: the slice outlives the call and its length in bytes is given; pid 0 is this process.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(words.as_slice()),
            words.as_ptr(),
        )
    };
    check(result, "set the processor affinity")
}

/// On which processors this process may run now.
///
/// # Errors
/// None in practice.
pub fn affinity() -> Result<Bits> {
    let mut words = Bits::full().words;
    // SAFETY: the buffer outlives the call and its length in bytes is given; pid 0 is this process.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(words.as_slice()),
            words.as_mut_ptr(),
        )
    };
    let Ok(bytes) = usize::try_from(result) else {
        return Err(failed(last_errno(), "read the processor affinity"));
    };
    words.truncate(bytes / 8);
    Ok(Bits { words })
}

/// Sets the I/O priority of this process: class (1 real time, 2 best effort, 3 idle) and level (0 to 7).
///
/// # Errors
/// `EPERM` for real time without the right to.
pub fn set_io_priority(class: u16, level: u16) -> Result<()> {
    /// `IOPRIO_WHO_PROCESS`.
    const PROCESS: i32 = 1;
    let value = i32::from(class) << 13 | i32::from(level);
    // SAFETY: plain values; id 0 is this process.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, value) };
    check(result, "set the I/O priority")
}

/// Sets the execution domain (`PER_*`).
///
/// # Errors
/// `EINVAL` for one that the kernel does not know.
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: a plain value.
    let result = unsafe { libc::personality(domain.into()) };
    check(i64::from(result.min(0)), "set the personality")
}

/// Sets the NUMA memory policy: `MPOL_*` with flags, and nodes.
///
/// # Errors
/// `EINVAL` for nodes that are not there, or modes that do not fit to them.
pub fn set_memory_policy(mode: i32, nodes: &Bits) -> Result<()> {
    let words = &nodes.words;
    let (pointer, bits) = match words.len() {
        0 => (std::ptr::null(), 0),
        // The kernel takes one off what it is given.
        count => (words.as_ptr(), count * 64 + 1),
    };
    // SAFETY: the pointer is null, or to as many bits as are given; it outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) };
    check(result, "set the memory policy")
}

fn check(result: i64, what: impl Display) -> Result<()> {
    if result < 0 {
        Err(failed(last_errno(), what))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_read_back() {
        // In a thread of its own: affinity belongs to threads.
        std::thread::spawn(|| {
            let mut first = Bits::default();
            first.insert(0);
            set_affinity(&first).unwrap();
            let now = affinity().unwrap();
            assert!(now.contains(0) && !now.contains(1));
            set_affinity(&Bits::full()).unwrap();
            assert!(set_affinity(&Bits::default()).is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_number_is_in_the_set_that_it_was_put_into() {
        let mut bits = Bits::default();
        assert!(bits.is_empty());
        for number in [0, 63, 64, 1000, u16::MAX] {
            assert!(!bits.contains(number));
            bits.insert(number);
            assert!(bits.contains(number), "{number}");
        }
        assert!(!bits.contains(1));
    }
}
