//! Where there is no terminal to draw on, there is a plain word instead of a screen.

use crate::support::privileged;

#[test]
fn without_a_terminal_there_is_a_hint_and_exit_code_2() {
    let Some(host) = privileged() else { return };
    let output = host.wharf::<&str>([]);
    assert_eq!(output.code, 2, "{output:#?}");
    assert!(output.stdout.is_empty(), "{output:#?}");
    assert!(output.stderr.contains("terminal"), "{output:#?}");
    assert!(!output.stderr.contains('\x1b'), "{output:#?}");
}
