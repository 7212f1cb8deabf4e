//! The connection to another machine, and what its failures mean.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::host::Host;
use crate::process::Invocation;

/// The ssh command for one session, on which a script of so many bytes comes first.
///
/// The user's own `NIX_SSHOPTS` come before ours, and of two ssh counts the first. `forward` is a socket there and the
/// socket of ours to which it leads.
///
/// # Errors
/// `NIX_SSHOPTS` that no shell could read.
pub fn connect(
    host: &Host,
    options: Option<&str>,
    forward: Option<(&Path, &Path)>,
    script_length: usize,
) -> Result<Invocation, Failure> {
    let mut command = Invocation::new("ssh").args(own_options(options)?).args([
        // No terminal there, and nothing of ours but what this session needs: no agent, no display.
        "-T",
        "-a",
        "-x",
        "-o",
        "ConnectTimeout=20",
        // A dead link is noticed within a minute and a half.
        "-o",
        "ServerAliveInterval=30",
        "-o",
        "ServerAliveCountMax=3",
        // A refused forwarding costs the fast way of copying, not the run.
        "-o",
        "ExitOnForwardFailure=no",
        "-o",
        "RemoteCommand=none",
    ]);
    if let Some((there, here)) = forward {
        let mut sockets = OsString::from(there);
        sockets.push(":");
        sockets.push(here);
        command = command.arg("-R").arg(sockets);
    }
    // The script comes on stdin, for the login shell may be one that cannot read it: fish, csh and nushell understand
    // just this line in the same way. dd, because head may take more than it gives.
    Ok(command.args(["--", host.destination()]).arg(start(script_length)))
}

/// The words of `NIX_SSHOPTS`.
///
/// # Errors
/// Text that no shell could read.
pub fn own_options(options: Option<&str>) -> Result<Vec<String>, Failure> {
    let text = options.unwrap_or_default();
    shlex::split(text)
        .ok_or_else(|| Failure::usage(format!("NIX_SSHOPTS cannot be read, a quote is not closed: {text}")))
}

/// The command line that the login shell over there gets.
fn start(script_length: usize) -> String {
    format!("exec /bin/sh -c 'eval \"$(dd bs={script_length} count=1 iflag=fullblock 2>/dev/null)\"'")
}

/// A path for a socket on the other machine, which nobody can guess.
///
/// # Errors
/// When the system has no random numbers.
pub fn socket_there() -> std::io::Result<PathBuf> {
    let mut random = [0; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
    Ok(PathBuf::from(format!(
        "/tmp/rebuild-{:032x}.socket",
        u128::from_ne_bytes(random)
    )))
}

/// Why ssh ended before the other side had said a word, in words of ours; `text` is what ssh itself said.
#[must_use]
pub fn no_session(host: &Host, code: u8, text: &str) -> Failure {
    let name = host.name();
    let said = |part: &str| text.contains(part);
    let (what, remedy) = if said("Could not resolve hostname") {
        (
            format!("no machine is known by the name '{name}'"),
            format!("check the spelling, or name its address in ~/.ssh/config:\n  Host {name}\n    HostName ADDRESS"),
        )
    } else if said("Host key verification failed") {
        (
            format!("the host key of {host} is unknown or has changed"),
            format!("look at it once, as the user that runs rebuild: ssh {host}"),
        )
    } else if said("Permission denied") {
        (
            format!("{host} refuses this user's keys"),
            format!("as the user that runs rebuild: ssh-copy-id {host}\nand then try: ssh {host} true"),
        )
    } else if [
        "Connection refused",
        "Connection timed out",
        "No route to host",
        "Network is unreachable",
        "timed out",
    ]
    .iter()
    .any(|part| said(part))
    {
        (
            format!("{host} cannot be reached"),
            format!(
                "is it on, and does sshd run there? try: ssh {host} true\nor evaluate here, this once: --eval-on localhost"
            ),
        )
    } else if code == 255 {
        (format!("ssh cannot connect to {host}"), format!("try: ssh {host} true"))
    } else {
        (
            format!("{host} does not run our script"),
            format!("its login shell may not start commands; try: ssh {host} /bin/sh -c true"),
        )
    };
    let detail = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let message = detail.map_or(what.clone(), |detail| format!("{what} ({detail})"));
    Failure::new(message).with_remedy(remedy).with_code(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    fn host() -> Host {
        Place::parse("me@builder", "pi").unwrap().host().unwrap().clone()
    }

    #[test]
    fn the_users_options_come_first_and_the_script_last() {
        let forward = (Path::new("/tmp/there"), Path::new("/tmp/here"));
        let command = connect(&host(), Some("-p 22 -o 'ProxyCommand=a b'"), Some(forward), 1234).unwrap();
        let words: Vec<_> = command.words().map(|word| word.to_string_lossy()).collect();
        let expected = "ssh|-p|22|-o|ProxyCommand=a b|-T|-a|-x|-o|ConnectTimeout=20|-o|ServerAliveInterval=30\
            |-o|ServerAliveCountMax=3|-o|ExitOnForwardFailure=no|-o|RemoteCommand=none|-R|/tmp/there:/tmp/here\
            |--|me@builder|exec /bin/sh -c 'eval \"$(dd bs=1234 count=1 iflag=fullblock 2>/dev/null)\"'";
        assert_eq!(words.join("|"), expected);
    }

    /// A login shell is its machine's own affair. Those that are not here are not tried, and named.
    #[test]
    fn every_login_shell_starts_the_script_and_leaves_the_rest_on_stdin() {
        let script = b"read -r rest; echo \"$((1 + 1)) $rest\"; exit 7";
        let mut tried = 0;
        for shell in ["sh", "dash", "bash", "busybox", "zsh", "fish", "tcsh", "nu"] {
            let mut command = std::process::Command::new(shell);
            command
                .args((shell == "busybox").then_some("sh"))
                .arg("-c")
                .arg(start(script.len()));
            let pipes = command
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped());
            let Ok(mut child) = pipes.spawn() else {
                eprintln!("{shell} is not here: not tried");
                continue;
            };
            let input = [script.as_slice(), b"what follows\nand more\n"].concat();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), &input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "2 what follows\n", "{shell}");
            assert_eq!(output.status.code(), Some(7), "{shell}");
            tried += 1;
        }
        assert!(tried >= 2);
    }

    #[test]
    fn options_that_cannot_be_read_are_refused() {
        assert_eq!(connect(&host(), Some("-o 'x"), None, 1).unwrap_err().code(), 2);
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

    #[test]
    fn sockets_differ() {
        assert_ne!(socket_there().unwrap(), socket_there().unwrap());
    }
}
