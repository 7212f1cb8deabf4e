//! Where ssh's options and configuration lead a name, as `ssh -G` says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::host::OwnNames;

/// The port on which a machine's own sshd usually listens.
const SSH: &str = "22";

/// The place to which a connection would go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Led {
    /// A name or an address.
    host_name: String,
    port: String,
    /// The command or the hosts on the way, in ssh's words.
    proxy: Option<String>,
}

impl Led {
    /// Reads ssh's answer; None if it is no such answer.
    pub(super) fn parse(answer: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut values = answer.lines().filter_map(|line| line.split_once(' '));
            let (_, value) = values.find(|(own, _)| *own == key)?;
            Some(value.trim().to_owned())
        };
        let proxy = |key: &str, option: &str| {
            let value = value(key).filter(|value| value != "none")?;
            Some(format!("{option} {value}"))
        };
        Some(Self {
            host_name: value("hostname")?,
            port: value("port")?,
            proxy: proxy("proxyjump", "ProxyJump").or_else(|| proxy("proxycommand", "ProxyCommand")),
        })
    }

    /// Returns where that is, in words that follow "leads it", unless it is this machine.
    pub(super) fn away_from(&self, own: &OwnNames) -> Option<String> {
        if let Some(proxy) = &self.proxy {
            return Some(format!("by {proxy}"));
        }
        let is_own = own.has(&self.host_name) || is_own_address(&self.host_name);
        (!is_own || self.port != SSH).then(|| format!("to {}, port {}", self.host_name, self.port))
    }
}

/// Returns whether the kernel has this address: a packet to it would leave from it. Nothing is sent. No name is looked
/// up, because whoever answers could then say which machine is changed.
fn is_own_address(text: &str) -> bool {
    let Ok(address) = text.parse::<IpAddr>() else {
        return false;
    };
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = || {
        let socket = UdpSocket::bind(SocketAddr::from((any, 0)))?;
        socket.connect(SocketAddr::from((address, 22)))?;
        socket.local_addr()
    };
    address.is_loopback() || (!address.is_unspecified() && from().is_ok_and(|from| from.ip() == address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::process::signals::Signals;
    use crate::ssh::Ssh;
    use crate::ssh::with_configuration;
    use crate::surroundings::Surroundings;

    /// Asks the machine's ssh about a name on a machine called `pi.lan`, with `configuration` as its configuration.
    fn detour(name: &str, options: &str, configuration: &str) -> Option<String> {
        let (_directory, ssh) = with_configuration(options, configuration);
        let signals = Signals::listen().unwrap();
        let own = OwnNames::new("pi.lan");
        ssh.detour(&Host::parse(name).unwrap(), &own, &signals).unwrap()
    }

    /// nixpkgs#148918
    #[test]
    fn options_and_configuration_lead_elsewhere() {
        let config =
            "Host localhost\n Port 2222\nHost pi\n HostName 192.0.2.1\nMatch host pi.lan\n ProxyJump bastion\n";
        for (name, options, config, expected) in [
            ("localhost", "-p 2222", "", "to localhost, port 2222"),
            ("pi", "-o Port=2222", "", "to pi, port 2222"),
            ("localhost", "-oHostName=builder", "", "to builder, port 22"),
            ("localhost", "-J me@bastion", "", "by ProxyJump me@bastion"),
            ("pi", "-o 'ProxyCommand=nc vm 22'", "", "by ProxyCommand nc vm 22"),
            ("localhost", "", config, "to localhost, port 2222"),
            ("pi", "", config, "to 192.0.2.1, port 22"),
            ("pi.lan", "", config, "by ProxyJump bastion"),
            (
                "localhost",
                "",
                "Host *\n ProxyCommand nc gateway %p\n",
                "by ProxyCommand nc gateway %p",
            ),
            // What is typed counts before the file.
            ("localhost", "-p 2200", config, "to localhost, port 2200"),
        ] {
            assert_eq!(
                detour(name, options, config).as_deref(),
                Some(expected),
                "{name} {options}"
            );
        }
    }

    /// The user's own options in place of the ones for sharing belong to every command as well (nixpkgs#538973).
    #[test]
    fn the_options_of_a_run_lead_elsewhere() {
        let around = Surroundings::with(&[
            ("NIX_SSHOPTS", "-F none"),
            ("NIXOS_REBUILD_SSH_DEFAULT_OPTS", "-o Port=2222"),
            ("PATH", "/usr/bin:/bin"),
        ]);
        let (ssh, own) = (Ssh::new(&around).unwrap(), OwnNames::new("pi"));
        let there = ssh.detour(&Host::parse("pi").unwrap(), &own, &Signals::listen().unwrap());
        assert_eq!(there.unwrap().as_deref(), Some("to pi, port 2222"));
    }

    #[test]
    fn what_leads_nowhere_else_is_this_machine() {
        for (name, options, config) in [
            ("localhost", "", ""),
            ("pi", "-4 -i /key -l root -o User=me", ""),
            ("pi.lan", "-p 22", "Host *\n ProxyCommand none\n ProxyJump none\n"),
            ("pi", "", "Host pi\n HostName 127.0.0.1\n User me\n HostKeyAlias x\n"),
            ("localhost", "", "Host localhost\n HostName ::1\n"),
            ("pi", "", "Host pi\n HostName localhost\n"),
            // The option that is named first counts.
            ("localhost", "-p 22", "Host localhost\n Port 2222\n"),
        ] {
            assert_eq!(detour(name, options, config), None, "{name} {options} {config}");
        }
    }

    /// A file that names all machines of a house is the same on each of them.
    #[test]
    fn an_address_of_this_machine_is_known_to_the_kernel() {
        for address in ["127.0.0.1", "127.1.2.3", "::1"] {
            assert!(is_own_address(address), "{address}");
        }
        // An address of documentation, an address of nobody, and a name.
        for other in [
            "192.0.2.1",
            "2001:db8::1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "localhost",
        ] {
            assert!(!is_own_address(other), "{other}");
        }
    }

    #[test]
    fn without_ssh_and_options_a_name_of_this_machine_is_this_machine() {
        let own = OwnNames::new("pi");
        let signals = Signals::listen().unwrap();
        let ask = |variables: &[(&str, &str)]| {
            let ssh = Ssh::new(&Surroundings::with(variables)).unwrap();
            ssh.detour(&Host::parse("pi").unwrap(), &own, &signals)
        };
        assert_eq!(ask(&[("PATH", "/nowhere")]).unwrap(), None);
        // But this does not overrule what somebody says.
        let failure = ask(&[("PATH", "/nowhere"), ("NIX_SSHOPTS", "-F /nowhere")]).unwrap_err();
        assert!(
            failure.to_string().contains("ssh does not say where 'pi' leads"),
            "{failure}"
        );
    }

    #[test]
    fn an_answer_that_is_none_decides_nothing() {
        for answer in ["", "user me\n", "hostname pi\n"] {
            assert_eq!(Led::parse(answer), None, "{answer}");
        }
    }
}
