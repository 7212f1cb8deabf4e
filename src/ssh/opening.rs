//! How a script begins: the command line that a login shell gets, and what comes on its stdin.

use crate::process::Invocation;

/// Adds the usual places to a `PATH` that leads nowhere, or not to all programs that a script needs. (Without dd nobody
/// would read the script.) If nothing is missing, the `PATH` stays as it is, because an activation gets it.
const FIND_PROGRAMS: &str = "for name in dd tar id readlink sed grep find unshare; do command -v $name >/dev/null || \
                             { PATH=$PATH:/run/current-system/sw/bin:/usr/bin:/bin; break; }; done";

/// The script comes after this line.
const SCRIPT: &str = "@rebuild script";

/// This many empty lines come before it. A login file may read a line that is meant for the script (`read answer` in
/// .bashrc): it gets one of these.
const SPARE: usize = 16;

/// Returns the command line for the login shell on the other machine.
pub(super) fn start(script_length: usize) -> String {
    format!(
        "exec /bin/sh -c '{FIND_PROGRAMS}; while IFS= read -r line; do case $line in \"{SCRIPT}\") \
         eval \"$(dd bs={script_length} count=1 iflag=fullblock 2>/dev/null)\"; exit;; esac; done'"
    )
}

/// Returns what such a command has to read in order to run this script.
#[must_use]
pub fn opening(script: &[u8]) -> Vec<u8> {
    [&[b'\n'; SPARE], SCRIPT.as_bytes(), b"\n", script].concat()
}

/// Returns the same for this machine: a command that runs a script of `script_length` bytes, which it reads from its
/// stdin ([`opening`]).
#[must_use]
pub fn here(script_length: usize) -> Invocation {
    Invocation::new("/bin/sh").arg("-c").arg(start(script_length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every machine chooses its own login shell. Shells that this machine lacks are not tried; the test names them.
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
                crate::output::say(&format!("{shell} is not here: not tried"));
                continue;
            };
            let input = [opening(script).as_slice(), b"what follows\nand more\n"].concat();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), &input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "2 what follows\n", "{shell}");
            assert_eq!(output.status.code(), Some(7), "{shell}");
            tried += 1;
        }
        assert!(tried >= 2);
    }

    /// A .bashrc has a `read`; bash reads .bashrc for a command that sshd starts.
    #[test]
    fn what_a_login_file_reads_is_not_the_script() {
        let script = b"echo it runs";
        for (reads, expected) in [
            ("", "it runs\n"),
            ("read -r x; echo \"<$x>\"; ", "<>\nit runs\n"),
            ("read -r x; read -r x; read -n 1 x; ", "it runs\n"),
            // The login file reads everything that there is: then there is no script, and no hang.
            ("cat >/dev/null; ", ""),
        ] {
            let mut command = std::process::Command::new("bash");
            command.arg("-c").arg(format!("{reads}{}", start(script.len())));
            let pipes = command
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped());
            let mut child = pipes.spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), &opening(script)).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{reads}");
        }
    }
}
