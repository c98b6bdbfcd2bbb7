//! Compiles the default filter of system calls for the target's architecture, so that a start has nothing to compile.
//!
//! The compiler is the library's own; see `src/engine/runtime/seccomp/mod.rs`.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

#[path = "src/engine/runtime/seccomp/plan.rs"]
#[expect(
    dead_code,
    reason = "the library has more comparisons than the default profile"
)]
mod plan;
#[path = "src/engine/runtime/seccomp/profile.rs"]
mod profile;
#[path = "src/engine/runtime/seccomp/program.rs"]
mod program;
#[path = "src/engine/runtime/seccomp/table.rs"]
mod table;

/// Sets of capabilities that filters are made for: Docker's default (one of them makes a difference), and none.
const SETS: [&[&str]; 2] = [&["CAP_SYS_CHROOT"], &[]];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=assets/seccomp.json");
    println!("cargo::rerun-if-changed=assets/syscalls.tsv");
    println!("cargo::rerun-if-changed=src/engine/runtime/seccomp");
    let target = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it for build scripts");
    let Some(native) = table::Arch::native(&target) else {
        println!("cargo::error=no table of system calls for {target}: x86_64 and aarch64 have one");
        return;
    };
    let profile = match profile::Profile::built_in() {
        Ok(profile) => profile,
        Err(error) => {
            println!("cargo::error=assets/seccomp.json: {error}");
            return;
        }
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    fs::write(out.join("seccomp.rs"), generate(&profile, native)).expect("OUT_DIR is writable");
}

fn generate(profile: &profile::Profile, native: table::Arch) -> String {
    let (names, rows) = table::read();
    let table = table::Table {
        names: &names,
        rows: &rows,
    };
    let deciding = profile.deciding().join(" ");
    let mut text =
        format!("const NATIVE: Arch = Arch::{native:?};\nconst DECIDING: &str = {deciding:?};\n");
    text += "static READY: &[(&str, &[Instruction])] = &[\n";
    for caps in SETS {
        let plan = profile.plan(table, native, caps);
        let program = program::assemble(&plan).expect("the profile makes a short program");
        let _ = writeln!(text, "({:?}, &[", caps.join(" "));
        for program::Op { code, jt, jf, k } in program {
            let k = literal(k);
            let _ = writeln!(
                text,
                "Instruction {{ code: {code:#x}, jt: {jt}, jf: {jf}, k: {k} }},"
            );
        }
        text += "]),\n";
    }
    text += "];\n";
    let _ = writeln!(
        text,
        "const TABLE: Table<'static> = Table {{ names: NAMES, rows: ROWS }};\nconst NAMES: &str = {names:?};\n\
         static ROWS: &[Row] = &["
    );
    for table::Row {
        at,
        length,
        numbers,
    } in &rows
    {
        let _ = writeln!(
            text,
            "Row {{ at: 0x{at:x}, length: {length}, numbers: Numbers([{}]) }},",
            numbers.0.map(literal).join(", ")
        );
    }
    text + "];\n"
}

fn literal(number: u32) -> String {
    format!("0x{:04x}_{:04x}", number >> 16, number & 0xffff)
}
