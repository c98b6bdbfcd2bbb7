# The front door. Each recipe is a line or two; continuous integration calls the same commands.

# What there is.
default:
    @just --list

# Format, lints and all tests: what has to hold before a change lands.
test:
    scripts/test

# Fast: does it compile, without warnings?
check:
    cargo clippy --locked --all-targets -- --deny warnings

# The privileged tests alone (needs root), with an optional part of a name.
priv name="":
    cargo test --locked --test engine --test e2e -- {{name}}

# Eight processes do what comes to their minds for so many seconds, and are killed at it (needs root).
soak seconds="600":
    WHARF_SOAK_SECONDS={{seconds}} cargo test --locked --test engine soak:: -- --nocapture

# In a virtual machine: Debian 12's kernel, cgroup v2 alone, AppArmor. Needs qemu and Debian's package archive.
vm-test *names:
    scripts/vm-test {{names}}

# In a virtual machine with systemd: its groups, reboots. Needs root, qemu and Debian's package archive.
vm-test-systemd:
    scripts/vm-test-systemd

# In a virtual machine with SELinux: contexts, what is denied. Needs qemu and Debian's package archive.
vm-test-selinux:
    scripts/vm-test-selinux

# Look at changed snapshots.
snap:
    cargo insta review

# Rewrite what is generated from the code.
docs:
    WHARF_UPDATE=1 cargo test --locked --test tidy

# Manual pages, one for each verb: man -l target/man/wharf-run.1
man dir="target/man":
    cargo run --locked --quiet -- system man {{dir}}

# Benchmarks (needs root), with an optional name.
bench name="":
    cargo bench --locked {{ if name == "" { "--bench run --bench verbs --bench net --bench oci --bench start --bench memory --bench tui --bench layers --bench images" } else { "--bench " + name } }}

# The README's pictures, drawn from the real program (needs root).
picture:
    cargo bench --locked --bench picture

# Fuzz one target (needs nightly and cargo-fuzz).
fuzz target:
    cargo +nightly fuzz run {{target}}

# The workstation with the demo's containers (needs root).
demo:
    cargo run --release -- demo
