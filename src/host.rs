//! Hosts as the user names them, and which of them is this one.

use std::fmt;

use crate::failure::Failure;

/// Another machine, in the words that ssh takes: `[user@]host` or `ssh://[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    destination: String,
}

impl Host {
    /// ssh's destination argument.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// The destination as `nix-copy-closure` takes it, which knows no port, and the port.
    #[must_use]
    pub fn without_port(&self) -> (&str, Option<&str>) {
        let Some(rest) = self.destination.strip_prefix("ssh://") else {
            return (&self.destination, None);
        };
        match rest.rsplit_once(':') {
            Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => (host, Some(port)),
            _ => (rest, None),
        }
    }

    /// The name without user, scheme and port, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        bare_name(&self.destination)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.destination)
    }
}

/// Where a role (evaluator, builder) is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the machine that the command was typed on, the client.
    Here,
    /// On another machine.
    There(Host),
}

impl Place {
    /// Reads the value of a host flag.
    ///
    /// The empty string, `localhost` and this machine's own name mean [`Place::Here`], as long as no user or port is
    /// named with them (nixpkgs#211459). `ssh-ng://` is the same host as `ssh://`: the name of Nix's protocol has no
    /// meaning here.
    ///
    /// # Errors
    /// When the text is nothing that ssh takes as a host.
    pub fn parse(text: &str, own_name: &str) -> Result<Self, Failure> {
        let own_short = own_name.split('.').next().unwrap_or(own_name);
        if ["", "localhost", own_name, own_short].contains(&text) {
            return Ok(Self::Here);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("ssh" | "ssh-ng", rest)) => ("ssh://", rest),
            Some((scheme, _)) => {
                return Err(Failure::usage(format!("host '{text}': cannot connect by {scheme}://"))
                    .with_remedy("a host is [user@]host or ssh://[user@]host[:port]"));
            }
            None => ("", text),
        };
        let name = bare_name(rest);
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if name.is_empty() || rest.starts_with('-') || name.starts_with('-') || rest.contains(odd) {
            return Err(Failure::usage(format!("host '{text}' is not a host name"))
                .with_remedy("a host is [user@]host or ssh://[user@]host[:port]"));
        }
        // ssh takes brackets around an IPv6 address in its URIs only.
        let rest = if scheme.is_empty() {
            rest.replace(['[', ']'], "")
        } else {
            rest.to_owned()
        };
        Ok(Self::There(Host {
            destination: format!("{scheme}{rest}"),
        }))
    }

    /// The other machine, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match self {
            Self::Here => None,
            Self::There(host) => Some(host),
        }
    }
}

fn bare_name(destination: &str) -> &str {
    let rest = destination.strip_prefix("ssh://").unwrap_or(destination);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if let Some(inner) = rest.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    match rest.split_once(':') {
        // More than one colon: an IPv6 address, not a port.
        Some((host, port)) if !port.contains(':') => host,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Place, Failure> {
        Place::parse(text, "pi.lan")
    }

    #[test]
    fn this_machine_by_any_of_its_names() {
        for text in ["", "localhost", "pi", "pi.lan"] {
            assert_eq!(parse(text), Ok(Place::Here), "{text}");
        }
    }

    #[test]
    fn another_user_here_is_another_place() {
        assert!(matches!(parse("root@localhost"), Ok(Place::There(_))));
    }

    #[test]
    fn hosts_as_ssh_takes_them() {
        for (text, destination, name) in [
            ("builder", "builder", "builder"),
            ("me@builder", "me@builder", "builder"),
            ("ssh://me@builder:2222", "ssh://me@builder:2222", "builder"),
            ("ssh-ng://builder", "ssh://builder", "builder"),
            ("me@[fe80::1%eth0]", "me@fe80::1%eth0", "fe80::1%eth0"),
            ("ssh://[fe80::1]:22", "ssh://[fe80::1]:22", "fe80::1"),
        ] {
            let place = parse(text).unwrap();
            let host = place.host().unwrap();
            assert_eq!(host.destination(), destination);
            assert_eq!(host.name(), name);
        }
    }

    #[test]
    fn ports_apart() {
        for (text, expected) in [
            ("me@builder", ("me@builder", None)),
            ("ssh://me@builder", ("me@builder", None)),
            ("ssh://me@builder:2222", ("me@builder", Some("2222"))),
            ("ssh://[fe80::1]:22", ("[fe80::1]", Some("22"))),
        ] {
            assert_eq!(parse(text).unwrap().host().unwrap().without_port(), expected);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "-oProxyCommand=x",
            "a b",
            "me@",
            "me@-x",
            "http://builder",
            "ssh://",
            "a/b",
            "a\nb",
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.code(), 2, "{text}");
        }
    }
}
