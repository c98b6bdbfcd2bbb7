//! Wrong command lines: Docker 28's text and exit code, in wharf's name.

use super::wharf;

/// The whole of standard error and the exit code; nothing on standard output.
#[track_caller]
fn refused(arguments: &[&str], code: i32, stderr: &str) {
    let ran = wharf(arguments);
    assert_eq!(ran.stderr, stderr, "{arguments:?}");
    assert_eq!(ran.code, code, "{arguments:?}");
    assert_eq!(ran.stdout, "", "{arguments:?}");
}

/// What follows a wrong flag.
fn usage(verb: &str, operands: &str) -> String {
    format!(
        "\n\nUsage:  wharf {verb} {operands}\n\nRun 'wharf {verb} --help' for more information\n"
    )
}

#[test]
fn a_wrong_flag_is_named_and_ends_with_125() {
    let run = usage("run", "[OPTIONS] IMAGE [COMMAND] [ARG...]");
    for (arguments, text) in [
        (&["run", "--nosuch"][..], "unknown flag: --nosuch"),
        (&["run", "--nosuch=1", "b"], "unknown flag: --nosuch"),
        (&["run", "-itz", "b"], "unknown shorthand flag: 'z' in -z"),
        (&["run", "--name"], "flag needs an argument: --name"),
        (&["run", "-e"], "flag needs an argument: 'e' in -e"),
        (
            &["run", "--rm=foo", "b"],
            "invalid argument \"foo\" for \"--rm\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
        ),
        (
            &["run", "--memory", "x", "b"],
            "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'",
        ),
        (
            &["run", "--cpus", "x", "b"],
            "invalid argument \"x\" for \"--cpus\" flag: failed to parse x as a rational number",
        ),
        (
            &["run", "-a", "foo", "b"],
            "invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
        ),
        (
            &["run", "-e", "=x", "b"],
            "invalid argument \"=x\" for \"-e, --env\" flag: invalid environment variable: =x",
        ),
        (
            &["run", "--add-host", "x", "b"],
            "invalid argument \"x\" for \"--add-host\" flag: bad format for add-host: \"x\"",
        ),
        (
            &["run", "--mount", "foo", "b"],
            "invalid argument \"foo\" for \"--mount\" flag: invalid field 'foo' must be a key=value pair",
        ),
    ] {
        refused(arguments, 125, &format!("{text}{run}"));
    }
    refused(
        &["ps", "-nx"],
        125,
        &format!(
            "invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax{}",
            usage("ps", "[OPTIONS]")
        ),
    );
    refused(
        &["container", "ls", "-f", "foo"],
        125,
        &format!(
            "invalid argument \"foo\" for \"-f, --filter\" flag: bad format of filter (expected name=value){}",
            usage("container ls", "[OPTIONS]")
        ),
    );
}

#[test]
fn a_wrong_number_of_operands_ends_with_1() {
    refused(
        &["ps", "x"],
        1,
        "wharf: 'wharf ps' accepts no arguments\n\nUsage:  wharf ps [OPTIONS]\n\nRun 'wharf ps --help' for more information\n",
    );
    refused(
        &["run"],
        1,
        "wharf: 'wharf run' requires at least 1 argument\n\nUsage:  wharf run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nSee 'wharf run --help' for more information\n",
    );
    refused(
        &["tag", "a"],
        1,
        "wharf: 'wharf tag' requires 2 arguments\n\nUsage:  wharf tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]\n\nRun 'wharf tag --help' for more information\n",
    );
}

#[test]
fn an_unknown_verb_ends_with_1() {
    refused(
        &["nosuchverb"],
        1,
        "wharf: unknown command: wharf nosuchverb\n\nRun 'wharf --help' for more information\n",
    );
    refused(
        &["container", "nosuch"],
        1,
        "wharf: unknown command: wharf container nosuch\n\nUsage:  wharf container\n\nRun 'wharf container --help' for more information\n",
    );
}

#[test]
fn what_docker_has_and_wharf_has_not_yet_is_said_in_one_line() {
    for (arguments, name) in [
        (&["swarm", "init"][..], "swarm"),
        (&["image", "build", "."], "image build"),
        (&["compose", "up", "-d"], "compose"),
    ] {
        refused(
            arguments,
            1,
            &format!("wharf: '{name}' is not available yet; 'wharf --help' lists what is\n"),
        );
    }
    for (arguments, complaint) in [
        (
            &["run", "--use-api-socket", "busybox"][..],
            "--use-api-socket has nothing to give: there is no API socket",
        ),
        (
            &["create", "--cpu-count", "2", "busybox"],
            "--cpu-count is for Windows containers only",
        ),
        (
            &["volume", "ls", "--cluster"],
            "--cluster is not supported yet",
        ),
    ] {
        refused(arguments, 125, &format!("wharf: {complaint}\n"));
    }
    refused(
        &["-H", "tcp://x", "ps"],
        125,
        "wharf: --host is about a daemon, and there is none\n",
    );
}

