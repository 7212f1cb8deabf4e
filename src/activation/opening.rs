//! The first look at the target: who is there, whether there is a way to root, and how the last change ended.

use anyhow::Result;

use super::changing::{ChangeOutput, meaning};
use super::password::{Password, is_on_terminal};
use super::preflight::{self, Free};
use super::reply::{Ending, Record, TargetEvent};
use super::session::{FromScript, Session};
use super::text::{self, RootTask};
use super::{Receives, Target, Wants, sudo_options};
use crate::context::Context;
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::progress::{Event, Work};
use crate::remote::daemon::Daemon;
use crate::surroundings::Surroundings;
use crate::vocabulary::{Elevation, Rights};

/// How many places are looked at for room: the store's and that of the kernels.
const PLACES: usize = 2;

/// How often a person may type the password.
const TRIES: usize = 3;

/// The variable by which the user has a path accepted that is no NixOS system.
const CARELESS: &str = "NIXOS_REBUILD_I_UNDERSTAND_THE_CONSEQUENCES_PLEASE_BREAK_MY_SYSTEM";

/// The program that hands a password to run0. The new system may bring it along.
const AGENT: &str = "polkit-stdin-agent";

/// What the first look sees.
#[derive(Default)]
struct Seen {
    name: String,
    user: String,
    uid: u32,
    nix: Option<std::path::PathBuf>,
    current: [String; 2],
    room: Vec<Free>,
}

/// How an attempt to become root ended.
enum Attempt {
    Root(Session),
    /// The attempt was refused. The second value says whether another try may help.
    Refused(Failure, bool),
    /// The program that hands over the password is not there yet. The value names the modules of PAM that may ask for
    /// something else.
    Later(Option<String>),
}

