//! Hosts as the user names them, and which of them is this one.

mod place;

use std::fmt;
use std::net::Ipv6Addr;

pub use place::{OwnNames, Place};

/// The forms of a host, for messages.
const FORMS: &str = "a host is [user@]host or ssh://[user@]host[:port], an IPv6 address stands in brackets";

/// Why a text names no host, and what would. It becomes a `Failure`; `Failure` knows hosts, and this file does not know
/// `Failure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoHost {
    /// What is wrong with it.
    pub message: String,
    /// What to write.
    pub remedy: String,
}

impl NoHost {
    fn new(message: String, remedy: impl Into<String>) -> Self {
        let remedy = remedy.into();
        Self { message, remedy }
    }
}

/// Another machine, as the user names it. Two hosts are the same if user, name and port are.
///
/// The parts are kept apart, because every program wants them in another form: ssh takes no brackets, not even in an
/// `ssh://` address of its own, and Nix takes no IPv6 address without them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    user: Option<String>,
    /// A name that ssh knows, or an address. An IPv6 address has no brackets, and its zone follows a plain `%`.
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Reads a host, whether or not it is this machine.
    ///
    /// `ssh-ng://`, `ssh://` and no scheme at all name the same host: the name of Nix's protocol has no meaning here.
    ///
    /// # Errors
    /// Fails if the text is nothing that ssh takes as a host.
    pub fn parse(text: &str) -> Result<Self, NoHost> {
        let (is_uri, rest) = match text.split_once("://") {
            Some(("ssh" | "ssh-ng", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(NoHost::new(
                    format!("host '{text}': cannot connect by {scheme}://"),
                    FORMS,
                ));
            }
            None => (false, text),
        };
        let no_host = || NoHost::new(format!("host '{text}' is not a host name"), FORMS);
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let (name, port) = split(address).ok_or_else(no_host)?;
        if !user.is_none_or(is_user) || !(ipv6(&name).is_some() || is_name(&name)) {
            return Err(no_host());
        }
        let read = |port: &str| port.parse().ok().filter(|port| *port != 0).ok_or_else(no_host);
        let port = port.map(read).transpose()?;
        if port.is_some() && !is_uri {
            // ssh would take it for a part of the name.
            let message = format!("host '{text}': a port has no place there");
            return Err(NoHost::new(message, format!("write ssh://{text}")));
        }
        Ok(Self {
            user: user.map(str::to_owned),
            name,
            port,
        })
    }

    /// Returns ssh's destination argument, which has no port: `[user@]host`.
    #[must_use]
    pub fn destination(&self) -> String {
        self.with_user(&self.name)
    }

    /// Returns the port, if one is named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the name without user and port, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the host as Nix takes it, after `ssh://` or as an argument of `nix-copy-closure`;
    /// [`Host::options_for_nix`] returns the rest.
    #[must_use]
    pub fn address_for_nix(&self) -> String {
        let name = match ipv6(&self.name) {
            Some((address, _)) => format!("[{address}]"),
            None => self.name.clone(),
        };
        if self.has_user_for_option() {
            name
        } else {
            self.with_user(&name)
        }
    }

    /// Returns ssh options for the parts of a host that not every Nix takes in an address. Nix passes them to the ssh
    /// that it starts.
    ///
    /// Zones: Nix 2.26 hands `%25` on to ssh as it is, and `nix-copy-closure` of 2.34 takes nothing else. Users: no Nix
    /// takes `a@b@host` for an address, and 2.26 does not know `%40`.
    #[must_use]
    pub fn options_for_nix(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some((_, Some(_))) = ipv6(&self.name) {
            // In a HostName, ssh replaces what begins with a %.
            words.extend(["-o".to_owned(), format!("HostName={}", self.name.replace('%', "%%"))]);
        }
        if let Some(user) = self.user.as_ref().filter(|_| self.has_user_for_option()) {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        words
    }

    /// Returns the words with which a user of ssh names it, for messages: `-p 2222 me@builder`.
    #[must_use]
    pub fn words_for_ssh(&self) -> String {
        let port = self.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        port + &self.destination()
    }

    fn with_user(&self, name: &str) -> String {
        match &self.user {
            Some(user) => format!("{user}@{name}"),
            None => name.to_owned(),
        }
    }

    fn has_user_for_option(&self) -> bool {
        let is_odd = |c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c);
        self.user.as_ref().is_some_and(|user| user.contains(is_odd))
    }
}