#[test]
fn without_a_verb_and_without_a_terminal_there_is_a_hint_and_exit_code_2() {
    let ran = wharf(&[]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn help_is_printed_for_the_program_for_groups_and_for_verbs() {
    for arguments in [
        &["--help"][..],
        &["help"],
        &["image", "--help"],
        &["run", "--help"],
        &["rm", "-h"],
        &["help", "rm"],
    ] {
        let ran = wharf(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(ran.stdout.starts_with("Usage:  wharf"), "{arguments:?}");
    }
    // What was not asked for is said beside the output, as by Docker.
    let ran = wharf(&["container"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.starts_with("Usage:  wharf container COMMAND"));
    assert_eq!(
        wharf(&["rm", "--help"]).stdout,
        "Usage:  wharf rm [OPTIONS] CONTAINER [CONTAINER...]\n\n\
         Remove one or more containers\n\n\
         Aliases:\n  wharf container rm, wharf container remove, wharf rm\n\n\
         Options:\n\
         \x20 -f, --force     Force the removal of a running container (uses SIGKILL)\n\
         \x20 -l, --link      Remove the specified link\n\
         \x20 -v, --volumes   Remove anonymous volumes associated with the container\n"
    );
}

#[test]
fn every_shell_gets_its_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = wharf(&["completion", shell]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        let asks = ran.stdout.contains("__complete");
        assert!(asks || ran.stdout.contains("container"), "{shell}");
    }
    assert_eq!(wharf(&["completion", "nosuch"]).code, 1);
}

/// What bash offers at the end of this line, with the script that it was given.
fn completed_by_bash(line: &str) -> Vec<String> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_wharf"));
    let dir = program.parent().unwrap().to_str().unwrap();
    let asked = format!(
        "PATH={dir}:$PATH; eval \"$(wharf completion bash)\"; COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; _wharf; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", &asked])
        .env("WHARF_ROOT", "/nonexistent/root")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_flags_and_values() {
    assert_eq!(completed_by_bash("wharf unp"), ["unpause"]);
    assert_eq!(completed_by_bash("wharf volume pr"), ["prune"]);
    assert_eq!(completed_by_bash("wharf run --volumes"), ["--volumes-from"]);
    assert_eq!(
        completed_by_bash("wharf container run --restart un"),
        ["unless-stopped"]
    );
    assert_eq!(completed_by_bash("wharf completion f"), ["fish"]);
}

/// What a shell with its own line editor or its own command for it offers at the end of each line; `None` where it is not.
fn completed_by(shell: &str, args: &[&str], lines: &[&str]) -> Option<String> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_wharf"));
    let dir = program.parent().unwrap().to_str().unwrap();
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(shell)
        .args(args)
        .args(lines)
        .env("PATH", format!("{dir}:{}", std::env::var("PATH").unwrap()))
        .env("HOME", home.path())
        .env("WHARF_ROOT", "/nonexistent/root")
        .stdin(std::process::Stdio::null())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{shell}");
            None
        }
    }
}

/// A zsh at a terminal of zpty's: each line is typed, completed by the tabulator, and printed instead of run.
const TYPED_IN_ZSH: &str = r#"
zmodload zsh/zpty
zpty z 'zsh -f -i'
zpty -w z 'PS1=; autoload -Uz compinit; compinit -u -D; eval "$(wharf completion zsh)"; bindkey "^I" complete-word; print -r -- "<""ready>"'
shown() {
    local out
    while zpty -r z out; do
        out=${out//[$'\r\n']/}
        [[ $out == '<'*'>' ]] && { print -r -- "${${out#<}%>}"; return }
    done
}
shown >/dev/null
for line in "$@"; do
    zpty -w -n z $'\C-u'"$line"$'\t\C-a'"print -r -- '<"$'\C-e'">'"$'\n'
    shown
done
zpty -d z
"#;

#[test]
fn zsh_completes_at_a_terminal_where_it_is() {
    let lines = [
        "wharf unp",
        "wharf volume pr",
        "wharf run --volumes",
        "wharf run --restart unl",
    ];
    let Some(shown) = completed_by("zsh", &["-f", "-c", TYPED_IN_ZSH, "zsh"], &lines) else {
        return;
    };
    let expect = "wharf unpause\nwharf volume prune\nwharf run --volumes-from\nwharf run --restart unless-stopped\n";
    assert_eq!(shown, expect);
}

#[test]
fn fish_completes_with_descriptions_where_it_is() {
    for (line, expect) in [
        (
            "wharf unp",
            "unpause\tUnpause all processes within one or more containers\n",
        ),
        ("wharf volume pr", "prune\tRemove unused local volumes\n"),
        ("wharf run --restart unl", "unless-stopped\n"),
    ] {
        let asked = "wharf completion fish | source; complete -C $argv[1]";
        let Some(shown) = completed_by("fish", &["--no-config", "-c", asked], &[line]) else {
            return;
        };
        assert_eq!(shown, expect, "{line}");
    }
}

#[test]
fn the_scripts_of_other_shells_are_read_by_them_where_they_are() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let file = format!(
            "{}/assets/completion/wharf.{shell}",
            env!("CARGO_MANIFEST_DIR")
        );
        match std::process::Command::new(shell)
            .args([check, &file])
            .output()
        {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{shell}"),
        }
    }
}

#[test]
fn manual_pages_are_read_by_man_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let ran = wharf(&["system", "man", pages.to_str().unwrap()]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, "", "")
    );
    for (page, part) in [
        ("wharf.1", "wharf-run(1)"),
        ("wharf-run.1", "--volumes-from"),
        ("wharf-container-run.1", "--volumes-from"),
        ("wharf-volume.1", "wharf-volume-prune(1)"),
        ("wharf-system-df.1", "wharf system df [OPTIONS]"),
        ("wharf-oci.1", "delete"),
    ] {
        let read = std::process::Command::new("man")
            .args(["--warnings", "-P", "cat", "-l"])
            .arg(pages.join(page))
            .current_dir(dir.path())
            .envs([("MANWIDTH", "120"), ("MANROFFOPT", "-c"), ("LC_ALL", "C")])
            .output();
        match read {
            Ok(output) => {
                // Bold letters are struck twice where a terminal is old.
                let text = String::from_utf8_lossy(&output.stdout).replace('\u{2010}', "-");
                assert!(
                    output.status.success() && text.contains(part),
                    "{page}: {text}"
                );
                assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{page}"),
        }
    }
}
