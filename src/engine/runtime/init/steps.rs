//! The lists of steps, in order.

use super::Step;
use super::attributes::{
    change_directory, change_directory_again, die_with_parent, drop_rights, find_user, new_session,
    set_labels, set_limits, set_oom_score, set_schedule,
};
use super::files::{
    copy_sources, make_devices, make_mounts, make_other_mounts, make_paths_readonly,
    make_root_readonly, make_working_dir, mask_paths, mount_root, open_root, pivot,
    set_kernel_parameters,
};
use super::gate::{await_hooks, await_start};
use super::hooks::{create_container, start_container};
use super::keyring::join_keyring;
use super::namespaces::{
    await_cgroups, bring_up_loopback, enter_cgroup_namespace, enter_namespaces,
    join_given_namespaces, make_mounts_private, set_names,
};
use super::program::{
    find_command, install_asking_filter, install_filter, install_filter_over_hooks, make_filter,
};
use super::streams::{close_inherited, open_terminal, set_streams};

/// A container's first process.
pub(in crate::engine::runtime) const LAUNCH: &[Step] = &[
    ("descriptors", close_inherited),
    ("parent", die_with_parent),
    ("session", new_session),
    ("oom score", set_oom_score),
    ("keyring", join_keyring),
    // Sources are copied while they still are what they are on the host: shared mounts keep their peers.
    ("bind sources", copy_sources),
    ("namespaces", join_given_namespaces),
    ("private mounts", make_mounts_private),
    ("host name", set_names),
    ("loopback", bring_up_loopback),
    ("root file system", mount_root),
    // On v1 the parent puts us into our cgroups meanwhile, and for that the kernel lets it wait.
    ("mounts", make_mounts),
    // Before /sys/fs/cgroup is mounted, after the parent put us into our cgroups: a cgroup namespace's root is the group
    // that its maker is in (cgroup_namespaces(7)).
    ("cgroups", await_cgroups),
    ("cgroup namespace", enter_cgroup_namespace),
    ("mounts", make_other_mounts),
    ("devices", make_devices),
    ("terminal", open_terminal),
    ("kernel parameters", set_kernel_parameters),
    ("read-only paths", make_paths_readonly),
    ("masked paths", mask_paths),
    ("user", find_user),
    ("working directory", make_working_dir),
    ("host's hooks", await_hooks),
    ("createContainer hooks", create_container),
    // As with runc not before the hooks, which write to the root (a cache of ld.so, links to drivers).
    ("read-only root", make_root_readonly),
    // Afterwards nothing of the host is in reach.
    ("pivot root", pivot),
    ("standard streams", set_streams),
    ("schedule", set_schedule),
    ("limits", set_limits),
    ("directory", change_directory),
    ("filter", make_filter),
    ("labels", set_labels),
    ("rights", drop_rights),
    ("directory", change_directory_again),
    ("command", find_command),
    // Again, because a change of user clears it (prctl(2), PR_SET_PDEATHSIG).
    ("parent", die_with_parent),
    ("seccomp listener", install_asking_filter),
    ("gate", await_start),
    // As with runc they are under the filter, as the program is.
    ("seccomp before hooks", install_filter_over_hooks),
    ("startContainer hooks", start_container),
    ("seccomp", install_filter),
];

/// A further process of a running container.
pub(in crate::engine::runtime) const JOIN: &[Step] = &[
    ("descriptors", close_inherited),
    ("parent", die_with_parent),
    ("session", new_session),
    ("oom score", set_oom_score),
    ("cgroups", await_cgroups),
    ("namespaces", enter_namespaces),
    ("keyring", join_keyring),
    ("root file system", open_root),
    ("terminal", open_terminal),
    ("user", find_user),
    ("standard streams", set_streams),
    ("schedule", set_schedule),
    ("limits", set_limits),
    ("directory", change_directory),
    ("filter", make_filter),
    ("labels", set_labels),
    ("rights", drop_rights),
    ("directory", change_directory_again),
    ("command", find_command),
    ("parent", die_with_parent),
    ("seccomp listener", install_asking_filter),
    ("gate", await_start),
    ("seccomp", install_filter),
];
