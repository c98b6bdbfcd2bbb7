//! Dialogs about one container: its limits, its name, an image or an archive of it, files in and out.

use super::{Ask, Form, Input, Kind, Problem, absolute};
use crate::app::jobs::Request;
use crate::app::{Settings, words};
use crate::engine::model::container::RestartPolicy;
use crate::engine::model::{Container, ContainerId, Reference, Resources, request};

/// One limit: its field, its flag, its value as the flag takes it, and what an empty field says.
type Limit = (
    &'static str,
    &'static str,
    fn(&Resources) -> Option<String>,
    &'static str,
);

const LIMITS: &[Limit] = &[
    (
        "memory",
        "--memory",
        |r| r.memory.map(size),
        "no limit; 64m, 2g …",
    ),
    (
        "memory and swap",
        "--memory-swap",
        |r| {
            let swap = r.memory_swap?;
            Some(u64::try_from(swap).map_or("-1".to_owned(), size))
        },
        "twice the memory; -1 is without limit",
    ),
    (
        "soft memory",
        "--memory-reservation",
        |r| r.memory_reservation.map(size),
        "none",
    ),
    (
        "cpus",
        "--cpus",
        |r| r.nano_cpus.map(cpus),
        "no limit; 0.5, 2 …",
    ),
    (
        "cpu weight",
        "--cpu-shares",
        |r| r.cpu_shares.map(|n| n.to_string()),
        "1024",
    ),
    (
        "which cpus",
        "--cpuset-cpus",
        |r| r.cpuset_cpus.clone(),
        "all; 0-2,4 …",
    ),
    (
        "memory nodes",
        "--cpuset-mems",
        |r| r.cpuset_mems.clone(),
        "all; 0,1 …",
    ),
    (
        "tasks",
        PIDS,
        |r| r.pids_limit.map(|n| n.to_string()),
        "no limit",
    ),
    (
        "block I/O weight",
        "--blkio-weight",
        |r| r.blkio_weight.map(|n| n.to_string()),
        "the usual one; 10 to 1000",
    ),
];

/// The one limit that can be taken away.
const PIDS: &str = "--pids-limit";
const RESTART: &str = "restart";

