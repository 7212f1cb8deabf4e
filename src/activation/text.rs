//! The texts of the scripts: the client's words, quoted, and then files of `scripts/`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::password::Password;
use super::session::Text;
use super::{Change, ProfileChange};
use crate::failure::Failure;
use crate::remote::script::Script;
use crate::vocabulary::{Elevation, Rights};

const EVENTS: &str = include_str!("../remote/scripts/events.sh");
const RECORDS: &str = include_str!("../remote/scripts/records.sh");
const HELD: &str = include_str!("../remote/scripts/held.sh");
const NIX: &str = include_str!("../remote/scripts/nix.sh");
const COMMON: &str = include_str!("scripts/common.sh");
const ELEVATE: &str = include_str!("scripts/elevate.sh");
const GENERATIONS: &str = include_str!("scripts/generations.sh");
const BACK: &str = include_str!("scripts/back.sh");
const CONFIRM: &str = include_str!("scripts/confirm.sh");

/// How this user becomes root.
pub(super) struct Elevating<'a> {
    pub(super) rights: Rights,
    /// The words of `NIX_SUDOOPTS`.
    pub(super) sudo_options: &'a [String],
    pub(super) password: Option<&'a Password>,
    /// Whether the target is this machine and a person can be asked on its terminal.
    pub(super) has_terminal: bool,
}

/// What root is asked to do (`scripts/root.sh`).
pub(super) enum RootTask<'a> {
    /// Say how the last change ended.
    Tell,
    /// Make a change with this name.
    Change(&'a str, &'a Change<'a>),
    /// Follow the change of this name, from this byte of its output on.
    Follow(&'a str, u64),
    /// Make the change of this name stay, which waits for that.
    Confirm(&'a str),
}

/// Returns the script of the first look.
pub(super) fn look() -> Text {
    let mut script = Script::default();
    for part in [EVENTS, COMMON, NIX, include_str!("scripts/look.sh")] {
        script.code(part);
    }
    Text {
        script: script.into_bytes(),
        input: Vec::new(),
        after_go: Vec::new(),
        may_ask: false,
    }
}

/// What is inspected: `system` or `profile`; the other one is empty.
pub(super) struct Inspected<'a> {
    pub(super) system: &'a str,
    pub(super) profile: &'a Path,
    pub(super) specialisation: &'a str,
    pub(super) diff: bool,
    pub(super) next_boot: bool,
    /// Whether a path that is no NixOS system is accepted as one.
    pub(super) careless: bool,
}

/// Returns the script that inspects a system.
pub(super) fn inspection(of: &Inspected) -> Result<Text, Failure> {
    let mut script = Script::default();
    script.set("rb_system", of.system)?;
    script.set("rb_profile", of.profile)?;
    script.set("rb_specialisation", of.specialisation)?;
    script.set_yes("rb_diff", of.diff)?;
    script.set_yes("rb_next_boot", of.next_boot)?;
    script.set_yes("rb_careless", of.careless)?;
    for part in [EVENTS, COMMON, NIX, GENERATIONS, include_str!("scripts/inspect.sh")] {
        script.code(part);
    }
    Ok(Text {
        script: script.into_bytes(),
        input: Vec::new(),
        after_go: Vec::new(),
        may_ask: false,
    })
}

impl Elevating<'_> {
    /// Returns the script for a task of root's. If there is a password, the script first checks, each time, that it is
    /// accepted: after hours it may not be any more, and sudo would then wait for another one.
    pub(super) fn task(&self, task: &RootTask, systemd_run: bool) -> Result<Text, Failure> {
        let root = root(task, systemd_run)?;
        let mut script = self.begin()?;
        let (system, install) = match task {
            RootTask::Change(_, change) => (
                change.system.as_str(),
                change.activation.as_ref().is_some_and(|it| it.install_bootloader),
            ),
            RootTask::Tell | RootTask::Follow(..) | RootTask::Confirm(_) => ("/run/current-system", false),
        };
        script.set("rb_system", system)?;
        script.set("rb_install_bootloader", if install { "1" } else { "0" })?;
        script.set_yes("rb_check", self.password.is_some())?;
        script.set("rb_root_size", root.len().to_string())?;
        for part in [EVENTS, ELEVATE, include_str!("scripts/as-root.sh")] {
            script.code(part);
        }
        Ok(Text {
            script: script.into_bytes(),
            input: self.input(),
            after_go: root,
            may_ask: self.may_ask(),
        })
    }

    /// Returns the script that becomes a Nix daemon.
    pub(super) fn daemon(&self) -> Result<Text, Failure> {
        let mut script = self.begin()?;
        script.set("rb_system", "/run/current-system")?;
        script.set("rb_install_bootloader", "0")?;
        for part in [EVENTS, COMMON, NIX, ELEVATE, include_str!("scripts/daemon.sh")] {
            script.code(part);
        }
        Ok(Text {
            script: script.into_bytes(),
            input: if self.rights.elevation == Elevation::None {
                Vec::new()
            } else {
                self.input()
            },
            after_go: Vec::new(),
            may_ask: self.may_ask(),
        })
    }

    /// Whether a person may be asked for the password on this machine's terminal.
    fn may_ask(&self) -> bool {
        self.has_terminal && self.password.is_none() && self.rights.elevation != Elevation::None
    }

    fn begin(&self) -> Result<Script, Failure> {
        let mut script = Script::default();
        script.set("rb_elevation", self.rights.elevation.program())?;
        script.set_yes("rb_password", self.password.is_some())?;
        script.set_yes("rb_terminal", self.has_terminal)?;
        let mut sudo = vec!["sudo".to_owned()];
        if self.password.is_some() {
            sudo.extend(["--prompt=".to_owned(), "--stdin".to_owned()]);
        }
        sudo.extend(self.sudo_options.iter().cloned());
        script.command("client_sudo", &sudo)?;
        Ok(script)
    }

    /// Returns what is read before the user is root: the password, once for our own script and once for sudo, if sudo
    /// is used.
    fn input(&self) -> Vec<u8> {
        let mut input = Vec::new();
        if let Some(password) = self.password {
            input.extend(password.line());
            if self.rights.elevation == Elevation::Sudo {
                input.extend(password.line());
            }
        }
        input
    }
}

