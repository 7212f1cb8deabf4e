//! Why a connection never came to be, and what to do about it.

use crate::conditions::{Condition, Words};
use crate::failure::Failure;
use crate::host::Host;

/// Returns why ssh ended before the other side had said a word; `text` is what ssh itself said.
///
/// If ssh could not connect at all, the failure says so ([`Failure::unreachable`]).
#[must_use]
pub fn no_session(host: &Host, code: u8, text: &str) -> Failure {
    // If the way leads over another host, more text follows this line.
    let no_connection = text
        .lines()
        .find(|line| UNREACHABLE.iter().any(|part| line.contains(part)))
        .filter(|_| code == 255);
    let reason = Reason::of(code, text, no_connection);
    let what = reason.message(host);
    let last = || text.lines().rfind(|line| !line.trim().is_empty());
    let detail = no_connection.or_else(last).map(str::trim);
    let message = detail.map_or(what.clone(), |detail| format!("{what} ({detail})"));
    let failure = reason.failure(message, host).with_code(code);
    match reason {
        _ if no_connection.is_some() => failure.of_unreachable(host),
        Reason::UnknownKey | Reason::KeysRefused | Reason::NoScript => failure.of_refusal(),
        _ => failure,
    }
}

/// The reason why there is no session.
enum Reason<'a> {
    /// Nobody could say whether there is a machine of this name.
    NoNameServer(&'a str),
    /// The address is reached by an interface that this machine does not have.
    NoInterface {
        address: &'a str,
        interface: &'a str,
    },
    /// There is no machine of this name; it may be the name of a machine on the way.
    UnknownName(&'a str),
    NotReached,
    UnknownKey,
    KeysRefused,
    NoConnection,
    /// There was a connection, but no shell that runs what it is given.
    NoScript,
}

impl<'a> Reason<'a> {
    /// Finds the reason; `no_connection` is the line of `text` that says that there was no connection.
    fn of(code: u8, text: &'a str, no_connection: Option<&'a str>) -> Self {
        if let Some(line) = no_connection {
            return Self::of_no_connection(line);
        }
        let said = |part: &str| text.contains(part);
        if said("Host key verification failed") {
            Self::UnknownKey
        } else if said("Permission denied") {
            Self::KeysRefused
        } else if OF_A_PROXY.into_iter().any(said) {
            Self::NotReached
        } else if code == 255 {
            Self::NoConnection
        } else {
            Self::NoScript
        }
    }

    fn of_no_connection(line: &'a str) -> Self {
        // The name may be an address, which contains colons itself.
        let unknown = line.strip_prefix(UNKNOWN_NAME).and_then(|rest| rest.rsplit_once(": "));
        match unknown {
            None => Self::NotReached,
            Some((name, NO_ANSWER)) => Self::NoNameServer(name),
            Some((name, _)) => match link_local(name) {
                Some((address, interface)) => Self::NoInterface { address, interface },
                None => Self::UnknownName(name),
            },
        }
    }

    /// Returns what it is.
    fn message(&self, host: &Host) -> String {
        match self {
            Self::NoNameServer(name) => format!("no name server answers this machine, which asks for '{name}'"),
            Self::NoInterface { address, interface } => {
                format!("this machine has no network interface '{interface}', by which {address} is to be reached")
            }
            Self::UnknownName(name) => format!("no machine is known by the name '{name}'"),
            Self::NotReached => format!("{host} cannot be reached"),
            Self::UnknownKey => format!("the host key of {host} is unknown or has changed"),
            Self::KeysRefused => format!("{host} refuses this user's keys"),
            Self::NoConnection => format!("ssh cannot connect to {host}"),
            Self::NoScript => format!("{host} does not run our script"),
        }
    }

    /// Returns the failure with this message, and what to do about it.
    fn failure(&self, message: String, host: &Host) -> Failure {
        let (condition, it) = match self {
            Self::NoNameServer(name) => (Condition::NameServer, *name),
            Self::NoInterface { .. } => (Condition::Interface, ""),
            Self::UnknownName(name) => (Condition::Name, *name),
            Self::NotReached => (Condition::Reached, ""),
            Self::UnknownKey => (Condition::HostKey, ""),
            Self::KeysRefused => (Condition::Keys, ""),
            Self::NoConnection => {
                return Failure::new(message).with_remedy(format!("try: ssh {} true", host.words_for_ssh()));
            }
            Self::NoScript => (Condition::Script, ""),
        };
        let ssh = host.words_for_ssh();
        let words = Words {
            ssh: &ssh,
            it,
            ..Words::default()
        };
        Failure::of(condition, message, &words)
    }
}

/// Splits an address of a single link into the address and the interface that leads there (`fe80::1%eth0`).
fn link_local(name: &str) -> Option<(&str, &str)> {
    let (address, interface) = name.split_once('%')?;
    address
        .parse::<std::net::Ipv6Addr>()
        .is_ok()
        .then_some((address, interface))
}

/// What the resolver says if nobody knows whether there is such a name (in glibc's and musl's words).
const NO_ANSWER: &str = "Temporary failure in name resolution";

const UNKNOWN_NAME: &str = "ssh: Could not resolve hostname ";

/// What ssh says if there was no connection, to the host or to one on the way to it (`ProxyJump`). What ssh says over a
/// connection (about keys, or a key exchange that breaks off) is not among it.
const UNREACHABLE: [&str; 4] = [
    UNKNOWN_NAME,
    // This covers: refused, timed out, no route, network down, and a firewall's "Permission denied".
    "ssh: connect to host ",
    "Connection timed out during banner exchange",
    // The jump host says this.
    "open failed: connect failed: ",
];

/// What a `ProxyCommand` of whatever kind says if it reaches nobody.
const OF_A_PROXY: [&str; 4] = [
    "Connection refused",
    "timed out",
    "No route to host",
    "Network is unreachable",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    fn host() -> Host {
        Place::parse("me@builder", "pi").unwrap().host().unwrap().clone()
    }

    #[test]
    fn every_reason_names_the_host_and_a_remedy() {
        for (code, text, message) in [
            (
                255,
                "ssh: Could not resolve hostname builder: Name or service not known",
                "no machine is known by the name 'builder'",
            ),
            (
                255,
                "ssh: connect to host builder port 22: Connection refused",
                "me@builder cannot be reached",
            ),
            (
                255,
                "me@builder: Permission denied (publickey).",
                "me@builder refuses this user's keys",
            ),
            (
                255,
                "No ED25519 host key is known\nHost key verification failed.",
                "the host key of me@builder is unknown or has changed",
            ),
            (255, "", "ssh cannot connect to me@builder"),
            (
                1,
                "This account is not available.",
                "me@builder does not run our script",
            ),
        ] {
            let failure = no_session(&host(), code, text);
            assert!(failure.to_string().starts_with(message), "{failure}");
            assert!(
                failure.remedy().is_some_and(|remedy| remedy.contains("builder")),
                "{failure}"
            );
            assert_eq!(failure.code(), code);
        }
    }

    /// With `ProxyJump`, the unknown name may be another one.
    #[test]
    fn the_name_that_is_unknown_is_the_one_that_ssh_says() {
        let text = "ssh: Could not resolve hostname jump: Name or service not known\r\nConnection closed by UNKNOWN port 65535";
        assert_eq!(
            no_session(&host(), 255, text).to_string(),
            "no machine is known by the name 'jump' (ssh: Could not resolve hostname jump: Name or service not known)"
        );
    }

    /// A name counts as misspelled only if somebody who knows says that there is none.
    #[test]
    fn what_ssh_cannot_resolve_has_its_own_reason() {
        for (name, why, expected) in [
            (
                "builder",
                "Name or service not known",
                "no machine is known by the name 'builder'",
            ),
            (
                "builder",
                "Temporary failure in name resolution",
                "no name server answers this machine, which asks for 'builder'",
            ),
            (
                "a.b",
                "No address associated with hostname",
                "no machine is known by the name 'a.b'",
            ),
            (
                "fe80::1%eth9",
                "Name or service not known",
                "this machine has no network interface 'eth9', by which fe80::1 is to be reached",
            ),
            (
                "fe80::1",
                "Name or service not known",
                "no machine is known by the name 'fe80::1'",
            ),
            (
                "x%y",
                "Name or service not known",
                "no machine is known by the name 'x%y'",
            ),
        ] {
            let text = format!("ssh: Could not resolve hostname {name}: {why}\r\nand more");
            let failure = no_session(&host(), 255, &text);
            assert!(failure.to_string().starts_with(expected), "{failure}");
            assert_eq!(failure.unreachable(), Some(&host()));
        }
    }

    /// A machine that is about to start, or that stands behind one which forwards a port to it, closes connections: who
    /// waits for it goes on waiting.
    #[test]
    fn a_refusal_is_what_will_be_the_same_the_next_time() {
        for (code, text, expected) in [
            (255, "me@builder: Permission denied (publickey).", true),
            (255, "Host key verification failed.", true),
            (1, "This account is not available.", true),
            (
                255,
                "System is booting up.\n\nConnection closed by 192.0.2.1 port 22",
                false,
            ),
            (
                255,
                "kex_exchange_identification: read: Connection reset by peer",
                false,
            ),
            (255, "ssh: connect to host builder port 22: Connection refused", false),
            (255, "ssh: connect to host builder port 22: Permission denied", false),
            (
                255,
                "nc: connect to builder port 22 (tcp) failed: Connection refused",
                false,
            ),
            (255, "", false),
        ] {
            assert_eq!(no_session(&host(), code, text).is_refusal(), expected, "{text}");
        }
    }

    /// Only in this case may another machine do the work instead.
    #[test]
    fn unreachable_is_what_never_was_a_connection() {
        for text in [
            "ssh: Could not resolve hostname builder: Name or service not known",
            "ssh: Could not resolve hostname builder: Temporary failure in name resolution",
            "ssh: connect to host builder port 22: Connection refused",
            "ssh: connect to host builder port 22: Connection timed out",
            "ssh: connect to host builder port 22: No route to host",
            "ssh: connect to host builder port 22: Network is unreachable",
            "ssh: connect to host builder port 22: Permission denied",
            "Connection timed out during banner exchange\nConnection to 192.0.2.1 port 22 timed out",
            "channel 0: open failed: connect failed: No route to host\nstdio forwarding failed",
            "ssh: connect to host jump port 22: Connection refused\nConnection closed by UNKNOWN port 65535",
        ] {
            let failure = no_session(&host(), 255, text);
            assert_eq!(failure.unreachable(), Some(&host()), "{text}");
            assert!(
                ["cannot be reached", "is known by", "no name server"]
                    .iter()
                    .any(|part| failure.to_string().contains(part)),
                "{failure}"
            );
            assert!(!failure.to_string().contains("UNKNOWN"), "{failure}");
            // A command on the other machine ends with this status and says the same.
            assert_eq!(no_session(&host(), 1, text).unreachable(), None, "{text}");
        }
        for text in [
            "",
            "me@builder: Permission denied (publickey).",
            "Host key verification failed.",
            "kex_exchange_identification: Connection closed by remote host",
            "Connection closed by 192.0.2.1 port 22",
            "Connection reset by 192.0.2.1 port 22",
            "client_loop: send disconnect: Broken pipe",
            "Timeout, server builder not responding.",
            "command-line line 0: Bad number",
            "nc: connect to builder port 22 (tcp) failed: Connection refused",
        ] {
            assert_eq!(no_session(&host(), 255, text).unreachable(), None, "{text}");
        }
    }
}