/// Bytes as flags take them, exact and short.
fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "g"), (20, "m"), (10, "k")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Billionths of a CPU as a number of CPUs.
fn cpus(billionths: u64) -> String {
    let fraction = format!("{:09}", billionths % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    let whole = billionths / 1_000_000_000;
    if fraction.is_empty() {
        whole.to_string()
    } else {
        format!("{whole}.{fraction}")
    }
}

fn policy(restart: RestartPolicy) -> String {
    match restart {
        RestartPolicy::OnFailure { max } if max > 0 => format!("on-failure:{max}"),
        other => other.as_str().to_owned(),
    }
}

impl Form {
    /// Asks for other limits and another restart policy, of one container or of several: what is not the same in all of them is
    /// left empty, and stays as it is while it is.
    #[must_use]
    pub fn limits(containers: &[&Container]) -> Self {
        let same = |value: &dyn Fn(&Container) -> String| {
            let mut values = containers.iter().map(|container| value(container));
            let first = values.next().unwrap_or_default();
            values.all(|value| value == first).then_some(first)
        };
        let field = |label, kind, value: Option<String>, empty: Option<&'static str>| {
            let input = Input::new(label, kind, value.as_deref().unwrap_or_default());
            match (value, empty) {
                (None, _) => input.or("not the same in all; stays as it is"),
                (Some(_), Some(empty)) => input.or(empty),
                (Some(_), None) => input,
            }
        };
        let mut inputs: Vec<_> = LIMITS
            .iter()
            .map(|(label, _, value, empty)| {
                let value = same(&|c| value(&c.host.resources).unwrap_or_default());
                field(label, Kind::Text, value, Some(empty))
            })
            .collect();
        let policies = ["no", "on-failure", "unless-stopped", "always"];
        let policies = Kind::Choice(policies.map(str::to_owned).to_vec());
        let value = same(&|c| policy(c.host.restart));
        inputs.push(field(RESTART, policies, value, None));
        let before = inputs.iter().map(|i| i.field.text().to_owned()).collect();
        Self::new(
            Ask::Limits {
                containers: containers
                    .iter()
                    .map(|c| (c.id.clone(), c.name.clone()))
                    .collect(),
                before,
            },
            inputs,
        )
    }

    /// The words of the command, `update` first: what was changed.
    ///
    /// # Errors
    /// Nothing was changed, or what cannot be taken away was.
    pub(super) fn limit_words(
        &self,
        containers: &[(ContainerId, String)],
        before: &[String],
    ) -> Result<Vec<String>, Problem> {
        let mut line = vec!["update".to_owned()];
        for (at, was) in before.iter().enumerate() {
            let now = self.text(at);
            if now == was {
                continue;
            }
            let flag = LIMITS.get(at).map_or("--restart", |limit| limit.1);
            let value = match (now, flag) {
                ("", PIDS) => "-1",
                ("", _) => {
                    let label = self.inputs.get(at).map_or("", |input| input.label);
                    let text = format!("{label}: a limit can be changed, not taken away");
                    return Err(Problem {
                        input: at,
                        text,
                        missing: false,
                    });
                }
                (value, _) => value,
            };
            line.extend([flag.to_owned(), value.to_owned()]);
        }
        if line.len() == 1 {
            return Err(Problem {
                input: self.at,
                text: "nothing is changed yet".to_owned(),
                missing: true,
            });
        }
        line.extend(containers.iter().map(|(_, name)| name.clone()));
        Ok(line)
    }

    /// Asks for another name.
    #[must_use]
    pub fn rename(id: ContainerId, name: &str) -> Self {
        let inputs = vec![Input::new("name", Kind::Text, name)];
        let name = name.to_owned();
        Self::new(Ask::Rename { id, name }, inputs)
    }

    /// Asks how to make an image of a container.
    #[must_use]
    pub fn commit(id: ContainerId, name: &str, images: Vec<String>) -> Self {
        let inputs = vec![
            Input::new("image", Kind::Reference(images), "").or("without a name"),
            Input::new("author", Kind::Text, "").or("nobody"),
            Input::new("message", Kind::Text, "").or("none"),
            Input::new("changes", Kind::Words, "").or("'CMD [\"serve\"]' 'ENV A=b' …"),
            Input::new("pause it meanwhile", Kind::Switch(&["yes", "no"]), "yes"),
        ];
        let name = name.to_owned();
        Self::new(Ask::Commit { id, name }, inputs)
    }

    pub(super) fn commit_request(
        &self,
        id: &ContainerId,
        name: &str,
    ) -> Result<(Request, String), Problem> {
        let reference = Some(self.text(0))
            .filter(|text| !text.is_empty())
            .map(str::parse::<Reference>)
            .transpose()
            .map_err(|error| self.wrong_in(0, error.to_string()))?;
        let changes = words::split(self.text(3));
        let request = request::Commit {
            reference,
            author: self.text(1).to_owned(),
            message: self.text(2).to_owned(),
            changes: changes.map_err(|error| self.wrong_in(3, error.to_string()))?,
            pause: self.text(4) == "yes",
        };
        Ok((Request::Commit(id.clone(), request), name.to_owned()))
    }

    /// Asks where to write a container's files to.
    #[must_use]
    pub fn export(id: ContainerId, name: &str) -> Self {
        let inputs = vec![Input::new("file", Kind::Path, &format!("{name}.tar"))];
        let name = name.to_owned();
        Self::new(Ask::Export { id, name }, inputs)
    }

    /// Asks where to write the files of several containers to.
    #[must_use]
    pub fn export_all(containers: Vec<(ContainerId, String)>) -> Self {
        let inputs = vec![Input::new("directory", Kind::Path, "./")];
        Self::new(Ask::ExportAll(containers), inputs)
    }

    /// Asks what to copy out of a container, or into it.
    #[must_use]
    pub fn copy(id: ContainerId, name: &str) -> Self {
        let inputs = vec![
            Input::new("which way", Kind::Switch(&[OUT, IN]), OUT),
            Input::new("in the container", Kind::Text, ""),
            Input::new("here", Kind::Path, ""),
            Input::new("owners", Kind::Switch(&["as usual", "kept"]), "as usual"),
            Input::new("follow a link", Kind::Switch(&["no", "yes"]), "no"),
        ];
        let name = name.to_owned();
        Self::new(Ask::Copy { id, name }, inputs)
    }

    pub(super) fn copy_request(
        &self,
        id: &ContainerId,
        name: &str,
        settings: &Settings,
    ) -> Result<(Request, String), Problem> {
        let here = absolute(self.text(2), settings);
        let text = || "give a path that begins with /".to_owned();
        let mut here = here
            .ok_or_else(|| self.wrong_in(2, text()))?
            .display()
            .to_string();
        // A slash at the end says that it is a directory.
        if self.text(2).ends_with('/') && !here.ends_with('/') {
            here.push('/');
        }
        let there = format!("{name}:{}", self.text(1));
        let mut line = vec!["cp".to_owned()];
        if self.text(3) == "kept" {
            line.push("-a".to_owned());
        }
        if self.text(4) == "yes" {
            line.push("-L".to_owned());
        }
        if self.text(0) == OUT {
            line.extend([there, here]);
        } else {
            line.extend([here, there]);
        }
        Ok((Request::Copy(id.clone(), line), name.to_owned()))
    }
}

const OUT: &str = "out of the container";
const IN: &str = "into the container";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_is_reads_back_as_what_it_was() {
        for (bytes, text) in [
            (64 << 20, "64m"),
            (3 << 30, "3g"),
            (6_291_456, "6m"),
            (1536 << 10, "1536k"),
            (1001, "1001"),
            (0, "0"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (billionths, text) in [
            (1_500_000_000, "1.5"),
            (2_000_000_000, "2"),
            (10_000_000, "0.01"),
        ] {
            assert_eq!(cpus(billionths), text);
        }
        assert_eq!(policy(RestartPolicy::OnFailure { max: 3 }), "on-failure:3");
        assert_eq!(policy(RestartPolicy::OnFailure { max: 0 }), "on-failure");
    }
}