/// Returns root's script.
pub(super) fn root(task: &RootTask, systemd_run: bool) -> Result<Vec<u8>, Failure> {
    let mut script = Script::default();
    script.set_yes("rb_systemd_run", systemd_run)?;
    match task {
        RootTask::Tell => script.set("rb_task", "tell")?,
        RootTask::Follow(name, offset) => {
            script.set("rb_task", "follow")?;
            script.set("rb_name", name)?;
            script.set("rb_offset", offset.to_string())?;
        }
        RootTask::Confirm(name) => {
            script.set("rb_task", "confirm")?;
            script.set("rb_name", name)?;
        }
        RootTask::Change(name, change) => {
            script.set("rb_task", "change")?;
            script.set("rb_name", name)?;
            script.set("rb_system", change.system.as_str())?;
            script.set(
                "rb_action",
                change.activation.as_ref().map_or("", |activation| activation.action),
            )?;
            script.set_yes("rb_may_go_back", change.may_go_back())?;
            script.set_yes("rb_tries", change.confirmation().is_some())?;
            script.set("rb_job", OsString::from_vec(job(change)?))?;
        }
    }
    for part in [EVENTS, RECORDS, include_str!("scripts/root.sh")] {
        script.code(part);
    }
    Ok(script.into_bytes())
}

/// Returns the script that makes the change.
fn job(change: &Change) -> Result<Vec<u8>, Failure> {
    let mut script = Script::default();
    let (word, profile) = match &change.profile {
        ProfileChange::Keep => ("keep", Path::new("")),
        ProfileChange::Set(profile) => ("set", profile.as_path()),
        ProfileChange::Rollback(profile) => ("rollback", profile.as_path()),
    };
    script.set("rb_profile_change", word)?;
    script.set("rb_profile", profile)?;
    script.set("rb_system", change.system.as_str())?;
    let mut activated = change.system.as_path().to_owned();
    if let Some(name) = change.activation.as_ref().and_then(|it| it.specialisation.as_ref()) {
        activated = activated.join("specialisation").join(name);
    }
    script.set("rb_activated", &activated)?;
    script.set("rb_action", change.activation.as_ref().map_or("", |it| it.action))?;
    script.set_yes("rb_goes_back", change.goes_back())?;
    let confirm = change.confirmation();
    script.set("rb_confirm", confirm.map_or(0, |it| it.seconds).to_string())?;
    let back = if change.may_go_back() { BACK } else { "" };
    let confirm = if confirm.is_some() { CONFIRM } else { "" };
    for part in [HELD, NIX, GENERATIONS, back, confirm, include_str!("scripts/job.sh")] {
        script.code(part);
    }
    Ok(script.into_bytes())
}
