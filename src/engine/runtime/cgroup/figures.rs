//! Reads the figures out of control files' texts. Pure; a text that is not as expected counts as zero.

/// A file with one number; `max` and v1's "no limit" (close to 2^63) are `None`.
pub(super) fn limit(text: &str) -> Option<u64> {
    let value: u64 = text.trim().parse().ok()?;
    // PAGE_COUNTER_MAX in bytes, for any page size up to 64 KiB.
    (value < (1 << 63) - (64 << 10)).then_some(value)
}

/// A file with one number.
pub(super) fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The value behind `key` in a flat keyed file (`key value` lines).
pub(super) fn keyed(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .map_or(0, |(_, value)| number(value))
}

/// Bytes read and written over all devices in v1's `MAJ:MIN Read N` lines.
pub(super) fn v1_block(text: &str) -> (u64, u64) {
    let sum = |word: &str| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let (_device, operation, value) = (words.next()?, words.next()?, words.next()?);
                (operation == word).then(|| number(value))
            })
            .fold(0u64, u64::saturating_add)
    };
    (sum("Read"), sum("Write"))
}

/// Bytes read and written over all devices in v2's `MAJ:MIN rbytes=N wbytes=N …` lines.
pub(super) fn v2_block(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        text.split_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .map(number)
            .fold(0u64, u64::saturating_add)
    };
    (sum("rbytes"), sum("wbytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unlimited_is_none_in_every_spelling() {
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("67108864\n"), Some(64 << 20));
    }

    #[test]
    fn block_figures_are_summed_over_devices() {
        let v1 = "8:0 Read 10\n8:0 Write 20\n8:0 Sync 5\n8:16 Read 1\nTotal 31\n";
        assert_eq!(v1_block(v1), (11, 20));
        let v2 = "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=1 wbytes=0\n";
        assert_eq!(v2_block(v2), (11, 20));
    }

    #[test]
    fn a_key_is_matched_whole() {
        assert_eq!(
            keyed("total_inactive_file 7\ninactive_file 5\n", "inactive_file"),
            5
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,80}\n?.{0,80}") {
            let _ = (limit(&text), number(&text), keyed(&text, "a"), v1_block(&text), v2_block(&text));
        }
    }
}
