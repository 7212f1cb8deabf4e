use super::*;
use crate::host::Place;

fn host() -> Host {
    Place::parse("me@builder", "pi").unwrap().host().unwrap().clone()
}

fn ssh(variables: &[(&str, &str)]) -> Result<Ssh, Failure> {
    Ssh::new(&Surroundings::with(variables))
}

/// nixpkgs#538973
#[test]
fn the_users_defaults_replace_ours_even_if_they_are_empty() {
    let with = |defaults| {
        let ssh = ssh(&[("NIX_SSHOPTS", "-4"), (DEFAULTS, defaults)]).unwrap();
        ssh.options(&host()).join(" ")
    };
    assert_eq!(with("-o ControlPath=none"), "-4 -o ControlPath=none");
    assert_eq!(with(""), "-4");
}

#[test]
fn nix_connects_as_we_do() {
    let of = |options, host: &str| {
        let ssh = ssh(&[("NIX_SSHOPTS", options), ("PATH", "/usr/bin")]).unwrap();
        let place = Place::parse(host, "pi").unwrap();
        ssh.for_nix(Invocation::new("nix-copy-closure"), place.host().unwrap())
            .unwrap()
    };
    let command = Invocation::new("nix-copy-closure");
    let needs = "-o RemoteCommand=none -o SessionType=default -o StdinNull=no -o ForkAfterAuthentication=no";
    let with = |options: &str| command.clone().env("NIX_SSHOPTS", format!("{options}{needs}"));
    assert_eq!(of("", "b"), with(""));
    assert_eq!(of("-i key", "ssh://b:2222"), with("-p 2222 -i key "));
    assert_eq!(of("-4", "[fe80::1%25eth0]"), with("-4 -o HostName=fe80::1%%eth0 "));
}

#[test]
fn a_shared_connection_has_nixos_rebuilds_options() {
    let ssh = ssh(&[("NIX_SSHOPTS", "-4")]).unwrap();
    assert_eq!(ssh.options(&host()), ["-4"]);
    ssh.place().unwrap();
    locked(&ssh.shared).push(host());
    let expected = format!(
        "-4 -o ControlMaster=auto -o ControlPath={}/ssh-%C -o ControlPersist=60",
        ssh.place().unwrap().display()
    );
    assert_eq!(ssh.options(&host()).join(" "), expected);
}

#[test]
fn the_users_options_come_first_and_the_script_last() {
    let forward = (Path::new("/tmp/there"), Path::new("/tmp/here"));
    let ssh = ssh(&[("NIX_SSHOPTS", "-p 22 -o 'ProxyCommand=a b'")]).unwrap();
    let command = ssh.session(&host(), Some(forward), 1234);
    let words: Vec<_> = command.words().map(|word| word.to_string_lossy()).collect();
    let expected = "ssh|-p|22|-o|ProxyCommand=a b|-T|-a|-x|-o|ConnectTimeout=20|-o|ServerAliveInterval=30\
        |-o|ServerAliveCountMax=3|-o|ExitOnForwardFailure=no|-o|RemoteCommand=none|-o|SessionType=default\
        |-o|StdinNull=no|-o|ForkAfterAuthentication=no|-R|/tmp/there:/tmp/here|--|me@builder|exec /bin/sh -c 'for name \
        in dd tar id readlink sed grep find unshare; do command -v $name >/dev/null || { \
        PATH=$PATH:/run/current-system/sw/bin:/usr/bin:/bin; break; }; done; while IFS= read -r line; do case $line in \
        \"@rebuild script\") eval \"$(dd bs=1234 count=1 iflag=fullblock 2>/dev/null)\"; exit;; esac; done'";
    assert_eq!(words.join("|"), expected);
}

