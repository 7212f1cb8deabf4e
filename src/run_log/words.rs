//! The events of a run as lines of its log.

use std::collections::BTreeSet;

use crate::progress::nix_log::{Activity, LogLine, News};
use crate::progress::{Builder, Event, Phase};

/// The most builds that are known to run at a time.
const MOST: usize = 1000;

/// Returns what the log says of an event. It says nothing of how far something is: that comes many times a second.
/// `builds` are the numbers of the builds that run.
pub(super) fn words(event: &Event, builds: &mut BTreeSet<u64>) -> Option<String> {
    Some(match event {
        Event::Phase(phase) => of_phase(phase),
        Event::Idle => "phase: none".to_owned(),
        Event::Sending(..) | Event::Received(_) | Event::Since(_) | Event::Idled(_) => return None,
        Event::Sent(amount) => format!("sent {} files, {} bytes", amount.files, amount.bytes),
        Event::Builder(builder) => of_builder(builder),
        Event::Nix(line) => return of_nix(line, builds),
        Event::Text(text) | Event::Detail(text) | Event::Trace(text) => text.clone(),
        Event::Silent { host, takes: true, .. } => format!("silent: {host} takes nothing"),
        Event::Silent { host, takes: false, .. } => format!("silent: nothing comes from {host}"),
        Event::SilenceOver { is_heard: true, .. } => "the silence is over".to_owned(),
        Event::SilenceOver { is_heard: false, .. } => "the silence is over: nothing more will come".to_owned(),
        Event::Finished { is_the_same } => format!("finished; the system is the same: {is_the_same}"),
    })
}

fn of_phase(phase: &Phase) -> String {
    let host = phase.host.as_ref().map(|host| format!(" ({host})"));
    format!("phase: {:?}{}", phase.work, host.unwrap_or_default())
}

fn of_builder(builder: &Builder) -> String {
    let host = builder.host.as_deref().unwrap_or("this machine");
    let emulates = if builder.emulates {
        ", which emulates the CPU"
    } else {
        ""
    };
    format!("builds run on {host}{emulates}")
}

fn of_nix(line: &LogLine, builds: &mut BTreeSet<u64>) -> Option<String> {
    match line {
        LogLine::Message { level, text } => Some(format!("nix says (level {level}): {text}")),
        LogLine::Start { id, activity } => of_activity(*id, activity, builds),
        LogLine::Stop { id } => builds.remove(id).then(|| format!("[{id}] build ended")),
        LogLine::News { id, news } => match news {
            News::LogLine(text) => Some(format!("[{id}] > {text}")),
            News::Phase(phase) => Some(format!("[{id}] build phase: {phase}")),
            News::Progress { .. } | News::ExpectedBytes(_) => None,
        },
    }
}

fn of_activity(id: u64, activity: &Activity, builds: &mut BTreeSet<u64>) -> Option<String> {
    match activity {
        Activity::Build { derivation, machine } => {
            if builds.len() < MOST {
                builds.insert(id);
            }
            let on = if machine.is_empty() {
                String::new()
            } else {
                format!(" on {machine}")
            };
            Some(format!("[{id}] build begins: {derivation}{on}"))
        }
        Activity::CopyPath(path) => Some(format!("copying {path}")),
        Activity::Fetch(address) => Some(format!("fetching {address}")),
        Activity::Substitute(path) => Some(format!("fetching {path} from a cache")),
        Activity::Other(text) if !text.is_empty() => Some(format!("nix: {text}")),
        Activity::Other(_) | Activity::Builds | Activity::CopyPaths { .. } => None,
    }
}
