//! Which host is this machine, and which is another one.

use std::collections::BTreeMap;

use super::{Host, NoHost};

/// The machine that plays a role (evaluator, builder).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The machine on which the command was typed: the client.
    Here,
    /// Another machine.
    There(Host),
}

impl Place {
    /// Reads the value of a host flag.
    ///
    /// The empty string is [`Place::Here`]. One of this machine's own names is, too, if no user or port is named with
    /// it (nixpkgs#211459) and ssh does not lead it elsewhere (nixpkgs#148918): see [`OwnNames`].
    ///
    /// # Errors
    /// Fails as [`Host::parse`] does.
    pub fn read(text: &str, own: &OwnNames) -> Result<Self, NoHost> {
        if text.is_empty() {
            return Ok(Self::Here);
        }
        let host = Host::parse(text)?;
        Ok(if own.claims(&host) && own.detour(&host).is_none() {
            Self::Here
        } else {
            Self::There(host)
        })
    }

    /// Reads it as if ssh led no name elsewhere.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(text: &str, own_name: &str) -> Result<Self, NoHost> {
        Self::read(text, &OwnNames::new(own_name))
    }

    /// Returns the other machine, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match self {
            Self::Here => None,
            Self::There(host) => Some(host),
        }
    }
}

/// The names that this machine has when they are typed on it: `localhost`, its host name, and the part of the host name
/// before the first dot.
///
/// If a run uses one of these names, ssh has been asked beforehand whether its options and configuration lead the name
/// elsewhere: a port of `localhost` is often a tunnel or a virtual machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnNames {
    host_name: String,
    /// The names that ssh leads elsewhere, and where.
    detours: BTreeMap<String, String>,
}

impl OwnNames {
    /// Returns the names of a machine with this host name, as `uname -n` gives it.
    #[must_use]
    pub fn new(host_name: &str) -> Self {
        Self {
            host_name: host_name.to_owned(),
            detours: BTreeMap::new(),
        }
    }

    /// Returns the host name.
    #[must_use]
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// Returns whether a name is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let short = self.host_name.split('.').next().unwrap_or_default();
        !name.is_empty() && ["localhost", &self.host_name, short].contains(&name)
    }

    /// Returns whether a host is typed like this machine: with one of its names and nothing else.
    #[must_use]
    pub fn claims(&self, host: &Host) -> bool {
        host.user.is_none() && host.port.is_none() && self.has(&host.name)
    }

    /// Makes this host another machine from now on, because ssh leads it there.
    pub fn lead(&mut self, host: &Host, there: String) {
        self.detours.insert(host.name.clone(), there);
    }

    /// Returns where ssh leads the host, if that is elsewhere.
    #[must_use]
    pub fn detour(&self, host: &Host) -> Option<&str> {
        self.detours.get(&host.name).map(String::as_str)
    }

    /// Returns the names that mean another machine, and where ssh leads them.
    pub fn detours(&self) -> impl Iterator<Item = (&str, &str)> {
        self.detours.iter().map(|(name, there)| (name.as_str(), there.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::{host, parse};

    #[test]
    fn this_machine_by_any_of_its_names() {
        for text in ["", "localhost", "pi", "pi.lan", "ssh://localhost", "ssh-ng://pi"] {
            assert_eq!(parse(text), Ok(Place::Here), "{text}");
        }
    }

    #[test]
    fn another_user_or_port_here_is_another_place() {
        for text in ["root@localhost", "ssh://localhost:2222"] {
            assert!(matches!(parse(text), Ok(Place::There(_))), "{text}");
        }
    }

    #[test]
    fn what_ssh_leads_elsewhere_is_another_machine() {
        let mut own = OwnNames::new("pi.lan");
        own.lead(&host("me@localhost"), "to 127.0.0.1, port 2222".to_owned());
        for (text, is_here) in [
            ("", true),
            ("pi", true),
            ("localhost", false),
            ("ssh://localhost", false),
            ("builder", false),
        ] {
            assert_eq!(Place::read(text, &own).unwrap() == Place::Here, is_here, "{text}");
        }
        assert_eq!(
            own.detours().collect::<Vec<_>>(),
            [("localhost", "to 127.0.0.1, port 2222")]
        );
        // A machine without a name does not have another machine's name.
        assert!(!OwnNames::new("").claims(&host("builder")));
    }
}
