//! What a connection that never came to be means, and what to do about it.

use crate::failure::Failure;
use crate::host::Host;

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
            format!("is it on, and does sshd run there? try: ssh {host} true"),
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
}
