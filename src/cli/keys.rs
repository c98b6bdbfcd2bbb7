//! The key sequence that leaves an attached container running: `--detach-keys`.

/// Docker's default.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// Looks for the sequence in what is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were typed just now; they are held back.
    held: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q` or `a,b` (moby/term, `ToBytes`); the default if empty.
    ///
    /// # Errors
    /// Which part is no key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = if text.is_empty() { DEFAULT } else { text };
        let keys = text
            .split(',')
            .map(|name| {
                key(name).ok_or_else(|| {
                    format!("invalid detach keys ({text}): Unknown character: '{name}'")
                })
            })
            .collect::<Result<Vec<u8>, String>>()?;
        Ok(Self { keys, held: 0 })
    }

    /// What of the typed bytes goes to the process, and whether the sequence is complete; what comes after it is lost.
    pub fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(typed.len() + self.held);
        for &byte in typed {
            if self.keys.get(self.held) == Some(&byte) {
                self.held += 1;
                if self.held == self.keys.len() {
                    self.held = 0;
                    return (through, true);
                }
                continue;
            }
            // It was not meant: what was held back goes on, and this byte may be a new beginning.
            through.extend_from_slice(self.keys.get(..self.held).unwrap_or_default());
            self.held = usize::from(self.keys.first() == Some(&byte) && self.keys.len() > 1);
            if self.held == 0 {
                through.push(byte);
            }
        }
        (through, false)
    }
}

fn key(name: &str) -> Option<u8> {
    if let [byte] = name.as_bytes() {
        return Some(*byte);
    }
    if name == "DEL" {
        return Some(127);
    }
    match name.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        b"@" => Some(0),
        [symbol @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Some(symbol - b'@'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(text: &str) -> DetachKeys {
        DetachKeys::parse(text).unwrap()
    }

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        assert_eq!(keys("").keys, [16, 17]);
        assert_eq!(keys("ctrl-a,d").keys, [1, b'd']);
        assert_eq!(
            keys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL").keys,
            [0, 27, 28, 29, 30, 31, 127]
        );
        for bad in ["x,", "ctrl-A", "ctrl-", "ab"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            DetachKeys::parse("ctrl-p,xx").unwrap_err(),
            "invalid detach keys (ctrl-p,xx): Unknown character: 'xx'"
        );
    }

    #[test]
    fn the_sequence_is_found_across_reads_and_is_not_passed_on() {
        let mut keys = keys("");
        assert_eq!(keys.pass(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.pass(b"\x11c"), (vec![], true));
    }

    #[test]
    fn a_half_typed_sequence_reaches_the_process_after_all() {
        let mut keys = keys("");
        assert_eq!(keys.pass(b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(keys.pass(b"\x10\x10\x11"), (b"\x10".to_vec(), true));
    }

    proptest! {
        #[test]
        fn without_the_sequence_nothing_is_lost(typed in prop::collection::vec(any::<u8>(), 0..40), cut in 0_usize..40) {
            prop_assume!(!typed.windows(2).any(|pair| pair == [16, 17]));
            let mut keys = keys("");
            let (left, right) = typed.split_at(cut.min(typed.len()));
            let (mut through, _) = keys.pass(left);
            through.extend(keys.pass(right).0);
            through.extend(&keys.keys[..keys.held]);
            prop_assert_eq!(through, typed);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,20}") {
            let _ = DetachKeys::parse(&text);
        }
    }
}
