//! Machines that ssh's files name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ssh_files::{KnownHost, SshFiles};
use super::{Places, is_harmless};
use crate::host::Host;

/// Returns hosts, in the form that is being typed: `host`, `user@host` or `ssh://user@host:port`.
pub fn hosts(typed: &str, places: &Places) -> BTreeSet<String> {
    let scheme = ["ssh://", "ssh-ng://"]
        .into_iter()
        .find(|scheme| typed.starts_with(scheme));
    let scheme = scheme.unwrap_or_default();
    let rest = &typed[scheme.len()..];
    let (user, begun) = rest.rfind('@').map_or(("", rest), |at| rest.split_at(at + 1));
    let files = SshFiles::read(places);
    // Users seldom look for an address in a list: an address is completed, but not offered.
    let configured = files.configured.into_iter().map(|name| KnownHost { name, port: None });
    // A user who configures `localhost` means another machine by it; among the known hosts the name says nothing.
    let known = files
        .known
        .into_iter()
        .filter(|machine| machine.port.is_some() || machine.name != "localhost")
        .filter(|machine| !begun.is_empty() || machine.name.parse::<IpAddr>().is_err());
    configured
        .chain(known)
        // Some shells do not quote what they are offered.
        .filter(|machine| is_harmless(&machine.name, ":%") && machine.port.iter().all(|port| is_harmless(port, "")))
        .filter_map(|machine| {
            let is_in_brackets = !scheme.is_empty() && machine.name.contains(':');
            let name = if is_in_brackets {
                format!("[{}]", machine.name.replace('%', "%25"))
            } else {
                machine.name
            };
            match machine.port {
                None => Some(format!("{scheme}{user}{name}")),
                // Only this form of an address has room for a port.
                Some(port) if !scheme.is_empty() => Some(format!("{scheme}{user}{name}:{port}")),
                Some(_) => None,
            }
        })
        .filter(|text| Host::parse(text).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, places, write};

    #[test]
    fn in_the_form_that_is_being_typed() {
        let (_root, places) = places();
        write(&places.home.join(".ssh/config"), "Host builder\nHost pi\n");
        write(&places.home.join(".ssh/known_hosts"), "[bastion]:2222 ssh-ed25519 A\n");
        for (typed, expected) in [
            ("", &["builder", "pi"][..]),
            ("me@", &["me@builder", "me@pi"]),
            ("me@b", &["me@builder"]),
            ("ssh://p", &["ssh://pi"]),
            ("ssh://b", &["ssh://bastion:2222", "ssh://builder"]),
            ("ssh-ng://me@bu", &["ssh-ng://me@builder"]),
            ("me@lab@p", &["me@lab@pi"]),
            ("http://b", &[]),
            ("ssh:/", &[]),
        ] {
            assert_eq!(ask(&places, &["hosts", typed]), expected, "{typed}");
        }
    }

    #[test]
    fn known_addresses_are_completed_and_not_offered() {
        let (_root, places) = places();
        write(
            &places.home.join(".ssh/known_hosts"),
            "builder,192.168.7.2 ssh-ed25519 A\nfe80::1 ssh-ed25519 A\n",
        );
        assert_eq!(ask(&places, &["hosts", ""]), ["builder"]);
        assert_eq!(ask(&places, &["hosts", "192"]), ["192.168.7.2"]);
        assert_eq!(ask(&places, &["hosts", "fe"]), ["fe80::1"]);
    }

    #[test]
    fn ipv6_addresses_as_the_program_takes_them() {
        let (_root, places) = places();
        write(
            &places.home.join(".ssh/known_hosts"),
            "[fe80::1%eth0]:2222 ssh-ed25519 A\n[::1]:2222,::2 ssh-ed25519 A\n",
        );
        assert_eq!(
            ask(&places, &["hosts", "ssh://["]),
            ["ssh://[::1]:2222", "ssh://[::2]", "ssh://[fe80::1%25eth0]:2222"]
        );
        assert_eq!(ask(&places, &["hosts", "::"]), ["::2"]);
    }

    #[test]
    fn what_the_program_would_refuse_is_not_offered() {
        let (_root, places) = places();
        write(&places.home.join(".ssh/config"), "Host -oops a/b fine a:22\n");
        assert_eq!(ask(&places, &["hosts"]), ["fine"]);
    }

    /// `localhost` can only be another machine if ssh has a configuration for it.
    #[test]
    fn this_machine_is_offered_where_ssh_has_a_configuration_for_it() {
        let (_root, places) = places();
        write(
            &places.home.join(".ssh/known_hosts"),
            "localhost ssh-ed25519 A\n[localhost]:2222 ssh-ed25519 A\n",
        );
        assert_eq!(ask(&places, &["hosts"]), Vec::<String>::new());
        assert_eq!(ask(&places, &["hosts", "ssh://"]), ["ssh://localhost:2222"]);
        write(&places.home.join(".ssh/config"), "Host localhost\n  Port 2222\n");
        assert_eq!(ask(&places, &["hosts"]), ["localhost"]);
    }

    #[test]
    fn names_with_a_meaning_for_shells_are_not_offered() {
        let (_root, places) = places();
        write(
            &places.home.join(".ssh/config"),
            "Host $(id) `id` a;id fine a|b 'a b' a&b ~x {a,b} a#b\n",
        );
        write(
            &places.home.join(".ssh/known_hosts"),
            "$(reboot) ssh-ed25519 A\n[b]:$(id) ssh-ed25519 A\n[c]:1;id ssh-ed25519 A\n",
        );
        assert_eq!(ask(&places, &["hosts"]), ["fine"]);
        assert_eq!(ask(&places, &["hosts", "ssh://"]), ["ssh://fine"]);
    }
}