impl fmt::Display for Host {
    /// Writes it in the shortest form that [`Host::parse`] reads.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(port) = self.port else {
            // A zone that begins like a coded % is written with one before it.
            return formatter.write_str(&match ipv6(&self.name) {
                Some((address, Some(zone))) if zone.starts_with("25") => self.with_user(&format!("{address}%25{zone}")),
                _ => self.destination(),
            });
        };
        let name = match ipv6(&self.name) {
            Some((address, Some(zone))) => format!("[{address}%25{zone}]"),
            Some((address, None)) => format!("[{address}]"),
            None => self.name.clone(),
        };
        write!(formatter, "ssh://{}:{port}", self.with_user(&name))
    }
}

/// Splits an address into the name and the port. Only an IPv6 address may have brackets.
fn split(address: &str) -> Option<(String, Option<&str>)> {
    if let Some((inner, port)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let name = decoded(inner).filter(|name| ipv6(name).is_some())?;
        let port = if port.is_empty() {
            None
        } else {
            Some(port.strip_prefix(':')?)
        };
        return Some((name, port));
    }
    if let Some(name) = decoded(address) {
        return Some((name, None));
    }
    Some(match address.split_once(':') {
        Some((name, port)) => (name.to_owned(), Some(port)),
        None => (address.to_owned(), None),
    })
}

/// Returns an IPv6 address with a plain `%` before its zone, where `%25` may stand. Brackets are not needed, as with
/// nixos-rebuild.
fn decoded(address: &str) -> Option<String> {
    let (bare, zone) = ipv6(address)?;
    let zone = zone.map(|zone| zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone));
    Some(zone.map_or(bare.to_owned(), |zone| format!("{bare}%{zone}")))
}

/// Returns an IPv6 address and its zone, which is the name or number of a network interface on this machine.
fn ipv6(text: &str) -> Option<(&str, Option<&str>)> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let is_zone = |zone: &str| !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(is_zone)).then_some((address, zone))
}

/// Characters on which a shell would act. OpenSSH refuses them from 9.6 on, because a `ProxyCommand` may contain the
/// name.
const FOR_SHELLS: &str = "'\"`$;&<>|(){}";

fn is_name(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/\\%[]:".contains(c) || FOR_SHELLS.contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains(odd)
}