/// What the user says about it comes before.
#[test]
fn a_host_that_nobody_named_is_waited_for_less_long() {
    let ssh = ssh(&[("NIX_SSHOPTS", "-o ConnectTimeout=60")]).unwrap();
    let line = |ssh: &Ssh| {
        let command = ssh.session(&host(), None, 1);
        let words: Vec<_> = command.words().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    };
    assert!(line(&ssh).starts_with("ssh -o ConnectTimeout=60 -T -a -x -o ConnectTimeout=20 "));
    ssh.hurry(&host());
    assert!(line(&ssh).starts_with("ssh -o ConnectTimeout=60 -T -a -x -o ConnectTimeout=10 "));
}

/// Returns what the machine's ssh makes of such a command line.
fn understood(words: &[String]) -> Option<String> {
    let mut command = std::process::Command::new("ssh");
    command.args(["-F", "none", "-G"]).args(words);
    let Ok(output) = command.stdin(std::process::Stdio::null()).output() else {
        crate::output::say("ssh is not here: not tried");
        return None;
    };
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
    };
    Some(format!("{} {} {}", value("user "), value("hostname "), value("port ")))
}

/// The forms are tried in this program's own command line, and in the one that Nix makes of its address (as seen with
/// 2.26 and 2.34: without the brackets, and with the options after the address).
#[test]
fn the_real_ssh_understands_every_form_of_a_host() {
    for (options, text, expected) in [
        ("-l x", "builder", "x builder 22"),
        ("", "me@builder", "me builder 22"),
        ("", "me@lab@builder", "me@lab builder 22"),
        ("-l x", "ssh://builder", "x builder 22"),
        ("-l x", "ssh-ng://builder", "x builder 22"),
        ("", "ssh://me@builder:2222", "me builder 2222"),
        ("", "me@10.0.0.1", "me 10.0.0.1 22"),
        ("", "me@::1", "me ::1 22"),
        ("-l x", "[::1]", "x ::1 22"),
        ("", "me@[::1]", "me ::1 22"),
        ("", "me@fe80::1%eth0", "me fe80::1%eth0 22"),
        ("", "me@[fe80::1%25eth0]", "me fe80::1%eth0 22"),
        ("-l x", "ssh://[::1]", "x ::1 22"),
        ("-l x", "ssh://[::1]:2222", "x ::1 2222"),
        ("", "ssh-ng://me@[fe80::1%25eth0]:2222", "me fe80::1%eth0 2222"),
        // What is typed with the host counts.
        ("-p 33 -l x", "ssh://builder:2222", "x builder 2222"),
        ("-o Port=33 -l x", "ssh://[::1]:2222", "x ::1 2222"),
        ("-p 33 -l x", "ssh://builder", "x builder 33"),
    ] {
        let ssh = ssh(&[("NIX_SSHOPTS", options), ("PATH", "/usr/bin:/bin")]).unwrap();
        let place = Place::parse(text, "pi").unwrap();
        let host = place.host().unwrap();
        let command = ssh.session(host, None, 1);
        let words: Vec<_> = command
            .words()
            .skip(1)
            .map(|word| word.to_str().unwrap().to_owned())
            .collect();
        let Some(seen) = understood(&words) else { return };
        assert_eq!(seen, expected, "{text}");

        let mut words = vec![host.address_for_nix().replace(['[', ']'], ""), "-x".to_owned()];
        words.extend(ssh.options_for_nix(host));
        assert_eq!(understood(&words).unwrap(), expected, "{text}, by Nix");
    }
    let with_user = ssh(&[("NIX_SSHOPTS", "-l x")]).unwrap().session(&host(), None, 1);
    let words: Vec<_> = with_user
        .words()
        .skip(1)
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(understood(&words).unwrap(), "x builder 22");
}

#[test]
fn options_that_cannot_be_read_are_refused() {
    assert!(ssh(&[("NIX_SSHOPTS", "-o 'x")]).is_err_and(|failure| failure.code() == 2));
}

#[test]
fn sockets_differ() {
    assert_ne!(socket_there().unwrap(), socket_there().unwrap());
}