/// A connection that other sessions share as long as this value is kept.
pub struct Connection(#[allow(dead_code, reason = "it is kept, not used")] Session);

/// Logs in to a machine that will be needed later, to see that this is possible.
///
/// # Errors
/// There is no way in, or a signal has come.
pub fn reach(host: &Host, context: &Context) -> Result<Connection> {
    context.tell(Event::phase(Work::Connecting, Some(host)));
    let connection = try_to_reach(host, context)?;
    context.tell(Event::Idle);
    Ok(connection)
}

/// Does the same and says nothing about it.
///
/// # Errors
/// Fails as [`reach`] does.
pub fn try_to_reach(host: &Host, context: &Context) -> Result<Connection> {
    let session = Session::start(&Place::There(host.clone()), &text::look(), context)?;
    greeted(session, context).map(Connection)
}

/// Waits until the first look is over.
pub(super) fn greeted(mut session: Session, context: &Context) -> Result<Session> {
    if look(&mut session, context)?.is_none() {
        return Err(session.broken(context)?.into());
    }
    session.is_over();
    Ok(session)
}

impl Target {
    /// Logs in and looks, before the long work: who is there, whether this user may do what the run wants, and how the
    /// last change ended, if nobody has heard that. If a change still goes on, waits for its end.
    ///
    /// # Errors
    /// There is no way in, or no way to root although root is needed.
    pub fn open(place: &Place, wants: Wants, context: &Context) -> Result<Self> {
        if *place == Place::Here && !wants.changes && wants.rights.elevation == Elevation::None {
            return Ok(Self::untouched(context.around));
        }
        let (mut target, user) = Self::greet(place, wants, context)?;
        let receives = wants.receives != Receives::Nothing;
        let elevates = target.rights.elevation != Elevation::None;
        if wants.changes || ((receives || wants.upgrades) && elevates) {
            let needed_now = wants.receives == Receives::FromElsewhere || wants.upgrades;
            if let Some(mut session) = target.become_root(&user, needed_now, context)? {
                if wants.changes {
                    target.hear_of_last(&mut session, context)?;
                } else {
                    target.hear_who_answers(&mut session, context)?;
                }
                session.is_over();
            }
        }
        context.tell(Event::Idle);
        Ok(target)
    }

    /// Logs in and looks. Returns the user's name, too.
    pub(super) fn greet(place: &Place, wants: Wants, context: &Context) -> Result<(Self, String)> {
        if let Place::There(host) = place {
            context.ssh.share(host, context.signals)?;
            context.tell(Event::phase(Work::Connecting, Some(host)));
        } else {
            context.tell(Event::phase(Work::Asking, None));
        }
        let mut first = Session::start(place, &text::look(), context)?;
        let Some(seen) = look(&mut first, context)? else {
            return Err(first.broken(context)?.into());
        };
        if seen.name.is_empty() || seen.user.is_empty() {
            return Err(first.out_of_turn("says 'hello' before its name").into());
        }
        first.is_over();
        let (user, room) = (seen.user.clone(), seen.room.clone());
        let mut target = Self::of(place, seen, wants.rights, context)?;
        target.first = place.host().map(|_| first);
        target.suffices(&user, wants)?;
        if wants.changes {
            let warnings = preflight::warnings(&room, &target.label());
            let lines = warnings.iter().flat_map(|warning| warning.split('\n'));
            lines.for_each(|line| context.tell(Event::Text(line.to_owned())));
        }
        Ok((target, user))
    }

    /// Makes the target of what the first look has seen.
    fn of(place: &Place, seen: Seen, rights: Rights, context: &Context) -> Result<Self> {
        let rights = if seen.uid == 0 { Rights::default() } else { rights };
        Ok(Self {
            place: place.clone(),
            rights,
            password: None,
            sudo_options: sudo_options::read(context.around, rights.elevation)?,
            has_terminal: *place == Place::Here && is_on_terminal(),
            uid: seen.uid,
            own_daemon: Daemon::own(context.around),
            systemd_run: !context.around.is_set("NIXOS_REBUILD_NO_SYSTEMD_RUN"),
            careless: context.around.is_set(CARELESS),
            nix: seen.nix,
            name: seen.name,
            current: seen.current,
            first: None,
        })
    }

    /// Checks that the target has what the run needs, as far as the first look shows it.
    fn suffices(&self, user: &str, wants: Wants) -> Result<(), Failure> {
        if let (Some(host), true, None) = (self.place.host(), wants.receives != Receives::Nothing, &self.nix) {
            return Err(no_nix(host));
        }
        if wants.changes && self.uid != 0 && self.rights.elevation == Elevation::None {
            return Err(Failure::new(format!("{user} is not root on {}", self.label()))
                .with_remedy("add --sudo, or log in as root there"));
        }
        if wants.goes_back_to_running && self.current[0].is_empty() {
            return Err(self.no_way_back("no system runs there (/run/current-system)"));
        }
        Ok(())
    }

    /// Returns this machine without a look at it. That is enough if nothing is changed.
    fn untouched(around: &Surroundings) -> Self {
        Self {
            place: Place::Here,
            name: around.own_name.clone(),
            rights: Rights::default(),
            password: None,
            sudo_options: Vec::new(),
            has_terminal: false,
            uid: nix::unistd::geteuid().as_raw(),
            own_daemon: Daemon::own(around),
            systemd_run: false,
            careless: around.is_set(CARELESS),
            nix: None,
            current: Default::default(),
            first: None,
        }
    }

    /// Checks that there is a way to root, after asking for the password if one is used. Returns None if root is not
    /// needed before the build (`needed_now` is false) and the check can only be made after it.
    pub(super) fn become_root(&mut self, user: &str, needed_now: bool, context: &Context) -> Result<Option<Session>> {
        let mut tries = 0;
        loop {
            if self.rights.ask_password {
                // The live display would be in the way of the prompt.
                context.tell(Event::phase(Work::Asking, self.place.host()));
                let who = format!("{user}@{}", self.name);
                self.password = Some(Password::ask(self.rights.elevation.program(), &who)?);
            }
            tries += 1;
            match self.try_root(user, context)? {
                Attempt::Root(session) => return Ok(Some(session)),
                Attempt::Later(_) if needed_now => return Err(self.missing(AGENT).into()),
                Attempt::Later(asks) => {
                    let more = asks.map_or(String::new(), |modules| {
                        format!("; PAM there has {modules} for it, so it may be refused then (nixpkgs#540098)")
                    });
                    context.tell(Event::Text(format!(
                        "{} has no {AGENT}, which hands the password to run0: if the new system has it, the password is \
                         tried after the build{more}",
                        self.label()
                    )));
                    return Ok(None);
                }
                Attempt::Refused(failure, may_help) => {
                    if !may_help || !self.rights.ask_password || tries == TRIES || !is_on_terminal() {
                        return Err(failure.into());
                    }
                    context.tell(Event::Text(format!("{failure}")));
                }
            }
        }
    }

    fn try_root(&self, user: &str, context: &Context) -> Result<Attempt> {
        let text = self.elevating().task(&RootTask::Tell, self.systemd_run)?;
        let mut session = Session::start(&self.place, &text, context)?;
        session.be_quiet(true);
        let mut asks = None;
        loop {
            match session.next(context)? {
                FromScript::Event(TargetEvent::Root) => {
                    session.be_quiet(false);
                    return Ok(Attempt::Root(session));
                }
                FromScript::Event(TargetEvent::Asks(modules)) => asks = Some(modules),
                FromScript::Event(TargetEvent::Missing(program)) => {
                    session.is_over();
                    if program == AGENT {
                        return Ok(Attempt::Later(asks));
                    }
                    return Err(self.missing(&program).into());
                }
                FromScript::Event(TargetEvent::Refused | TargetEvent::Left) => {
                    session.is_over();
                    let failure = self.refused(user, session.last_words(), asks.as_deref());
                    // A security key may count wrong answers, and lock itself after a few of them.
                    return Ok(Attempt::Refused(failure, asks.is_none()));
                }
                FromScript::Event(_) | FromScript::Output(_) => {}
                FromScript::End => return Err(session.broken(context)?.into()),
            }
        }
    }

    pub(super) fn missing(&self, program: &str) -> Failure {
        let remedy = if program == AGENT {
            "it hands a password to run0: install it there, or write --elevate sudo"
        } else {
            "choose another program: --elevate sudo, run0 or doas"
        };
        Failure::new(format!("{} has no {program}", self.label()))
            .with_remedy(remedy)
            .with_code(127)
    }

    /// Returns the failure if `sudo` or the like makes the user another user (`name`) than root.
    pub(super) fn not_root(&self, name: &str) -> Failure {
        let (on, program) = (self.label(), self.rights.elevation.program());
        Failure::new(format!("{program} on {on} makes this user {name}, and not root: nothing was changed")).with_remedy(
            "is there a -u in NIX_SUDOOPTS? or runas_default in the sudoers file there: NIX_SUDOOPTS='-u root' rebuild ...",
        )
    }

    /// Returns the failure if the target could not go back from a change that fails. The target itself looks more closely
    /// right before the change, because somebody may have made another one meanwhile.
    pub(super) fn no_way_back(&self, reason: &str) -> Failure {
        Failure::new(format!(
            "{} would have no way back, because {reason}: nothing was changed",
            self.label()
        ))
        .with_remedy("to do without one: --no-rollback-on-failure --no-confirm")
    }

    /// Returns the failure if a change cannot be noted. It is noted so that it outlives the connection.
    pub(super) fn unwritable(&self, words: Option<&str>) -> Failure {
        let on = self.label();
        let words = words.map_or(String::new(), |words| format!(" ({words})"));
        Failure::new(format!(
            "a change of {on} cannot be noted in /var/lib/rebuild there{words}: nothing was changed"
        ))
        .with_remedy(
            "is the disk full, or read-only? try there, as root: mkdir -p /var/lib/rebuild; df /var/lib/rebuild",
        )
    }

    /// Returns the failure if the user may not become root. `asks` are modules of PAM that may ask for something other
    /// than the password.
    pub(super) fn refused(&self, user: &str, words: Option<&str>, asks: Option<&str>) -> Failure {
        let (on, program) = (self.label(), self.rights.elevation.program());
        // sudo refuses before it looks at any password (requiretty in sudoers).
        if words.is_some_and(|words| words.contains("must have a tty")) {
            let none = match self.place {
                Place::Here => "there is none here",
                Place::There(_) => "there is none over ssh",
            };
            return Failure::new(format!(
                "{program} on {on} wants a terminal, and {none}: nothing was changed"
            ))
            .with_remedy(format!("in its sudoers file: Defaults:{user} !requiretty"));
        }
        let words = words.map_or(String::new(), |words| format!(" ({words})"));
        if self.password.is_some() {
            let remedy = asks.map_or_else(|| "nothing was changed".to_owned(), |modules| self.other_ways(modules));
            return Failure::new(format!(
                "the password is wrong, or {user} may not become root by {program} on {on}{words}"
            ))
            .with_remedy(remedy);
        }
        let remedy = if self.rights.elevation == Elevation::Doas {
            "doas takes no password from us: allow it without one in doas.conf there (nopass)"
        } else {
            "add --ask-elevate-password (-S), or allow it without a password there"
        };
        Failure::new(format!("{user} cannot become root by {program} on {on}{words}")).with_remedy(remedy)
    }

    /// Returns the remedy if PAM may want something other than the password, or something before it. We answer without
    /// seeing the question, and have only the password as an answer (nixpkgs#540098).
    fn other_ways(&self, modules: &str) -> String {
        let program = self.rights.elevation.program();
        let other = if self.rights.elevation == Elevation::Sudo {
            "run0"
        } else {
            "sudo"
        };
        let way = match self.place {
            Place::Here => format!("without -S, {program} itself asks on this terminal"),
            Place::There(_) => "log in as root there: --target-host root@HOST".to_owned(),
        };
        format!(
            "nothing was changed; or PAM there asks {program} for something else than the password, by {modules}: -S has \
             the password alone\n{way}\nor take another program, if PAM asks that for a password: --elevate {other}"
        )
    }

    /// Tells how the last change ended, if nobody has heard that. If it still goes on, waits for its end.
    fn hear_of_last(&self, session: &mut Session, context: &Context) -> Result<()> {
        let mut output = ChangeOutput::of_another();
        let mut last = None;
        let mut waited = false;
        loop {
            match session.next(context)? {
                FromScript::Output(bytes) => output.take(&bytes, context),
                FromScript::Event(TargetEvent::Nothing) => return Ok(()),
                FromScript::Event(TargetEvent::NotRoot(name)) => return Err(self.not_root(&name).into()),
                FromScript::Event(TargetEvent::Unwritable) => return Err(self.unwritable(session.last_words()).into()),
                FromScript::Event(TargetEvent::Record(record)) => last = Some(record),
                FromScript::Event(TargetEvent::Running) => {
                    waited = true;
                    let text = format!("{} goes on: waiting for its end", self.described(last.as_ref()));
                    context.tell(Event::Text(text));
                    session.say(b"follow\n");
                }
                FromScript::Event(TargetEvent::Ended(ending)) => {
                    output.end(context);
                    let what = self.described(last.as_ref());
                    if let Some(text) = told(&what, ending, waited) {
                        context.tell(Event::Text(text));
                    }
                    // If this run waited for the end, the run that made the change may want to hear of it as well.
                    session.say(if waited { output.last_word() } else { b"heard\n" });
                    return Ok(());
                }
                FromScript::Event(_) => {}
                // This alone would not be worth stopping for, but our own change would go the same way.
                FromScript::End => {
                    return Err(Failure::new(format!(
                        "{} does not say what its last activation came to",
                        self.label()
                    ))
                    .with_remedy("run the same command again")
                    .with_code(255)
                    .into());
                }
            }
        }
    }

    /// Checks that the user has become root and not another user. A run that only receives would otherwise hear of it
    /// after the build.
    fn hear_who_answers(&self, session: &mut Session, context: &Context) -> Result<()> {
        session.be_quiet(true);
        loop {
            match session.next(context)? {
                FromScript::Output(_) => {}
                FromScript::Event(TargetEvent::NotRoot(name)) => return Err(self.not_root(&name).into()),
                // If the session has ended too early, the next step says so.
                FromScript::Event(_) | FromScript::End => return Ok(()),
            }
        }
    }

    pub(super) fn described(&self, record: Option<&Record>) -> String {
        let on = self.label();
        match record {
            None => format!("a change of {on}"),
            Some(record) => format!(
                "{} of {} on {on}, begun {}",
                record.action,
                record.system,
                ago(record.began)
            ),
        }
    }
}

/// Returns the failure for a target without Nix. The user hears of it before the long work.
fn no_nix(host: &Host) -> Failure {
    let ssh = host.words_for_ssh();
    Failure::new(format!(
        "{host} has no Nix, or it is not where its users find it: nothing was done"
    ))
    .with_remedy(format!("try: ssh {ssh} nix-store --version"))
    .with_code(127)
}

fn look(session: &mut Session, context: &Context) -> Result<Option<Seen>> {
    let mut seen = Seen::default();
    loop {
        match session.next(context)? {
            FromScript::Event(TargetEvent::Host(name)) => seen.name = name,
            FromScript::Event(TargetEvent::User(name)) => seen.user = name,
            FromScript::Event(TargetEvent::Nix(directory)) => seen.nix = directory,
            FromScript::Event(TargetEvent::Current(current)) => seen.current = current,
            FromScript::Event(TargetEvent::Room(free)) if seen.room.len() < PLACES => seen.room.push(free),
            FromScript::Event(TargetEvent::Hello { uid }) => {
                seen.uid = uid;
                return Ok(Some(seen));
            }
            FromScript::Event(_) | FromScript::Output(_) => {}
            FromScript::End => return Ok(None),
        }
    }
}

/// Returns the message on the end of a change that this run did not make. None if the user need not know.
fn told(what: &str, ending: Ending, waited: bool) -> Option<String> {
    Some(match ending {
        Ending::Done if waited => "it is done".to_owned(),
        Ending::Done => format!("{what}, was done after its connection broke"),
        Ending::Profile(code) => format!("warning: {what}: the profile was not changed (exit status {code})"),
        Ending::Activation { code: 100, .. } if !what.starts_with("test") && !what.starts_with("dry-activate") => {
            format!("{what}, takes effect at the next boot of that machine")
        }
        Ending::Activation { code, generations } => {
            let back = match generations {
                Some([before, now]) if before != now => {
                    format!(", but its profile is at generation {now} now, and was at {before}")
                }
                _ => String::new(),
            };
            let meaning = meaning(code, &back).map_or(String::new(), |text| format!(": {text}"));
            format!("warning: {what}: it ended with exit status {code}{meaning}")
        }
        Ending::Back(back) => format!("warning: {what}: {}", back.told()),
        Ending::NoWayBack => format!("warning: {what}, was not begun: there was no way back"),
        Ending::Rebooted => {
            format!("warning: {what}, was not confirmed before a reboot: the machine has booted what it booted before")
        }
        Ending::LostUnconfirmed => {
            format!("warning: {what}, was cut off before it was confirmed: this run makes up for it")
        }
        Ending::Unstarted | Ending::Lost if what.starts_with("dry-activate") => return None,
        Ending::Unstarted => format!("warning: {what}, did not come to be"),
        Ending::Lost => format!("warning: {what}, was cut off before its end: this run makes up for it"),
    })
}

/// Says in words how long ago something began; `began` is in seconds since 1970.
fn ago(began: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs()).saturating_sub(began);
    match seconds {
        0..120 => format!("{seconds} seconds ago"),
        120..7200 => format!("{} minutes ago", seconds / 60),
        _ => format!("{} hours ago", seconds / 3600),
    }
}