/// Returns whether a text can be a user's name. In a URI, `%` would begin a coded character; no user's name contains
/// one.
fn is_user(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/%:".contains(c) || FOR_SHELLS.contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('\\') && !text.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parse(text: &str) -> Result<Place, NoHost> {
        Place::parse(text, "pi.lan")
    }

    pub(super) fn host(text: &str) -> Host {
        parse(text).unwrap().host().unwrap().clone()
    }

    /// For each host: what is typed, the user, the name and the port.
    const HOSTS: [(&str, Option<&str>, &str, Option<u16>); 21] = [
        ("builder", None, "builder", None),
        ("me@builder", Some("me"), "builder", None),
        ("me@lab@builder", Some("me@lab"), "builder", None),
        ("10.0.0.1", None, "10.0.0.1", None),
        ("ssh://builder", None, "builder", None),
        ("ssh-ng://builder", None, "builder", None),
        ("ssh://me@builder:2222", Some("me"), "builder", Some(2222)),
        ("::1", None, "::1", None),
        ("me@fe80::1%eth0", Some("me"), "fe80::1%eth0", None),
        ("[::1]", None, "::1", None),
        ("me@[::1]", Some("me"), "::1", None),
        ("[fe80::1%eth0]", None, "fe80::1%eth0", None),
        ("[fe80::1%25eth0]", None, "fe80::1%eth0", None),
        ("fe80::1%25eth0", None, "fe80::1%eth0", None),
        // This is the interface with this number.
        ("[fe80::1%25]", None, "fe80::1%25", None),
        ("me@[fe80::1%25252]", Some("me"), "fe80::1%252", None),
        ("[fe80::1%2525]", None, "fe80::1%25", None),
        ("ssh://[::1]", None, "::1", None),
        ("ssh://[::1]:22", None, "::1", Some(22)),
        (
            "ssh-ng://me@[fe80::1%25eth0]:2222",
            Some("me"),
            "fe80::1%eth0",
            Some(2222),
        ),
        ("ssh://fe80::1", None, "fe80::1", None),
    ];

    #[test]
    fn user_name_and_port_apart() {
        for (text, user, name, port) in HOSTS {
            let host = host(text);
            assert_eq!(host.user.as_deref(), user, "{text}");
            assert_eq!((host.name(), host.port()), (name, port), "{text}");
            // Whatever is shown can be typed.
            assert_eq!(parse(&host.to_string()), Ok(Place::There(host)), "{text}");
        }
    }

    #[test]
    fn the_same_machine_in_other_words() {
        for (one, other) in [
            ("b", "ssh://b"),
            ("b", "ssh-ng://b"),
            ("me@b", "ssh://me@b"),
            ("::1", "ssh://[::1]"),
            ("[fe80::1%25eth0]", "ssh://[fe80::1%eth0]"),
        ] {
            assert_eq!(parse(one), parse(other));
        }
        // ~/.ssh/config may name another port.
        for (one, other) in [("b", "ssh://b:22"), ("b", "me@b"), ("b", "b.lan")] {
            assert_ne!(parse(one), parse(other));
        }
    }

    #[test]
    fn in_the_words_of_others() {
        for (text, shown, ssh, nix, options) in [
            ("ssh://me@builder", "me@builder", "me@builder", "me@builder", ""),
            ("ssh://b:2222", "ssh://b:2222", "-p 2222 b", "b", ""),
            ("me@[::1]", "me@::1", "me@::1", "me@[::1]", ""),
            ("ssh://me@[::1]:22", "ssh://me@[::1]:22", "-p 22 me@::1", "me@[::1]", ""),
            (
                "ssh://[fe80::1%eth0]:22",
                "ssh://[fe80::1%25eth0]:22",
                "-p 22 fe80::1%eth0",
                "[fe80::1]",
                "-o HostName=fe80::1%%eth0",
            ),
            ("me@lab@b", "me@lab@b", "me@lab@b", "b", "-l me@lab"),
        ] {
            let host = host(text);
            assert_eq!(host.to_string(), shown);
            assert_eq!(host.words_for_ssh(), ssh);
            assert_eq!(host.address_for_nix(), nix);
            assert_eq!(host.options_for_nix().join(" "), options);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "-oProxyCommand=x",
            "a b",
            "me@",
            "@b",
            "me@-x",
            "-l@b",
            "http://builder",
            "ssh://",
            "ssh://me@",
            "a/b",
            "a\nb",
            "ssh://b:",
            "ssh://b:0",
            "ssh://b:65536",
            "ssh://b:ssh",
            "b:/etc",
            "b:ssh",
            "ssh://[::1]x",
            "ssh://[::1]:",
            "ssh://[::1",
            "[builder]",
            "[]",
            "fe80::1%",
            "fe80::1%a b",
            "b%25eth0",
            "me%40lab@b",
            "me:secret@b",
            "$(touch x)",
            "b;x",
            "`x`@b",
        ] {
            let failure = crate::failure::Failure::from(parse(text).expect_err(text));
            assert_eq!(failure.code(), 2, "{text}");
        }
    }

    #[test]
    fn a_port_needs_an_address_of_its_own() {
        for text in ["b:2222", "me@b:2222", "[::1]:22"] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.remedy, format!("write ssh://{text}"));
        }
    }
}
